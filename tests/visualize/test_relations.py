from collections import Counter

import pytest
import torch

from torch_imf import IMF, AdaMF, Predictor, fit
from torch_imf.data import modalities
from torch_imf.data.index import both_sides
from torch_imf.nn import KGE, AdaMFFusion, Ensemble, TypePrior
from torch_imf.visualize import (
    modality_weights,
    plot_contextual,
    plot_decision,
    plot_explanation,
    plot_modality_weights,
    plot_relation_weights,
    plot_tsne,
    silhouette,
)

pytest.importorskip("matplotlib")


def build(data, cls=IMF, **kwargs):
    features = () if cls is KGE else modalities(data)
    return cls(data.num_nodes, data.num_relations, 8, *features, **kwargs)


@pytest.mark.parametrize("elementwise", [False, True])
def test_weights_of_a_fusion(fake, elementwise):
    names = ["struct", *modalities(fake)[0]]
    fusion = AdaMFFusion(dict.fromkeys(names, 8), 8, elementwise=elementwise)
    model = build(fake, AdaMF, fusion=fusion)
    out = modality_weights(model, fake, split="test")
    assert model.training
    model.eval()
    _, alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)
    alpha = (alpha.mean(dim=-1) if elementwise else alpha).detach()
    assert set(out) == {fake.rel_names[r] for r in fake.edge_type[fake.test_mask].tolist()}
    for name, weights in out.items():
        is_of = fake.test_mask & (fake.edge_type == fake.rel_names.index(name))
        expected = alpha[fake.edge_index[:, is_of]].mean(dim=(0, 1))
        assert list(weights) == names
        assert list(weights.values()) == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_shares_of_views(fake, monkeypatch, loss):
    model = build(fake, loss=loss)
    fit(model, fake, epochs=2, lr=0.01, eval_every=2)
    model.eval()
    out = modality_weights(model, fake, ["has_topic"], "test")["has_topic"]
    r = fake.rel_names.index("has_topic")
    head, tail = fake.edge_index[:, fake.test_mask & (fake.edge_type == r)]
    head, rel, tail = both_sides(head, torch.full_like(head, r), tail, fake.num_relations)
    _, scores, weights = model.predict(head, rel, return_views=True)
    expected = {}
    for view, score in scores.items():
        score = score.sigmoid() if loss == "bce" else score
        lift = score[torch.arange(len(tail)), tail] - score.mean(dim=1)
        expected[view] = max(0.0, weights[view] * float(lift.mean()))
    expected = {view: x / sum(expected.values()) for view, x in expected.items()}
    assert list(out) == model.views and out == pytest.approx(expected, abs=1e-3)
    with monkeypatch.context() as patch:
        patch.setattr("torch_imf.visualize.relations.NUM_FACTS", 10)
        again = modality_weights(model, fake, ["has_topic"])["has_topic"]
        assert again != out and again == modality_weights(model, fake, [r])["has_topic"]
    # Views that lower the scores of facts have no share in lifting them:
    view_similarity = model.view_similarity
    model.view_similarity = lambda *args: {v: -x for v, x in view_similarity(*args).items()}
    turned = modality_weights(model, fake, [r], "test")["has_topic"]
    assert all(turned[view] == 0 for view in turned if out[view] > 0)


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_plot_relation_weights(fake, cls):
    model, relations = build(fake, cls), ["after", "has_topic"]
    ax = plot_relation_weights(model, fake, relations).axes[0]
    weights = modality_weights(model, fake, relations)
    widths = [row[name] for name in weights["after"] for row in weights.values()]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(widths)
    kind = {IMF: "share of each view", AdaMF: "mean weight of each modality"}[cls]
    assert ax.get_title().startswith(f"{cls.__name__}: {kind}")
    assert plot_relation_weights(model, fake, "after", ax, "a").axes[0].get_title() == "a"
    # By default, relations with most facts come first:
    names, count = list(modality_weights(model, fake)), fake.edge_type.bincount().tolist()
    assert [count[fake.rel_names.index(x)] for x in names] == sorted(count, reverse=True)


def test_plot_modality_weights():
    rows = {"born in": {"struct": 0.7, "text": 0.3}, "plays for": {"struct": 0.99, "text": 0.01}}
    rows["lost"] = {"struct": 0.0, "text": 0.0}
    fig = plot_modality_weights(rows, title="AdaMF", labels={"text": "Text"})
    ax = fig.axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.7, 0.99, 0, 0.3, 0.01, 0])
    assert [bar.get_x() for bar in ax.patches] == pytest.approx([0, 0, 0, 0.7, 0.99, 0])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rows)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["struct", "Text"]
    texts = [t.get_text() for t in ax.texts if t.get_text()]
    assert texts == ["0.70", "0.99", "0.30", " no view helps"]
    assert plot_modality_weights(rows, ax) is fig
    fig.canvas.draw()


@pytest.fixture
def shown(monkeypatch):
    r"""Embeddings, classes and outline of each panel that is drawn."""
    out = []

    def plot(x, classes, ax, title, outline, legend):
        out.append((x, classes, outline))
        ax.set_title(title)
        ax.scatter(range(len(x)), range(len(x)), label="a")

    monkeypatch.setattr("torch_imf.visualize.relations.plot_tsne", plot)
    return out


