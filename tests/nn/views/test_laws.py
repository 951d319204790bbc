"""Laws that hold for every view of the registry."""

import copy

import pytest
import torch
from torch_geometric.data import Data

from torch_imf import Predictor, from_pretrained, save_pretrained
from torch_imf.nn import KGE, Ensemble, View
from torch_imf.registry import classes

VIEWS = list(dict.fromkeys(classes("view").values()))


def graph(triples, num_nodes, num_relations, split=None):
    head, rel, tail = torch.tensor(triples).view(-1, 3).t()
    split = torch.zeros(len(rel), dtype=torch.long) if split is None else torch.tensor(split)
    masks = {name: split == i for i, name in enumerate(("train_mask", "val_mask", "test_mask"))}
    others = {"num_relations": num_relations, "x_text": torch.randn(num_nodes, 4)}
    edges = {"edge_index": torch.stack([head, tail]), "edge_type": rel}
    return Data(num_nodes=num_nodes, **edges, **masks, **others)


def scores(view, data, size=64):
    head, rel = torch.arange(size) % data.num_nodes, torch.arange(size) % (2 * data.num_relations)
    return torch.stack(list(view(head, rel).values()))


@pytest.mark.parametrize("cls", VIEWS)
def test_held_out_facts_do_not_leak(fake, cls):
    other = fake.clone()
    held_out = ~fake.train_mask
    other.edge_index = fake.edge_index.clone()
    other.edge_index[:, held_out] = torch.randint(fake.num_nodes, (2, int(held_out.sum())))
    other.edge_type = fake.edge_type.clone()
    other.edge_type[held_out] = 0
    found = [scores(cls().fit(data), fake) for data in (fake, other)]
    assert torch.equal(*found) and bool((found[0] != 0).any())


@pytest.mark.parametrize("cls", VIEWS)
def test_batches_do_not_matter(fake, cls):
    view = cls().fit(fake)
    head, rel = torch.arange(60), torch.arange(60) % (2 * fake.num_relations)
    expected, perm = view(head, rel), torch.randperm(60)
    assert set(expected) == set(view.scores)
    for name, x in expected.items():
        assert x.size() == (60, fake.num_nodes) and x.dtype == torch.float
        assert bool(x.isfinite().all())
        assert torch.allclose(view(head[perm], rel[perm])[name], x[perm], atol=1e-6)
        some = [view(*part)[name] for part in zip(head.split(7), rel.split(7), strict=True)]
        assert torch.allclose(torch.cat(some), x, atol=1e-6)


@pytest.mark.parametrize("cls", VIEWS)
def test_nothing_to_say_is_zero(cls):
    # Of the second relation, nothing is known in training.
    data = graph([[0, 0, 1], [2, 0, 1], [2, 0, 3], [0, 1, 3]], 5, 2, [0, 0, 0, 2])
    view = cls().fit(data)
    for rel in (1, 3):
        for x in view(torch.arange(5), torch.full((5,), rel)).values():
            assert bool((x == 0).all())


@pytest.mark.parametrize("cls", VIEWS)
def test_state(fake, cls):
    view = cls().fit(fake)
    other = cls()
    other.load_state_dict(copy.deepcopy(view.state_dict()))
    assert (other.num_nodes, other.num_relations) == (fake.num_nodes, fake.num_relations)
    assert torch.equal(scores(other, fake), scores(view, fake))
    # One that was made of another graph forgets it:
    small = cls().fit(graph([[0, 0, 1], [2, 0, 1]], 3, 1))
    scores(small, small)
    small.load_state_dict(view.state_dict())
    assert torch.equal(scores(small, fake), scores(view, fake))
    assert torch.equal(scores(copy.deepcopy(view), fake), scores(view, fake))


@pytest.mark.parametrize("cls", VIEWS)
def test_odd_graphs(cls):
    hub = [[i, 0, 0] for i in range(1, 3000)] + [[i, 1, 3000] for i in range(1, 3000)]
    for data in (
        graph(hub, 3001, 2),  # Two hubs, which all others share.
        graph([[i, 0, i + 1] for i in range(30)], 31, 1),  # One relation.
        graph([[2 * i, i % 2, 2 * i + 1] for i in range(30)], 60, 2),  # One fact each.
        graph([[0, 0, 0]], 1, 1),
    ):
        view = cls().fit(data)
        assert bool(scores(view, data).isfinite().all())
        model = Ensemble([KGE(data.num_nodes, data.num_relations, 4), view])
        assert len(str(Predictor(model, data).explain(0, 0, 0))) > 0


@pytest.mark.parametrize("cls", VIEWS)
def test_reasons(fake, cls):
    # What a view says of a fact can be told in words, if it says anything.
    view = cls().fit(fake)
    for rel in range(2 * fake.num_relations):
        score = sum(x[0] for x in view(torch.tensor([3]), torch.tensor([rel])).values())
        for tail in score.topk(3).indices.tolist():
            for reason in view.reasons(3, rel, tail, k=2):
                words = reason.words(fake.node_names, fake.rel_names)
                names = fake.node_names[3], fake.node_names[tail]
                assert any(name in words for name in names)
                assert reason.confidence is None or 0 < reason.confidence <= 1


def test_unsound_graphs(fake, refuses):
    none = fake.clone()
    none.train_mask = torch.zeros_like(none.train_mask)
    for cls in VIEWS:
        refuses(
            ("'train' split holds no facts", lambda cls=cls: cls().fit(none)),
            ("needs to be a 'Data'", lambda cls=cls: cls().fit(3)),
        )


def test_a_view_of_somebody(fake, tmp_path):
    # As in the docs: what it keeps is not there before it is made of a graph.
    class Popularity(View):
        scores = ("popular",)

        def fit_facts(self, head_index, rel_type, tail_index, data):
            count = torch.bincount(tail_index, minlength=self.num_nodes)
            self.register_buffer("log_count", count.float().log1p())

        def forward(self, head_index, rel_type):
            return {"popular": self.log_count.expand(head_index.numel(), -1)}

    model = Ensemble([Popularity().fit(fake)])
    save_pretrained(model, tmp_path)
    other = from_pretrained(tmp_path, [Popularity])
    query = torch.arange(9), torch.zeros(9, dtype=torch.long)
    assert torch.equal(other.predict(*query), model.predict(*query))
    with pytest.raises(ValueError, match="If it is one of yours, pass it in 'classes'"):
        from_pretrained(tmp_path)
