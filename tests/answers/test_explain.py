import pytest
import torch

from torch_imf import Temperature, evaluate, explain, fit
from torch_imf.answers.explain import Explanation, Rank, without
from torch_imf.answers.support import Support
from torch_imf.data import modalities
from torch_imf.nn import IKRL, IMF, KGE, RSME, AdaMF


def build(data, cls=IMF, **kwargs):
    return cls(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs)


def fact(data, rel, mask):
    i = int((mask & (data.edge_type == rel)).nonzero()[0])
    return int(data.edge_index[0, i]), rel, int(data.edge_index[1, i])


def one_fact(data, h, r, t):
    # The graph with this fact as the only one to be tested.
    data = data.clone()
    data.test_mask = (data.edge_index[0] == h) & (data.edge_type == r) & (data.edge_index[1] == t)
    return data


def test_explain(fake):
    model = build(fake)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    h, r, t = fact(fake, 3, fake.test_mask)
    names = (fake.node_names[h], "has_topic", fake.node_names[t])
    temperature = Temperature(1.0, 1.0, 0.0, is_prob=True)
    out = explain(model, fake, *names, k=3, temperature=temperature)
    assert out.fact == names and out.split == "test"
    assert model.training and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    data = one_fact(fake, h, r, t)
    for view, rank in [(None, out.rank), *out.views.items()]:
        metrics = evaluate(model, data, view=view)
        assert rank == Rank(metrics["tail"]["mr"], metrics["head"]["mr"])
    score = model.eval().predict(torch.tensor([h]), torch.tensor([r]))
    assert out.score == pytest.approx(float(score[0, t]))
    assert out.probability == pytest.approx(float(temperature(score)[0, t]))
    assert list(out.views) == list(out.weights) == model.views
    assert list(out.without) == ["numeric", "text", "visual"]
    assert len(out.neighbors) == 3 and all(x.relation == "has_topic" for x in out.neighbors)
    assert explain(model, fake, h, r, t, k=3, view="text").neighbors != out.neighbors


@pytest.mark.parametrize("cls", [IMF, AdaMF, IKRL, RSME])
def test_without_is_a_model_of_no_such_features(fake, cls):
    # Independently: the same weights in a model that was made with features of a mask of nobody
    # but one entity, which is as good as none for all others.
    model = build(fake, cls)
    assert without(model, "text") is not model
    before = model.eval().encode()
    out = without(model, "text").eval().encode()
    after = model.encode()
    x_dict, mask_dict = modalities(fake)
    one = int(mask_dict["text"].nonzero()[0])
    mask = torch.zeros_like(mask_dict["text"])
    mask[one] = True
    kwargs = (x_dict, mask_dict | {"text": mask})
    other = cls(fake.num_nodes, fake.num_relations, 8, *kwargs)
    other.load_state_dict(model.state_dict())
    expected = other.eval().encode()
    rest = torch.arange(fake.num_nodes) != one
    for view, z in out.items():
        assert torch.equal(before[view], after[view])  # The model itself stays as it is.
        assert torch.allclose(z[rest], expected[view][rest], atol=1e-6)
    assert any(not torch.equal(out[view], before[view]) for view in out)


def test_a_modality_that_carries_the_answer(fake):
    # Topics follow from texts alone, so facts fall most without them.
    model = build(fake, scorer="distmult", loss="ce", views=["struct", "text", "fused"])
    fit(model, fake, epochs=8, batch_size=64, lr=0.03, eval_every=8)
    pos = (fake.test_mask & (fake.edge_type == 3)).nonzero().view(-1)[:5].tolist()
    facts = [(int(fake.edge_index[0, i]), 3, int(fake.edge_index[1, i])) for i in pos]
    out = [explain(model, fake, *x) for x in facts]

    def mean(ranks):
        ranks = list(ranks)
        return sum(1 / rank.tail for rank in ranks) / len(ranks)

    own = mean(x.rank for x in out)
    assert mean(x.without["text"] for x in out) < 0.7 * own
    assert mean(x.without["text"] for x in out) < 0.7 * mean(x.without["numeric"] for x in out)
    assert mean(x.views["text"] for x in out) > mean(x.views["struct"] for x in out)


def test_splits(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    for split in ("train", "val", "test"):
        out = explain(model, fake, *fact(fake, 3, fake[f"{split}_mask"]))
        assert out.split == split and out.without == {} and list(out.views) == ["struct"]
    out = explain(model, fake, 0, 0, 0)
    assert out.split is None and out.probability is None
    assert str(out).startswith("thing 0  next_to  thing 0  (no known fact)\nscore ")


def test_print():
    out = Explanation(
        fact=("Rome", "capital_of", "Italy"),
        split="test",
        score=0.5,
        probability=0.25,
        rank=Rank(1.0, 2.5),
        views={"text": Rank(3.0, 4.0)},
        weights={"text": 1.0},
        without={"visual": Rank(12.0, 1.0)},
        neighbors=[Support("Paris", "capital_of", "France", 0.987)],
        paths=[("Rome", "in", "Lazio", "part_of", "Italy")],
    )
    assert str(out).split("\n") == [
        "Rome  capital_of  Italy  (a fact of 'test')",
        "score 0.500, probability 25.0 %",
        "",
        "                  rank of tail  of head  weight",
        "  all views                  1      2.5",
        "  text alone                 3        4    1.00",
        "  without visual            12        1",
        "",
        "Nearest training facts of the relation:",
        "  0.99  Paris  capital_of  France",
        "",
        "Paths along training facts:",
        "  Rome  in  Lazio  part_of  Italy",
    ]


def test_errors(fake):
    model = build(fake)
    for args, kwargs, match in (
        (("thing 0", "next_to", "thingy 1"), {}, "Did you mean 'thing 1'"),
        (("thing 0", "next", "thing 1"), {}, "no relation 'next'"),
        ((0, 0, 1), {"k": 0}, "'k' needs to be positive"),
        ((0, 0, 1), {"view": "audio"}, "'view' one of"),
        ((0, 0, fake.num_nodes), {}, "'tail_index' holds ids outside"),
        ((0, fake.num_relations, 1), {}, "'rel_type' holds ids outside"),
        (([0, 1], 0, 1), {}, "'head' needs to be one name or number"),
    ):
        with pytest.raises(ValueError, match=match):
            explain(model, fake, *args, **kwargs)
    with pytest.raises(ValueError, match="Invalid 'modality' argument"):
        without(model, "audio")
    with torch.no_grad():
        model.node_emb.weight[3] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        explain(model, fake, 0, 0, 1)
    assert model.training
