import pytest
import torch
from torch_geometric.nn.kge import TransE

from torch_imf.data import TripletIndex
from torch_imf.nn import KGE
from torch_imf.sampler import KBGANSampler

zero = torch.zeros(1, dtype=torch.long)


def table_sampler(key_index=None, **kwargs):
    # The scores of its generator are parameters, and its candidates may be always the same.
    generator = torch.nn.Module()
    weight = generator.weight = torch.nn.Parameter(torch.randn(5))
    generator.score = scores(weight)
    sampler = KBGANSampler(5, generator, **kwargs)
    if key_index is not None:
        sampler.candidates.forward = lambda *fact: key_index
    return sampler, weight


def scores(reward):
    return lambda head_index, rel_type, key_index: reward[key_index.where(key_index >= 0, 99)]


@pytest.mark.parametrize("generator", [TransE(6, 4, 8), KGE(6, 2, 8, scorer="tucker")])
def test_any_model_generates(generator):
    triples = torch.randint(6, (10,)), torch.randint(4, (10,)), torch.randint(6, (10,))
    index = TripletIndex(*triples)
    sampler = KBGANSampler(6, generator.eval(), index, 3, num_candidates=7)
    assert str(sampler) == (
        f"KBGANSampler(6, num_negatives=3, index={index}, generator={generator}, num_candidates=7)"
    )
    names = [f"generator.{name}" for name in generator.state_dict()]
    assert set(sampler.state_dict()) == {"baseline", *names}
    sampler.sample(*triples)[1].sum().backward()
    assert generator.node_emb.weight.grad.abs().sum() > 0
    key_index = torch.randint(6, (10, 4))
    expected = [generator(*triples[:2], key_index[:, k]) for k in range(4)]
    score = sampler._score(*triples[:2], key_index)
    assert torch.allclose(score, torch.stack(expected, dim=1), atol=1e-6)
    sampler.baseline.fill_(3.0)
    weight = generator.node_emb.weight.clone()
    sampler.reset_parameters()
    assert sampler.baseline == 0 and not torch.equal(weight, generator.node_emb.weight)


def test_frequencies():
    sampler, weight = table_sampler(torch.tensor([[1, 2, 4, 4]]), num_negatives=20000)
    neg_index, log_prob = sampler.sample(zero, zero, zero)
    prob = weight.detach()[[1, 2, 4, 4]].softmax(dim=0)
    expected = torch.tensor([0, prob[0], prob[1], 0, prob[2] + prob[3]])
    share = neg_index[0].bincount(minlength=5) / 20000
    assert (share - expected).abs().max() < 0.015
    each = torch.zeros(5).index_put((torch.tensor([1, 2, 4]),), prob[:3].log())
    assert torch.allclose(log_prob, each[neg_index], atol=1e-5)


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_policy_gradient_is_that_of_the_expected_reward(baseline):
    sampler, weight = table_sampler(torch.arange(5).unsqueeze(0), momentum=1.0)
    reward = torch.randn(5)
    expected = torch.autograd.grad(-(weight.softmax(dim=0) * reward).sum(), weight)[0]

    # The expectation over all five choices:
    sampler.baseline.fill_(baseline)
    log_prob = weight.log_softmax(dim=0)
    loss = sum(
        log_prob[t].exp().detach() * sampler.loss(log_prob[t].view(1, 1), reward[t].view(1, 1))
        for t in range(5)
    )
    assert torch.allclose(torch.autograd.grad(loss, weight)[0], expected, atol=1e-6)
    assert sampler.baseline == torch.tensor(baseline)

    # The average over many draws:
    sampler.num_negatives = 40000
    _, params, loss_fn = sampler.objective(scores(reward))
    assert len(params) == 1 and params[0] is weight
    loss = loss_fn(zero, zero, zero, zero.view(1, 1))
    assert torch.allclose(torch.autograd.grad(loss, weight)[0], expected, atol=0.02)


def test_baseline():
    sampler, _ = table_sampler(momentum=0.75)
    log_prob, reward = torch.randn(2, 3), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    assert torch.isclose(sampler.loss(log_prob, reward), -(reward * log_prob).mean())
    assert sampler.baseline == 1
    assert torch.isclose(sampler.loss(log_prob, reward), -((reward - 1) * log_prob).mean())
    assert sampler.baseline == 1.75
    # No gradient reaches the discriminator:
    assert not sampler.loss(log_prob, reward.requires_grad_()).requires_grad
    with pytest.raises(ValueError, match="'momentum' needs to be in .0, 1. .got 2"):
        table_sampler(momentum=2)


def test_facts_without_candidates():
    # The first fact has none, the second two of three.
    facts = zero.expand(3, 2)
    key_index = torch.tensor([[-1, -1, -1], [1, -1, 4]])
    sampler, weight = table_sampler(key_index, num_negatives=1000, momentum=0.5)
    reward = torch.randn(5)
    loss_fn = sampler.objective(scores(reward)).loss
    torch.manual_seed(1)
    loss = loss_fn(*facts)
    torch.manual_seed(1)
    neg_index, log_prob = sampler.sample(*facts)
    assert set(neg_index[0].tolist()) == {-1} and set(neg_index[1].tolist()) == {1, 4}
    expected = weight[[1, 4]].log_softmax(dim=0)[(neg_index[1] == 4).long()]
    assert torch.allclose(log_prob[1], expected, atol=1e-6)
    assert torch.isclose(loss, -(reward[neg_index[1]] * log_prob[1]).sum() / 2000)
    (grad,) = torch.autograd.grad(loss, weight)
    assert grad.isfinite().all() and grad[[1, 4]].abs().sum() > 0 and grad[[0, 2, 3]].sum() == 0
    # If no fact has any, nothing is learned:
    sampler.baseline.fill_(3.0)
    sampler.candidates.forward = lambda *fact: torch.full((2, 3), -1)
    loss = loss_fn(*facts)
    assert loss == 0 and sampler.baseline == 3
    assert (torch.autograd.grad(loss, weight)[0] == 0).all()
