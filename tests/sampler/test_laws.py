# What every exported sampler has to obey. A new one is tested once it is exported.

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.testing import withCUDA

from torch_imf import KGE, train
from torch_imf.data import TripletIndex
from torch_imf.nn import Sampled
from torch_imf.registry import class_names

N, R, K = 12, 3, 4

each = pytest.mark.parametrize("name", class_names("sampler"))


@withCUDA
@pytest.mark.parametrize("filtered", [False, True])
@each
def test_negatives(build, facts, name, filtered, device):
    head_index, rel_type, tail_index = triples = facts(20, device)
    index = TripletIndex(*triples) if filtered else None
    sampler = build(name, index).to(device)
    neg_index = torch.cat([sampler(*triples) for _ in range(200)], dim=1)
    assert neg_index.size() == (40, 200 * K) and neg_index.dtype == torch.long
    assert neg_index.device == tail_index.device and not neg_index.requires_grad
    # All that may be drawn are:
    for i in range(40):
        allowed = set(range(N)) - {int(tail_index[i])}
        if index is not None:
            allowed -= set(index(head_index[i : i + 1], rel_type[i : i + 1])[1].tolist())
        assert set(neg_index[i].tolist()) - {-1} == allowed


@each
def test_same_seed_same_negatives(build, facts, name):
    triples = facts(20)
    sampler = build(name, TripletIndex(*triples))
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(torch.cat([sampler(*triples), sampler(*triples)], dim=1))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not torch.equal(*draws[0].split(K, dim=1))


@each
def test_sizes(build, facts, name):
    triples = facts(20)
    index = TripletIndex(*triples)
    for size in (0, 1):
        assert build(name, index)(*[x[:size] for x in triples]).size() == (size, K)
    # An empty graph, and facts that it does not hold:
    neg_index = build(name, TripletIndex(*[x[:0] for x in triples]))(*triples)
    assert neg_index.size() == (40, K) and not (neg_index == triples[2].unsqueeze(1)).any()
    if name == "MMRNSSampler":
        with pytest.raises(ValueError, match="Cannot draw 50 negatives without replacement"):
            build(name, index, 50)
    else:  # More than there are entities.
        assert build(name, index, 50)(*triples).size() == (40, 50)


@each
def test_no_candidate_left(build, name):
    # Query (0, 0) has all answers but entity 5, and so has its fact that is not known. Query
    # (1, 0) has one answer.
    head_index, zero = torch.arange(N) // (N - 1), torch.zeros(N, dtype=torch.long)
    tail_index = torch.cat([torch.arange(N)[torch.arange(N) != 5], torch.tensor([4])])
    sampler = build(name, TripletIndex(head_index, zero, tail_index), 1)
    batch = torch.tensor([[0, 0, 1], [0, 0, 0], [2, 5, 4]]).repeat(1, 1000)
    drawn = sampler(*batch).view(1000, 3).t()
    assert set(drawn[0].tolist()) - {-1} == {5}
    assert set(drawn[1].tolist()) == {-1}
    assert set(drawn[2].tolist()) - {-1} == set(range(N)) - {4}

    # All are known:
    full = TripletIndex(zero, zero, torch.arange(N))
    if name == "MMRNSSampler":  # Nothing could ever be drawn for this query.
        with pytest.raises(ValueError, match="Cannot draw 1 negatives"):
            build(name, full, 1)
    else:
        sampler = build(name, full)
        assert (sampler(zero, zero, torch.arange(N)) == -1).all()

    # What has no negative is learned from as a fact alone:
    model = KGE(N, R, 8, scorer="rotate", loss=Sampled(sampler=sampler))
    ((*fact, neg_index),) = model.loader(zero[:1], zero[:1], torch.tensor([5]))
    assert (neg_index == -1).all()
    loss = model.loss(*fact, neg_index)
    loss.backward()
    assert torch.isclose(loss, F.softplus(-model(*fact)).mean())
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(grads) == 2 and all(x.isfinite().all() and x.abs().sum() > 0 for x in grads)


@each
def test_training_by_single_facts(build, facts, name):
    triples = facts(5)
    sampler = build(name, TripletIndex(*triples))
    model = KGE(N, R, 8, scorer="rotate", loss=Sampled(sampler=sampler))
    loader = model.loader(*triples, batch_size=1)
    assert len(loader) == 10 and all(x.size(0) == 1 for batch in loader for x in batch)
    optimizers = [torch.optim.Adam(params, lr=0.01) for _, params, _ in model.objectives()]
    losses = [train(model, loader, optimizers) for _ in range(20)]
    assert losses[-1] < losses[0]
