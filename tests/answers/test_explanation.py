import copy

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf import Calibration, Predictor, evaluate
from torch_imf.answers import Rank
from torch_imf.answers.explanation import without
from torch_imf.data import modalities
from torch_imf.nn import IKRL, IMF, KGE, RSME, AdaMF, Ensemble, RuleView, TypePrior


def fact(data, rel, split="test"):
    i = int((data[f"{split}_mask"] & (data.edge_type == rel)).nonzero()[0])
    return int(data.edge_index[0, i]), rel, int(data.edge_index[1, i])


def evaluated(model, data, h, r, t, **kwargs):
    # The ranks of a fact if it is the only one to be tested, and loops are known, so no rivals.
    data = data.clone()
    if not bool((data.edge_index[0] == data.edge_index[1])[data.edge_type == r].any()):
        data.edge_index = torch.cat([data.edge_index, torch.tensor([[h, t], [h, t]])], dim=1)
        data.edge_type = torch.cat([data.edge_type, torch.tensor([r, r])])
        for name, value in (("train_mask", True), ("val_mask", False), ("test_mask", False)):
            data[name] = torch.cat([data[name], torch.tensor([value, value])])
    data.test_mask = (data.edge_index[0] == h) & (data.edge_type == r) & (data.edge_index[1] == t)
    metrics = evaluate(model, data, **kwargs)
    return Rank(metrics["tail"]["mr"], metrics["head"]["mr"])


def test_explain(fake, build):
    model = build(fake)
    state = copy.deepcopy(model.state_dict())
    h, r, t = fact(fake, 3)
    names = (fake.node_names[h], "has_topic", fake.node_names[t])
    calibration = Calibration(1.0, 1.0, 0.0, is_prob=True)
    predictor = Predictor(model, fake, calibration)
    out = predictor.explain(*names, k=3)
    assert out == predictor.explain(h, r, t, k=3)
    assert out.fact == names and out.split == "test"
    assert model.training and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    assert out.rank == evaluated(model, fake, h, r, t)
    assert out.views == {v: evaluated(model, fake, h, r, t, view=v) for v in model.views}
    lacking = {name: without(model, name) for name in ("numeric", "text", "visual")}
    assert out.without == {name: evaluated(x, fake, h, r, t) for name, x in lacking.items()}
    score = model.eval().predict(torch.tensor([h]), torch.tensor([r]))
    assert out.score == pytest.approx(float(score[0, t]))
    assert out.probability == pytest.approx(float(calibration(score)[0, t]))
    assert list(out.views) == list(out.weights) == model.views
    assert len(out.neighbors) == 3 and all(x.relation == "has_topic" for x in out.neighbors)
    assert predictor.explain(h, r, t, k=3, view="text").neighbors != out.neighbors


def test_explain_an_ensemble(fake, build, tmp_path):
    views = [cls().fit(fake) for cls in (TypePrior, RuleView)]
    imf = build(fake, views=["struct", "text", "fused"])
    model = Ensemble([*views, imf, build(fake, AdaMF)])
    h, r, t = fact(fake, 1)  # "after", the inverse of "next_to".
    predictor = Predictor(model, fake)
    out = predictor.explain(h, r, t)
    assert out.rank == evaluated(model, fake, h, r, t)
    assert out.views == {v: evaluated(model, fake, h, r, t, view=v) for v in model.views}
    # Modalities of both models, those that are only fused, too:
    assert set(out.without) == {"numeric", "text", "visual"}
    other = Ensemble([*views, without(imf, "text"), without(model.members[3], "text")])
    assert out.without["text"] == evaluated(other, fake, h, r, t)
    head, tail = fake.node_names[h], fake.node_names[t]
    best = next(x for x in out.reasons if x.view == "RuleView")
    assert best.text == f"{tail}  next_to  {head}" and best.confidence > 0.8
    assert f"{best.text}: right in {100 * best.confidence:.1f} % of cases" in str(out)
    assert f"{tail} is tail of after in " in str(out)
    # Neighbours are those of a trained view:
    assert out.neighbors == predictor.explain(h, r, t, view="fused").neighbors != []
    views_of = "'view' needs to be one of .'struct', 'text', 'fused', 'fused 2'."
    with pytest.raises(ValueError, match=views_of):
        predictor.explain(h, r, t, view="paths")
    assert Predictor(Ensemble(views), fake).explain(h, r, t).neighbors == []
    # What a view of a modality that is lacking takes in its place is no part of the score:
    one = int((~fake.text_mask).nonzero()[0])
    assert all("text" in x.lacks for x in predictor.predict(one, r))
    (tmp_path / "queries.tsv").write_text("thing 1\tafter\t?\n")
    assert predictor.predict_file(tmp_path / "queries.tsv", tmp_path / "out.tsv", k=4) == 4
    assert "of best path" in (tmp_path / "out.tsv").read_text()
    assert len(predictor.complete(3)) == 3


