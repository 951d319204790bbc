import pytest
import torch

from torch_imf import IMF, AdaMF, fit
from torch_imf.data import modalities
from torch_imf.nn import KGE, AdaMFFusion
from torch_imf.visualize import modality_weights
from torch_imf.visualize.weights import weight_kind


def build(data, cls, **kwargs):
    return cls(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs).eval()


@pytest.mark.parametrize("elementwise", [False, True])
def test_weights_of_a_fusion(fake, elementwise):
    names = ["struct", *modalities(fake)[0]]
    fusion = AdaMFFusion(dict.fromkeys(names, 8), 8, elementwise=elementwise)
    model = build(fake, AdaMF, fusion=fusion)
    model.train()
    out = modality_weights(model, fake, split="test")
    assert model.training and weight_kind(model).startswith("mean weight")
    with torch.no_grad():
        _, alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)
    alpha = alpha.mean(dim=-1) if elementwise else alpha
    rels = fake.edge_type[fake.test_mask].unique().tolist()
    assert set(out) == {fake.rel_names[r] for r in rels}
    for r, name in ((r, fake.rel_names[r]) for r in rels):
        values = []
        for i in range(fake.num_edges):
            if fake.test_mask[i] and fake.edge_type[i] == r:
                values += [alpha[fake.edge_index[0, i]], alpha[fake.edge_index[1, i]]]
        assert list(out[name]) == names
        expected = torch.stack(values).mean(dim=0).tolist()
        assert list(out[name].values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_shares_of_views(fake, loss):
    model = build(fake, IMF, loss=loss)
    fit(model, fake, epochs=2, lr=0.01, eval_every=2)
    model.eval()
    out = modality_weights(model, fake, ["has_topic"], "test")["has_topic"]
    assert weight_kind(model).startswith("share of each view") and list(out) == model.views
    r = fake.rel_names.index("has_topic")
    mask = fake.test_mask & (fake.edge_type == r)
    lift = dict.fromkeys(model.views, 0.0)
    for h, t in fake.edge_index[:, mask].t().tolist():
        for head, rel, tail in ((h, r, t), (t, r + fake.num_relations, h)):
            query = (torch.tensor([head]), torch.tensor([rel]))
            _, scores, weights = model.predict(*query, return_views=True)
            for view, score in scores.items():
                score = score[0].sigmoid() if loss == "bce" else score[0]
                lift[view] += weights[view] * float(score[tail] - score.mean())
    lift = {view: max(x, 0.0) for view, x in lift.items()}
    expected = {view: x / sum(lift.values()) for view, x in lift.items()}
    assert out == pytest.approx(expected, abs=1e-3)
    again = modality_weights(model, fake, ["has_topic"], num_facts=10)["has_topic"]
    assert again != out and again == modality_weights(model, fake, [r], num_facts=10)["has_topic"]

    # Views that lower the scores of facts have no share in lifting them:
    view_similarity = model.view_similarity
    model.view_similarity = lambda *args: {v: -x for v, x in view_similarity(*args).items()}
    turned = modality_weights(model, fake, [r], "test")["has_topic"]
    assert all(turned[view] == 0 for view in turned if out[view] > 0)


def test_relations_with_most_facts_come_first(fake):
    model = build(fake, AdaMF)
    count = fake.edge_type.bincount().tolist()
    names = list(modality_weights(model, fake))
    assert [count[fake.rel_names.index(x)] for x in names] == sorted(count, reverse=True)


def test_errors(fake):
    model = build(fake, AdaMF)
    with pytest.raises(ValueError, match="There is no relation 'afer'"):
        modality_weights(model, fake, ["afer"])
    with pytest.raises(ValueError, match="'split' needs to be"):
        modality_weights(model, fake, split="all")
    with pytest.raises(ValueError, match="base relations"):
        modality_weights(model, fake, [fake.num_relations])
    data = fake.clone()
    data.test_mask = data.test_mask & (data.edge_type != 1)
    with pytest.raises(ValueError, match=r"'test' split holds no facts of \['after'\]"):
        modality_weights(model, data, ["after"], split="test")
    for other in (
        KGE(fake.num_nodes, fake.num_relations, 8),
        AdaMF(fake.num_nodes, fake.num_relations, 8),
        build(fake, IMF, views=["fused"]),
    ):
        with pytest.raises(ValueError, match="nothing to compare"):
            modality_weights(other, fake)
