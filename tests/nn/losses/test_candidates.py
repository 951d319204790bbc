# The softmax over candidates that are drawn: `OneToN("ce", num_candidates=...)`.
import math

import pytest
import torch

from torch_imf.nn import IMF, KGE, N3, AdaMF, OneToN
from torch_imf.registry import build_model, describe, make

MODELS = {
    "product": (KGE, {"scorer": "complex"}),
    "distance": (KGE, {"scorer": "rotate"}),
    "adversary": (AdaMF, {"scorer": "complex", "adversary": True}),
    "contrastive": (IMF, {"scorer": "complex"}),
}


@pytest.fixture
def batch(fake):
    head_index, rel_type = torch.tensor([3, 1, 3, 0]), torch.arange(4)
    pos_index = torch.tensor([[0, 1, 1, 2, 3], [7, 9, 7, 2, 140]])
    return head_index, rel_type, pos_index


class Reversed(OneToN):
    """Compares with all entities, in another order."""

    def sample(self, num_nodes, head_index, rel_type, *target):
        index, (row, tail_index) = torch.arange(num_nodes).flip(0), target[0]
        pos_index = torch.stack([row, num_nodes - 1 - tail_index])
        return index, (num_nodes - 1 - head_index, rel_type, pos_index, torch.zeros(num_nodes))


@pytest.mark.parametrize("name", MODELS)
def test_all_candidates_are_the_exact_loss(fake, build, batch, same, name):
    cls, kwargs = MODELS[name]
    model = build(cls, **kwargs).double()
    params = [p for n, p in model.named_parameters() if p.requires_grad and "generators" not in n]

    def loss(cls, **kwargs):
        model.loss_fn = cls("ce", regularizer=N3(), **kwargs)
        torch.manual_seed(3)
        return model.loss(*batch)

    same(loss(OneToN, num_candidates=fake.num_nodes), loss(OneToN), params)
    kwargs = {"num_candidates": fake.num_nodes, "resample_every": 3}
    same(loss(OneToN, **kwargs), loss(OneToN), params)
    same(loss(Reversed), loss(OneToN), params)


@pytest.mark.parametrize("num_candidates", [None, 20])
def test_seen_only(fake, batch, num_candidates):
    # Entities without a fact to train on are no candidates.
    head_index, tail_index = fake.edge_index[:, fake.train_mask & (fake.edge_index > 9).all(dim=0)]
    loss = OneToN("ce", num_candidates=num_candidates, seen_only=True)
    loss.loader((head_index, torch.zeros_like(head_index), tail_index), fake.num_nodes)
    query = head_index[:4], torch.zeros(4, dtype=torch.long), tail_index[:4]
    index, (head, _, pos_index, bias) = loss.sample(fake.num_nodes, *query)
    seen = torch.cat([head_index, tail_index]).unique()
    assert torch.isin(index, seen).all() and index[head].equal(query[0])
    assert index[pos_index[1]].equal(query[2])
    known = torch.cat([query[0], query[2]]).unique().numel()
    others = seen.numel() - known
    assert index.numel() == known + (num_candidates or others)
    assert bias.sum() == pytest.approx(20 * math.log(others / 20) if num_candidates else 0)
    with pytest.raises(ValueError, match="'seen_only' needs 'loss' to be 'ce'"):
        OneToN("bce", seen_only=True)


@pytest.mark.parametrize("seen_only", [False, True])
def test_candidates_that_batches_share(fake, batch, seen_only):
    loss = OneToN("ce", num_candidates=20, seen_only=seen_only, resample_every=2)
    facts = torch.arange(0, fake.num_nodes, 2), torch.zeros(72).long(), torch.arange(72)
    loss.loader(tuple(x[:72] for x in facts), fake.num_nodes)
    size = torch.cat([facts[0][:72], facts[2]]).unique().numel() if seen_only else fake.num_nodes
    head_index, rel_type, (row, tail_index) = batch
    known = torch.cat([head_index, tail_index]).unique()

    def drawn():
        index, (head, rel, pos_index, bias) = loss.sample(fake.num_nodes, *batch)
        assert index[head].equal(head_index) and rel is rel_type and pos_index[0].equal(row)
        assert index[pos_index[1]].equal(tail_index)
        is_known = torch.isin(index, known)
        count = int((~is_known).sum())
        assert is_known.sum() == len(known) and 20 - len(known) <= count <= 20
        weight = math.log((size - len(known)) / count)
        assert torch.allclose(bias, weight * (~is_known).float())
        return index[~is_known]

    first, second, third, fourth = (drawn() for _ in range(4))
    assert first.equal(second) and third.equal(fourth) and not first.equal(third)
    drawn()
    loss.train()  # As an epoch begins.
    torch.manual_seed(1)
    fifth = drawn()
    assert OneToN("ce", num_candidates=20, resample_every=9).train()._drawn is None
    torch.manual_seed(1)
    loss.train()
    assert drawn().equal(fifth)

    # Of a batch that knows all entities, there is nothing to draw:
    every = torch.arange(fake.num_nodes)
    pos_index = torch.stack([every, every.flip(0)])
    index, (*_, bias) = loss.sample(fake.num_nodes, every, torch.zeros_like(every), pos_index)
    assert index.numel() == fake.num_nodes and not bias.any()


@pytest.mark.parametrize("resample_every", [1, 2])
@pytest.mark.parametrize("scorer", ["complex", "rotate"])
def test_denominator_is_right_on_average(fake, build, batch, scorer, resample_every):
    loss = OneToN("ce", num_candidates=20, resample_every=resample_every)
    model = build(KGE, scorer=scorer, loss=loss)
    with torch.no_grad():
        model.node_emb.weight.mul_(4)  # Scores that differ.
        head_index, rel_type, (row, tail_index) = batch
        score = model.similarity(
            model.query(model.encode(head_index), rel_type), model.key(model.encode())
        )
        ratios = []
        for _ in range(800):
            loss.train()  # Candidates of its own.
            index, (head, rel, pos_index, bias) = loss.sample(fake.num_nodes, *batch)
            assert index.numel() == 27 or resample_every > 1
            assert index[head].equal(head_index) and rel is rel_type
            assert index[pos_index[1]].equal(tail_index) and pos_index[0].equal(row)
            ratios.append((score[:, index] + bias).logsumexp(-1) - score.logsumexp(-1))
        ratio = torch.stack(ratios).exp()
        error = ratio.std(dim=0) / math.sqrt(len(ratios))
        assert ((ratio.mean(dim=0) - 1).abs() < 4 * error).all() and error.max() < 0.05
        torch.manual_seed(1)
        out = model.train().loss(*batch)
        torch.manual_seed(1)
        loss.train()
        index, (*_, bias) = loss.sample(fake.num_nodes, *batch)
        log_sum = (score[:, index] + bias).logsumexp(-1)
        assert torch.allclose(out, (log_sum[row] - score[row, tail_index]).mean())


def test_by_name(fake, refuses):
    settings = {"hidden_channels": 8, "loss": "ce", "loss.num_candidates": 30}
    loss = build_model("kge", fake, **settings).loss_fn
    assert loss.num_candidates == 30 and describe(make(describe(loss))) == describe(loss)
    refuses(
        ("'num_candidates' needs 'loss' to be 'ce'", lambda: OneToN("bce", num_candidates=3)),
        ("'resample_every=3' needs 'num_candidates'", lambda: OneToN("ce", resample_every=3)),
        ("'num_candidates' needs to be positive", lambda: OneToN("ce", num_candidates=0)),
    )