def test_splits_and_ties(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    with torch.no_grad():  # Everything scores the same.
        model.rel_emb.weight.zero_()
    predictor = Predictor(model, fake)
    for split in ("train", "val", "test"):
        out = predictor.explain(*fact(fake, 3, split))
        assert out.split == split and out.without == {} and list(out.views) == ["struct"]
        assert out.rank == evaluated(model, fake, *fact(fake, 3, split))
    # A fact that is not known is no rival of itself: of 150 entities, those that are known leave.
    out = predictor.explain(0, 0, 0)
    num_known = int(((fake.edge_index[0] == 0) & (fake.edge_type == 0)).sum())
    assert out.rank.tail == 1 + (fake.num_nodes - 1 - num_known) / 2
    assert out.split is None and out.probability is None
    assert str(out).startswith("thing 0  next_to  thing 0  (no known fact)\nscore ")


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
    rest = torch.arange(fake.num_nodes) != one
    other = cls(fake.num_nodes, fake.num_relations, 8, x_dict, mask_dict | {"text": ~rest})
    other.load_state_dict(model.state_dict())
    expected = other.eval().encode()
    for view, z in out.items():
        assert torch.equal(before[view], after[view])  # The model itself stays as it is.
        assert torch.allclose(z[rest], expected[view][rest], atol=1e-6)
    assert any(not torch.equal(out[view], before[view]) for view in out)


def test_paths():
    # a -r-> b, a -s-> b, a -r-> c, c -s-> b, c -s-> c, b -r-> d, d -r-> a; a -r-> e -r-> b in test.
    triples = [[0, 0, 1], [0, 1, 1], [0, 0, 2], [2, 1, 1], [2, 1, 2], [1, 0, 3], [3, 0, 0]]
    head, rel, tail = torch.tensor([*triples, [0, 0, 4], [4, 0, 1]]).t()
    train = torch.arange(9) < 7
    masks = {"train_mask": train, "val_mask": torch.zeros_like(train), "test_mask": ~train}
    facts = {"edge_index": torch.stack([head, tail]), "edge_type": rel, **masks}
    names = {"node_names": ["a", "b", "c", "d", "e"], "rel_names": ["r", "s"]}
    data = Data(**facts, **names, num_nodes=5, num_relations=2)
    predictor = Predictor(KGE(5, 2, 4), data)
    paths = predictor.explain(0, 0, 1, k=10).paths
    # The fact itself is no path, nor is one of test facts; c has more facts than d.
    assert paths == [("a", "s", "b"), ("a", "r^-1", "d", "r^-1", "b"), ("a", "r", "c", "s", "b")]
    assert predictor.explain("a", "r", "b", k=2).paths == paths[:2]
    assert predictor.explain(1, 0, 0, k=1).paths == [("b", "r^-1", "a")]
    assert predictor.explain(0, 0, 4, k=3).paths == []


def test_nearest_facts(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 4)
    of_relation = fake.train_mask & (fake.edge_type == 2)
    h, _, t = fact(fake, 2, "train")
    x = model.node_emb.weight.detach()
    x = x - x.mean(dim=0)
    expected = {}
    for a, b in fake.edge_index[:, of_relation].t().tolist():
        cos = F.cosine_similarity(x[[a, b]], x[[h, t]], dim=-1)
        expected[fake.node_names[a], "has_colour", fake.node_names[b]] = float(cos.mean())
    del expected[fake.node_names[h], "has_colour", fake.node_names[t]]
    best = sorted(expected, key=expected.__getitem__, reverse=True)
    facts = Predictor(model, fake).explain(h, 2, t, k=10**4).neighbors
    assert [(f.head, f.relation, f.tail) for f in facts[:6]] == best[:6]
    assert [f.similarity for f in facts] == pytest.approx([expected[f] for f in best], abs=1e-5)
