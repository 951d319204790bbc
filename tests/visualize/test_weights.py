import pytest
import torch

from torch_imf import IMF, AdaMF, fit
from torch_imf.data import modalities
from torch_imf.nn import KGE, AdaMFFusion
from torch_imf.visualize import modality_weights, plot_modality_weights, plot_relation_weights


def build(data, cls, **kwargs):
    return cls(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs).eval()


@pytest.mark.parametrize("elementwise", [False, True])
def test_weights_of_a_fusion(fake, elementwise):
    names = ["struct", *modalities(fake)[0]]
    fusion = AdaMFFusion(dict.fromkeys(names, 8), 8, elementwise=elementwise)
    model = build(fake, AdaMF, fusion=fusion)
    model.train()
    out = modality_weights(model, fake, split="test")
    assert model.training
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
def test_shares_of_views(fake, monkeypatch, loss):
    model = build(fake, IMF, loss=loss)
    fit(model, fake, epochs=2, lr=0.01, eval_every=2)
    model.eval()
    out = modality_weights(model, fake, ["has_topic"], "test")["has_topic"]
    assert list(out) == model.views
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
    monkeypatch.setattr("torch_imf.visualize.weights.NUM_FACTS", 10)
    again = modality_weights(model, fake, ["has_topic"])["has_topic"]
    assert again != out and again == modality_weights(model, fake, [r])["has_topic"]
    monkeypatch.undo()

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
    with pytest.raises(ValueError, match="Invalid 'split' argument"):
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


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_plot_relation_weights(fake, cls):
    model = build(fake, cls)
    relations = ["after", "has_topic"]
    ax = plot_relation_weights(model, fake, relations).axes[0]
    weights = modality_weights(model, fake, relations)
    assert [t.get_text() for t in ax.get_yticklabels()] == relations
    widths = [row[name] for name in weights["after"] for row in weights.values()]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(widths)
    kind = {IMF: "IMF: share of each view", AdaMF: "AdaMF: mean weight of each modality"}[cls]
    assert ax.get_title().startswith(kind)
    assert plot_relation_weights(model, fake, "after", ax, "a").axes[0].get_title() == "a"


def test_plot_modality_weights():
    rows = {"born in": {"struct": 0.7, "text": 0.3}, "plays for": {"struct": 0.4, "text": 0.6}}
    fig = plot_modality_weights(rows, title="AdaMF", labels={"text": "Text"})
    ax = fig.axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.7, 0.4, 0.3, 0.6])
    assert [bar.get_x() for bar in ax.patches] == pytest.approx([0, 0, 0.7, 0.4])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rows)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["struct", "Text"]
    assert [t.get_text() for t in ax.texts] == ["0.70", "0.40", "0.30", "0.60"]
    assert plot_modality_weights(rows, ax) is fig


def test_plot_modality_weights_of_none():
    rows = {"a": {"struct": 0.0, "text": 0.0}, "b": {"struct": 0.99, "text": 0.01}}
    ax = plot_modality_weights(rows).axes[0]
    assert [t.get_text() for t in ax.texts if t.get_text()] == ["0.99", " no view helps"]
    plot_modality_weights({"a": {"struct": 0.0}}).canvas.draw()