def test_what_is_shown(fake, shown):
    model = build(fake)
    plot_contextual(model, fake, "has_topic", "text", num_classes=3)
    (before, classes, held_out), (after, *_) = shown
    assert model.training
    rel = fake.rel_names.index("has_topic")
    largest = fake.edge_index[1, fake.edge_type == rel].bincount().topk(3).values.tolist()
    assert sorted(Counter(classes).values(), reverse=True) == largest
    model.eval()
    heads = torch.cdist(before, model.encode()["text"]).argmin(dim=1)
    for head, name, is_held_out in zip(heads.tolist(), classes, held_out, strict=True):
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
    data.edge_index[0, data.edge_type == 2] %= 20
    plot_contextual(model, data, [2], num_classes=100)
    assert len(shown[-1][1]) == 20
    fig = plot_contextual(model, fake, "has_topic", "text", num_nodes=8, labels={"text": "$"})
    assert fig.get_supxlabel().startswith("$ view") and len(shown[-1][1]) == 8
    titles = [ax.get_title().split(",")[0] for ax in fig.axes]
    assert titles == ["before the transformation", "after the transformation"]
    (part,) = fig.subfigs
    assert part.get_suptitle() == "has_topic" and len(part.legends) == 1


def test_plot_tsne():
    x = torch.cat([torch.randn(10, 8), torch.randn(12, 8) + 9])
    labels = ["a"] * 10 + ["$b$"] * 12
    fig = plot_tsne(x, labels, title="under r", outline=torch.arange(22) < 3)
    ax = fig.axes[0]
    assert ax.get_title() == "under r"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["$b$", "a"]
    assert [len(points.get_offsets()) for points in ax.collections] == [12, 0, 10, 3]
    # Classes far apart stay apart:
    a, b = (ax.collections[i].get_offsets().mean(axis=0) for i in (0, 2))
    spread = ax.collections[0].get_offsets().std(axis=0)
    assert ((a - b) ** 2).sum() > (spread**2).sum()
    fig.canvas.draw()
    assert plot_tsne(x, labels, ax, legend=False) is fig


def test_silhouette():
    label = torch.arange(12) % 3
    direction = torch.nn.functional.one_hot(label).float()
    length = torch.rand(12, 1) + 0.1  # Which is of no matter to a cosine.
    assert silhouette(direction * length, label) == pytest.approx(1, abs=1e-5)
    assert silhouette(direction * length, torch.arange(12) // 4) < 0.1
    with pytest.raises(ValueError, match="Number of labels is 1"):
        silhouette(direction, label * 0)


def test_figures_of_an_ensemble(fake):
    model = Ensemble(
        [TypePrior().fit(fake), build(fake, IMF, views=["struct"]), build(fake, AdaMF)]
    )
    model.weight.copy_(torch.tensor([0.5, 2.0, 0.0]))
    shares = modality_weights(model, fake, ["after"])["after"]
    assert list(shares) == ["types", "struct", "fused"] and shares["fused"] == 0
    assert sum(shares.values()) == pytest.approx(1)
    titles = plot_relation_weights(model, fake, ["after"]).axes[0].get_title()
    assert titles == "Ensemble: share of each view in what lifts facts above others"
    fact = int(fake.edge_index[0, 0]), int(fake.edge_type[0]), int(fake.edge_index[1, 0])
    predictor = Predictor(model, fake)
    rows = plot_explanation(predictor.explain(*fact)).axes[0].get_yticklabels()
    assert [x.get_text() for x in rows] == [
        *("all views", "types alone (× 0.50)", "struct alone (× 2.00)", "fused alone (× 0.00)"),
        *("without numeric", "without text", "without visual"),
    ]
    plot_decision(predictor.predict(*fact[:2])).canvas.draw()
    # A view that needs no training has no embeddings:
    with pytest.raises(ValueError, match="'view' needs to be one of .'struct', 'fused'."):
        plot_contextual(model, fake, "has_topic", "types")
    plot_contextual(model, fake, "has_topic", num_nodes=8)


@pytest.mark.parametrize(
    "plot, cls, options, message",
    [
        (modality_weights, AdaMF, {"relations": ["afer"]}, "There is no relation 'afer'"),
        (modality_weights, AdaMF, {"split": "all"}, "Invalid 'split' argument"),
        (modality_weights, AdaMF, {"relations": [1], "split": "val"}, r"no facts of \['after'\]"),
        (modality_weights, AdaMF, {"relations": [99]}, "base relations"),
        (modality_weights, KGE, {}, "nothing to compare"),
        (modality_weights, IMF, {}, "nothing to compare"),
        (plot_contextual, IMF, {"relations": "after", "num_classes": 1}, "one of its 1 largest"),
        (plot_contextual, KGE, {"relations": "after", "view": "text"}, "'view' needs to be one of"),
        (plot_contextual, IMF, {"relations": [99]}, "base relations"),
    ],
)
def test_errors(fake, plot, cls, options, message):
    fake = fake.clone()
    fake.val_mask = fake.val_mask & (fake.edge_type != 1)
    model = build(fake, cls, **({"views": ["fused"]} if cls is IMF else {}))
    with pytest.raises(ValueError, match=message):
        plot(model, fake, **options)
