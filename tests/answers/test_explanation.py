import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf import Calibration, Predictor, evaluate, fit
from torch_imf.answers import Rank
from torch_imf.answers.explanation import without
from torch_imf.data import modalities
from torch_imf.nn import IKRL, IMF, KGE, RSME, AdaMF


def fact(data, rel, mask):
    i = int((mask & (data.edge_type == rel)).nonzero()[0])
    return int(data.edge_index[0, i]), rel, int(data.edge_index[1, i])


def one_fact(data, h, r, t):
    # The graph with this fact as the only one to be tested.
    data = data.clone()
    data.test_mask = (data.edge_index[0] == h) & (data.edge_type == r) & (data.edge_index[1] == t)
    return data


def test_explain(fake, build):
    model = build(fake)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    h, r, t = fact(fake, 3, fake.test_mask)
    names = (fake.node_names[h], "has_topic", fake.node_names[t])
    calibration = Calibration(1.0, 1.0, 0.0, is_prob=True)
    predictor = Predictor(model, fake, calibration)
    out = predictor.explain(*names, k=3)
    assert out == predictor.explain(h, r, t, k=3)
    assert out.fact == names and out.split == "test"
    assert model.training and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    data = one_fact(fake, h, r, t)
    found = {None: out.rank, **out.views}
    for view, rank in found.items():
        metrics = evaluate(model, data, view=view)
        assert rank == Rank(metrics["tail"]["mr"], metrics["head"]["mr"])
    for name, rank in out.without.items():
        metrics = evaluate(without(model, name), data)
        assert rank == Rank(metrics["tail"]["mr"], metrics["head"]["mr"])
    score = model.eval().predict(torch.tensor([h]), torch.tensor([r]))
    assert out.score == pytest.approx(float(score[0, t]))
    assert out.probability == pytest.approx(float(calibration(score)[0, t]))
    assert list(out.views) == list(out.weights) == model.views
    assert list(out.without) == ["numeric", "text", "visual"]
    assert len(out.neighbors) == 3 and all(x.relation == "has_topic" for x in out.neighbors)
    assert predictor.explain(h, r, t, k=3, view="text").neighbors != out.neighbors


