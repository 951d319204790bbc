from collections import Counter

import pytest
import torch

from torch_imf import IMF
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import plot_contextual, plot_tsne, silhouette

pytest.importorskip("matplotlib")


@pytest.fixture
def model(fake):
    return IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))


@pytest.fixture
def shown(monkeypatch):
    r"""Embeddings, classes and outline of each panel that is drawn."""
    out = []

    def plot(x, classes, ax, title, outline, legend):
        out.append((x, classes, outline))
        ax.scatter(range(len(x)), range(len(x)), label="a")

    monkeypatch.setattr("torch_imf.visualize.contextual.plot_tsne", plot)
    return out


def test_what_is_shown(fake, model, shown):
    plot_contextual(model, fake, "has_topic", "text", num_classes=3)
    (before, classes, held_out), (after, *same) = shown
    assert model.training and same[0] == classes and same[1] is held_out
    rel = fake.rel_names.index("has_topic")
    tails = fake.edge_index[1, fake.edge_type == rel]
    largest = tails.bincount().sort(descending=True).values[:3]
    assert sorted(Counter(classes).values()) == sorted(largest.tolist())
    model.eval()
    heads = []
    for x, name, is_held_out in zip(before, classes, held_out, strict=True):
        head = int((model.encode()["text"] - x).abs().sum(dim=-1).argmin())
        heads.append(head)
        fact = (fake.edge_index[1] == fake.node_names.index(name)) & (fake.edge_type == rel)
        fact &= fake.edge_index[0] == head
        # Entities without a text share one embedding, so that the head may be another of them:
        if fake.text_mask[head]:
            assert int(fact.sum()) == 1 and bool(is_held_out) == (not bool(fake.train_mask[fact]))
    z = {view: x[heads] for view, x in model.encode().items()}
    query = model.query(z, torch.full((len(heads),), rel))["text"]
    assert torch.allclose(after, query, atol=1e-5)
    # Heads of several tails count once:
    data = fake.clone()
    data.edge_index = data.edge_index.clone()
    data.edge_index[0, data.edge_type == 2] %= 20
    plot_contextual(model, data, [2], num_classes=100)
    assert len(shown[-1][1]) == 20


def test_plot_contextual(fake, model):
    sizes = {"num_classes": 3, "num_nodes": 8}
    fig = plot_contextual(model, fake, "has_topic", "text", labels={"text": "$"}, **sizes)
    assert len(fig.axes) == 2 and fig.get_supxlabel().startswith("$ view")
    titles = [ax.get_title() for ax in fig.axes]
    assert all(t.startswith("before the transf") for t in titles[::2])
    assert all(t.startswith("after the transf") for t in titles[1::2])
    assert sum(len(x.get_offsets()) for x in fig.axes[0].collections[::2]) == 8
    (part,) = fig.subfigs
    assert part.get_suptitle() == "has_topic" and len(part.legends) == 1


def test_plot_contextual_of_few(fake, model):
    with pytest.raises(ValueError, match="heads with one of its 1 largest tails"):
        plot_contextual(model, fake, "after", num_classes=1)
    with pytest.raises(ValueError, match="'view' needs to be one of"):
        plot_contextual(KGE(fake.num_nodes, fake.num_relations, 8), fake, "after", "text")
    with pytest.raises(ValueError, match="base relations"):
        plot_contextual(model, fake, [fake.num_relations])
    with pytest.raises(ValueError, match="There is no relation"):
        plot_contextual(model, fake, "nothing")


def test_plot_tsne():
    x = torch.cat([torch.randn(10, 8), torch.randn(12, 8) + 9])
    labels = ["a"] * 10 + ["$b$"] * 12
    fig = plot_tsne(x, labels, title="under r", outline=torch.arange(22) < 3)
    ax = fig.axes[0]
    assert ax.get_title() == "under r"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["$b$", "a"]
    sizes = [len(points.get_offsets()) for points in ax.collections]
    assert sizes == [12, 0, 10, 3]
    # Classes far apart stay apart:
    a, b = (ax.collections[i].get_offsets().mean(axis=0) for i in (0, 2))
    spread = ax.collections[0].get_offsets().std(axis=0)
    assert ((a - b) ** 2).sum() > (spread**2).sum()
    fig.canvas.draw()

    assert plot_tsne(x, labels, ax, legend=False) is fig


def test_silhouette():
    x = torch.randn(12, 4)
    label = torch.arange(12) % 3
    unit = torch.nn.functional.normalize(x, dim=-1)
    distance = 1 - unit @ unit.t()
    values = []
    for i in range(12):
        means = []
        for c in range(3):
            others = (label == c) & (torch.arange(12) != i)
            means.append(float(distance[i, others].mean()))
        a = means.pop(int(label[i]))
        values.append((min(means) - a) / max(a, min(means)))
    assert silhouette(x, label) == pytest.approx(sum(values) / 12, abs=1e-5)
    with pytest.raises(ValueError, match="Number of labels is 1"):
        silhouette(x, label * 0)
