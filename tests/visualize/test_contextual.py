import pytest
import torch

from torch_imf import IMF
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import contextual_embeddings, plot_contextual

pytest.importorskip("matplotlib")


@pytest.fixture
def model(fake):
    return IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))


def test_contextual_embeddings(fake, model):
    (found,) = contextual_embeddings(model, fake, "has_topic", "text", num_classes=3)
    assert model.training and found.relation == "has_topic"
    rel = fake.rel_names.index("has_topic")
    tails = fake.edge_index[1, fake.edge_type == rel]
    largest = tails.bincount().sort(descending=True).values[:3]
    assert sorted(found.label.bincount()[found.label.unique()].tolist()) == sorted(largest.tolist())
    model.eval()
    heads = []
    for x, label, held_out in zip(found.before, found.label, found.held_out, strict=True):
        head = int((model.encode()["text"] - x).abs().sum(dim=-1).argmin())
        heads.append(head)
        fact = (fake.edge_index[1] == label) & (fake.edge_type == rel)
        fact &= fake.edge_index[0] == head
        # Entities without a text share one embedding, so that the head may be another of them:
        if fake.text_mask[head]:
            assert int(fact.sum()) == 1 and bool(held_out) == (not bool(fake.train_mask[fact]))
    z = {view: x[heads] for view, x in model.encode().items()}
    query = model.query(z, torch.full((len(heads),), rel))["text"]
    assert torch.allclose(found.after, query, atol=1e-5)
    (few,) = contextual_embeddings(model, fake, [rel], num_nodes=7)
    assert few.before.size(0) == few.after.size(0) == few.label.numel() == 7


def test_heads_of_several_tails_count_once(fake, model):
    data = fake.clone()
    data.edge_index[0, data.edge_type == 2] %= 20
    (found,) = contextual_embeddings(model, data, [2], num_classes=100)
    assert found.label.numel() == 20


def test_plot_contextual(fake, model):
    sizes = {"num_classes": 3, "num_nodes": 8}
    fig = plot_contextual(model, fake, "has_topic", "text", names={"text": "$"}, **sizes)
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