def test_ties(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    with torch.no_grad():  # Everything scores the same.
        model.rel_emb.weight.zero_()
    h, r, t = fact(fake, 3, fake.test_mask)
    metrics = evaluate(model, one_fact(fake, h, r, t))
    predictor = Predictor(model, fake)
    rank = predictor.explain(h, r, t).rank
    assert rank == Rank(metrics["tail"]["mr"], metrics["head"]["mr"])
    # A fact that is not known is no rival of itself: of 150 entities, those that are known leave.
    num_known = int(((fake.edge_index[0] == 0) & (fake.edge_type == 0)).sum())
    assert predictor.explain(0, 0, 0).rank.tail == 1 + (fake.num_nodes - 1 - num_known) / 2


@pytest.mark.parametrize("cls", [IMF, AdaMF, IKRL, RSME])
def test_without_is_a_model_of_no_such_features(fake, build, cls):
    # Independently: the same weights in a model that was made with features of a mask of nobody
    # but one entity, which is as good as none for all others.
    model = build(fake, cls)
    before = model.eval().encode()
    out = without(model, "text").encode()
    after = model.encode()
    x_dict, mask_dict = modalities(fake)
    one = int(mask_dict["text"].nonzero()[0])
    mask = torch.zeros_like(mask_dict["text"])
    mask[one] = True
    other = cls(fake.num_nodes, fake.num_relations, 8, x_dict, mask_dict | {"text": mask})
    other.load_state_dict(model.state_dict())
    expected = other.eval().encode()
    rest = torch.arange(fake.num_nodes) != one
    for view, z in out.items():
        assert torch.equal(before[view], after[view])  # The model itself stays as it is.
        assert torch.allclose(z[rest], expected[view][rest], atol=1e-6)
    assert any(not torch.equal(out[view], before[view]) for view in out)


def test_a_modality_that_carries_the_answer(fake, build):
    # Topics follow from texts alone, so facts fall most without them.
    model = build(fake, scorer="distmult", loss="ce", views=["struct", "text", "fused"])
    fit(model, fake, epochs=8, batch_size=64, lr=0.03, eval_every=8)
    pos = (fake.test_mask & (fake.edge_type == 3)).nonzero().view(-1)[:5].tolist()
    predictor = Predictor(model, fake)
    out = [predictor.explain(fake.edge_index[0, i], 3, fake.edge_index[1, i]) for i in pos]

    def mean(ranks):
        ranks = list(ranks)
        return sum(1 / rank.tail for rank in ranks) / len(ranks)

    own = mean(x.rank for x in out)
    assert mean(x.without["text"] for x in out) < 0.7 * own
    assert mean(x.without["text"] for x in out) < 0.7 * mean(x.without["numeric"] for x in out)
    assert mean(x.views["text"] for x in out) > mean(x.views["struct"] for x in out)


def test_splits(fake):
    predictor = Predictor(KGE(fake.num_nodes, fake.num_relations, 8), fake)
    for split in ("train", "val", "test"):
        out = predictor.explain(*fact(fake, 3, fake[f"{split}_mask"]))
        assert out.split == split and out.without == {} and list(out.views) == ["struct"]
    out = predictor.explain(0, 0, 0)
    assert out.split is None and out.probability is None
    assert str(out).startswith("thing 0  next_to  thing 0  (no known fact)\nscore ")


def test_paths():
    # a -r-> b, a -s-> b, a -r-> c, c -s-> b, b -r-> d, d -r-> a; a -r-> e -r-> b only in test.
    triples = [[0, 0, 1], [0, 1, 1], [0, 0, 2], [2, 1, 1], [1, 0, 3], [3, 0, 0], [0, 0, 4]]
    head, rel, tail = torch.tensor([*triples, [4, 0, 1]]).t()
    train = torch.arange(8) < 6
    data = Data(
        edge_index=torch.stack([head, tail]),
        edge_type=rel,
        num_nodes=5,
        num_relations=2,
        train_mask=train,
        val_mask=torch.zeros(8, dtype=torch.bool),
        test_mask=~train,
        node_names=["a", "b", "c", "d", "e"],
        rel_names=["r", "s"],
    )
    predictor = Predictor(KGE(5, 2, 4), data)
    paths = predictor.explain(0, 0, 1, k=10).paths
    # The fact itself is no path, nor is one of test facts; c and d have two facts each.
    assert paths == [
        ("a", "s", "b"),
        ("a", "r", "c", "s", "b"),
        ("a", "r^-1", "d", "r^-1", "b"),
    ]
    assert predictor.explain("a", "r", "b", k=2).paths == paths[:2]
    assert predictor.explain(1, 0, 0, k=1).paths == [("b", "r^-1", "a")]
    assert predictor.explain(0, 0, 4, k=3).paths == []


def test_paths_by_way_of_rare_entities(fake, build):
    degree = torch.bincount(fake.edge_index[:, fake.train_mask].view(-1))
    paths = Predictor(build(fake), fake).explain(0, 0, 1, k=100).paths
    middle = [fake.node_names.index(p[2]) for p in paths if len(p) == 5]
    assert degree[middle].tolist() == sorted(degree[middle].tolist())


def test_nearest_facts(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 4)
    of_relation = fake.train_mask & (fake.edge_type == 2)
    h, _, t = fact(fake, 2, fake.train_mask)
    z = model.node_emb.weight.detach()
    x = z - z.mean(dim=0)
    expected = {}
    for a, b in fake.edge_index[:, of_relation].t().tolist():
        cos = F.cosine_similarity(x[[a, b]], x[[h, t]], dim=-1)
        expected[fake.node_names[a], "has_colour", fake.node_names[b]] = float(cos.mean())
    del expected[fake.node_names[h], "has_colour", fake.node_names[t]]
    best = sorted(expected, key=expected.__getitem__, reverse=True)
    predictor = Predictor(model, fake)
    facts = predictor.explain(h, 2, t, k=6).neighbors
    assert [(f.head, f.relation, f.tail) for f in facts] == best[:6]
    assert [f.similarity for f in facts] == pytest.approx([expected[f] for f in best[:6]], abs=1e-5)
    assert len(predictor.explain(h, 2, t, k=10**4).neighbors) == len(expected)
