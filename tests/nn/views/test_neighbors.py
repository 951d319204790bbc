import copy

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf import Predictor, evaluate, from_pretrained, save_pretrained
from torch_imf.data.graph import split_facts
from torch_imf.nn import KGE, Ensemble, FeatureView


@pytest.fixture
def data():
    """Answers follow from features: relation 0 rotates them, relation 1 keeps the nearest one."""
    x, index = torch.randn(60, 6), torch.arange(30)
    x[30:] = x[:30].roll(1, dims=1) + 0.1 * torch.randn(30, 6)
    train = torch.rand(60) < 0.8
    val = ~train & (torch.rand(60) < 0.5)
    return Data(
        x_text=x,
        text_mask=torch.arange(60) != 7,
        edge_index=torch.stack([index.repeat(2), torch.cat([index + 30, index.roll(1)])]),
        edge_type=torch.arange(2).repeat_interleave(30),
        train_mask=train,
        val_mask=val,
        test_mask=~train & ~val,
        num_nodes=60,
        num_relations=3,  # The last one has no facts.
    )


def test_feature_view(data):
    view = FeatureView(ridge=1.0, num_neighbors=3).fit(data)
    assert view.scores == ("near text", "votes text")
    x = view.x[0]
    head, rel = torch.tensor([2, 40, 7, 3, 5]), torch.tensor([0, 3, 0, 2, 1])
    near, votes = view(head, rel).values()

    train_head, train_rel, train_tail = split_facts(data, "train")
    for i in (0, 1, 4):  # Every head has one tail.
        facts = (train_rel == rel[i]) & (train_head != head[i])
        cosine = x[train_head[facts]] @ x[head[i]]
        value, best = cosine.clamp(min=0).pow(3).topk(3)
        expected = torch.zeros(60).index_put((train_tail[facts][best],), value / value.sum())
        assert torch.allclose(votes[i], expected, atol=1e-5)
    assert not near[2:4].any() and not votes[2:4].any()  # No features, or no facts.
    assert not near[:, 7].any() and near[0].argmax() == 32 and near[1].argmax() == 10

    # A ridge regression towards a multiple of the identity, by its gradient:
    facts = (train_rel == 0) & (train_head != 7)
    a, b = x[train_head[facts]], x[train_tail[facts]]
    bias = b.mean(dim=0)
    slope = (a * (b - bias)).sum() / (len(a) + 1)
    weight = view.lin[0, 0].clone().requires_grad_()
    loss = (a @ weight + bias - b).square().sum()
    loss = loss + (weight - slope * torch.eye(128)).square().sum()
    assert torch.autograd.grad(loss, weight)[0].abs().max() < 1e-4
    query = F.normalize(x[2] @ weight + bias, dim=0)
    assert torch.allclose(near[0], x @ query, atol=1e-5)


def test_components(data):
    x, mask = data.x_text, data.text_mask
    centred = F.normalize(x[mask] - x[mask].mean(dim=0), dim=1)
    (out,) = FeatureView().fit(data).x
    assert out.size() == (60, 128) and not out[~mask].any()
    assert torch.allclose(out[mask] @ out[mask].t(), centred @ centred.t(), atol=1e-5)
    (out,) = FeatureView(2).fit(data).x
    assert torch.allclose(out[mask].norm(dim=1), torch.ones(int(mask.sum())))


def test_no_leak_and_any_chunks(data, monkeypatch):
    view, head, rel = FeatureView().fit(data), torch.arange(60), torch.arange(60) % 6
    other = data.clone()
    other.edge_index[:, ~data.train_mask] = 0
    scores = view(head, rel)
    monkeypatch.setattr("torch_imf.nn.views.neighbors.MAX_NUMBERS", 3 * 128**2 * 6)
    again = FeatureView().fit(other)
    monkeypatch.setattr("torch_imf.nn.views.neighbors.MAX_NUMBERS", 40)
    for name, x in again(head, rel).items():
        assert torch.allclose(x, scores[name], atol=1e-6)
        assert torch.allclose(x[7:9], again(head[7:9], rel[7:9])[name], atol=1e-6)


def test_in_an_ensemble(data, tmp_path):
    model = Ensemble([KGE(60, 3, 8), FeatureView().fit(data)])
    assert model.views == ["struct", "near text", "votes text"]
    save_pretrained(model, tmp_path)
    other, query = from_pretrained(tmp_path), (torch.tensor([2, 7]), torch.tensor([0, 4]))
    assert other.views == model.views
    assert torch.allclose(model.predict(*query), other.predict(*query), atol=1e-5)


def test_control(data):
    # Features of relation 0 tell its answers, and those dealt anew do not.
    data.train_mask = data.edge_type == 0
    data.train_mask[::3] = False
    data.test_mask, data.val_mask = ~data.train_mask & (data.edge_type == 0), data.edge_type == 1
    other = data.clone()
    other.x_text = data.x_text[torch.randperm(60)]
    mrr = [evaluate(Ensemble([FeatureView(ridge=1.0).fit(x)]), x)["mrr"] for x in (data, other)]
    assert mrr[0] > 3 * mrr[1]


def test_errors(data, refuses):
    del data.x_text, data.text_mask
    refuses(
        ("'ridge' needs to be positive", lambda: FeatureView(ridge=0.0)),
        ("needs a graph with features", lambda: FeatureView().fit(data)),
    )


def test_who_is_similar(data):
    data.edge_index[1, :30] = 31  # Of 30 heads.
    view = FeatureView().fit(data)
    x = view.x[0]
    found = view.reasons(2, 0, 31, k=3)
    train_head = split_facts(data, "train")[0]
    expected = sorted(float(x[2] @ x[h]) for h in range(30) if h != 2 and data.train_mask[h])
    assert [fact.similarity for fact in found] == pytest.approx(expected[:-4:-1], abs=1e-5)
    assert all(fact.head in train_head and fact[2:4] == (0, 31) for fact in found)
    names = [f"node {i}" for i in range(60)]
    words = f"node {found[0].head}  b  node 31: node {found[0].head} is like node 2 in text ("
    assert found[0].words(names, ["b", "c", "d"]).startswith(words)
    assert view.reasons(7, 0, 31) == view.reasons(2, 0, 40) == []  # No features, or no facts.


def test_without_a_modality(data):
    view = FeatureView().fit(data)
    model = Ensemble([KGE(60, 3, 8), view])
    predictor = Predictor(model, data)
    out = predictor.explain(2, 0, 32)
    other = FeatureView().fit(data)
    other.forget("text")
    assert not any(y.any() for y in other(torch.tensor([2]), torch.tensor([0])).values())
    alone = Predictor(Ensemble([model.members[0], other]), data).explain(2, 0, 32)
    assert set(out.without) == {"text"} and out.without["text"] == alone.rank
    assert view.x.any()  # It has not forgotten.


def test_few_pictures_of_one_colour(fake):
    # Of nearly no rank, and of more values than there are entities.
    fake = copy.copy(fake)
    torch.manual_seed(0)
    fake.x_visual = torch.rand(fake.num_nodes, 3).repeat_interleave(400, dim=1)
    fake.x_visual[~fake.visual_mask] = 0
    query = torch.tensor([2, 5]), torch.tensor([0, 1])
    views = FeatureView().fit(fake), FeatureView()
    fake.x_visual = fake.x_visual[:, ::400].clone()  # The same, up to their length.
    small = views[1].fit(fake)(*query)
    for name, x in views[0](*query).items():
        assert torch.allclose(x, small[name], atol=1e-3)
