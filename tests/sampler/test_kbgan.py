import pytest
import torch
from torch_geometric.nn.kge import TransE

from torch_imf import train
from torch_imf.data import TripletIndex
from torch_imf.nn import KGE
from torch_imf.sampler import KBGANSampler, NegativeLoader


class Table(torch.nn.Module):
    # A generator whose scores are parameters.
    def __init__(self, num_nodes):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(num_nodes))

    def score(self, head_index, rel_type, neg_index):
        return self.weight[neg_index]

    def reset_parameters(self):
        torch.nn.init.zeros_(self.weight)


def fixed(sampler, key_index):
    # With candidates that are always the same.
    sampler.candidates.forward = lambda head_index, rel_type, tail_index: key_index
    return sampler


def test_kbgan_sampler():
    triples = torch.randint(3, (3, 8))
    generator = TransE(5, 4, 8)
    sampler = KBGANSampler(5, generator, num_negatives=2, num_candidates=6)
    assert str(sampler) == (
        "KBGANSampler(5, num_negatives=2, index=None, "
        "generator=TransE(5, num_relations=4, hidden_channels=8), num_candidates=6)"
    )
    neg_index, log_prob = sampler.sample(*triples)
    assert neg_index.size() == log_prob.size() == (8, 2) and log_prob.requires_grad
    assert set(sampler.state_dict()) == {
        "baseline",
        *[f"generator.{name}" for name in generator.state_dict()],
    }
    sampler.baseline.fill_(3.0)
    weight = generator.node_emb.weight.clone()
    sampler.reset_parameters()
    assert sampler.baseline == 0 and not torch.equal(weight, generator.node_emb.weight)


def test_frequencies():
    sampler = KBGANSampler(5, Table(5), num_negatives=20000)
    zero = torch.zeros(1, dtype=torch.long)
    neg_index, log_prob = fixed(sampler, torch.tensor([[1, 2, 4, 4]])).sample(zero, zero, zero)
    weight = sampler.generator.weight.detach()[[1, 2, 4, 4]]
    prob = weight.softmax(dim=0)
    expected = torch.tensor([0, prob[0], prob[1], 0, prob[2] + prob[3]])
    share = neg_index[0].bincount(minlength=5) / 20000
    assert (share - expected).abs().max() < 0.015
    expected = dict(zip([1, 2, 4, 4], prob.log().tolist(), strict=True))
    for t, x in zip(neg_index[0, :20].tolist(), log_prob[0, :20].tolist(), strict=True):
        assert abs(expected[t] - x) < 1e-5


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_policy_gradient_is_that_of_the_expected_reward(baseline):
    sampler = fixed(KBGANSampler(5, Table(5), momentum=1.0), torch.arange(5).unsqueeze(0))
    weight, reward = sampler.generator.weight, torch.randn(5)
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
    zero = torch.zeros(1, dtype=torch.long)
    _, params, loss_fn = sampler.objective(lambda head_index, rel_type, neg_index: reward[neg_index])
    assert len(params) == 1 and params[0] is weight
    loss = loss_fn(zero, zero, zero, zero.view(1, 1))
    assert torch.allclose(torch.autograd.grad(loss, weight)[0], expected, atol=0.02)


def test_baseline():
    sampler = KBGANSampler(5, Table(5), momentum=0.75)
    log_prob, reward = torch.randn(2, 3), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    assert torch.isclose(sampler.loss(log_prob, reward), -(reward * log_prob).mean())
    assert sampler.baseline == 1
    assert torch.isclose(sampler.loss(log_prob, reward), -((reward - 1) * log_prob).mean())
    assert sampler.baseline == 1.75
    # No gradient reaches the discriminator:
    assert not sampler.loss(log_prob, reward.requires_grad_()).requires_grad
    assert not sampler.baseline.requires_grad
    with pytest.raises(ValueError, match="the same shape .got .2, 3. and .2."):
        sampler.loss(log_prob, reward[:, 0])


def test_generator_learns_what_the_discriminator_finds_hard():
    reward = torch.tensor([0.0, 1.0, 5.0, 2.0, 3.0])
    sampler = KBGANSampler(5, Table(5))
    _, params, loss_fn = sampler.objective(lambda head_index, rel_type, neg_index: reward[neg_index])
    optimizer = torch.optim.Adam(params, lr=0.1)
    zero = torch.zeros(64, dtype=torch.long)
    for _ in range(100):
        optimizer.zero_grad()
        loss_fn(zero, zero, zero + 2).backward()
        optimizer.step()
    # The tail itself is entity 2, so the hardest ones left are 4 and 3:
    share = sampler(zero, zero, zero + 2).flatten().bincount(minlength=5) / 64
    assert share[2] == 0 and share[4] > 0.5 and share[:2].sum() < 0.1


class Adversaries(torch.nn.Module):
    def __init__(self, num_nodes, num_relations):
        super().__init__()
        self.discriminator = TransE(num_nodes, num_relations, 8, margin=2.0)
        self.sampler = KBGANSampler(num_nodes, TransE(num_nodes, num_relations, 4))

    def loss(self, head_index, rel_type, tail_index, neg_index):
        score = self.discriminator(head_index, rel_type, tail_index)
        return (self.score(head_index, rel_type, neg_index)[:, 0] - score + 2).relu().mean()

    def score(self, head_index, rel_type, neg_index):
        return self.discriminator(head_index, rel_type, neg_index[:, 0]).unsqueeze(1)

    def objectives(self):
        own = list(self.discriminator.parameters())
        return [Objective("model", own, self.loss), self.sampler.objective(self.score)]


def test_adversaries_train_in_turn(fake):
    (head_index, tail_index), rel_type = fake.edge_index, fake.edge_type
    model = Adversaries(fake.num_nodes, fake.num_relations)
    loader = NegativeLoader(head_index, rel_type, tail_index, model.sampler, batch_size=100)
    optimizers = [torch.optim.Adam(params, lr=0.01) for _, params, _ in model.objectives()]
    before = {name: x.clone() for name, x in model.named_parameters()}
    losses = [train(model, loader, optimizers) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert not any(torch.equal(before[name], x) for name, x in model.named_parameters())
    assert model.sampler.baseline < 0
    # Each loss leaves the other's parameters alone:
    batch = next(iter(loader))
    for (_, params, loss), (_, others, _) in zip(
        model.objectives(), reversed(model.objectives()), strict=True
    ):
        model.zero_grad()
        loss(*batch).backward()
        assert all(p.grad is not None for p in params)
        assert all(p.grad is None for p in others)


def test_facts_without_candidates():
    # The first fact has none, the second two of three.
    zero = torch.zeros(2, dtype=torch.long)
    key_index = torch.tensor([[-1, -1, -1], [1, -1, 4]])
    sampler = fixed(KBGANSampler(5, Table(5), num_negatives=1000, momentum=0.5), key_index)
    weight, reward = sampler.generator.weight, torch.randn(5)
    neg_index, log_prob = sampler.sample(zero, zero, zero)
    assert set(neg_index[0].tolist()) == {-1} and set(neg_index[1].tolist()) == {1, 4}
    prob = dict(zip([1, 4], weight[[1, 4]].log_softmax(dim=0).tolist(), strict=True))
    expected = torch.tensor([prob[t] for t in neg_index[1].tolist()])
    assert torch.allclose(log_prob[1], expected, atol=1e-6)

    def score(head_index, rel_type, neg_index):
        assert neg_index.min() >= 0
        return reward[neg_index]

    _, _, loss_fn = sampler.objective(score)
    torch.manual_seed(1)
    loss = loss_fn(zero, zero, zero)
    torch.manual_seed(1)
    neg_index, log_prob = sampler.sample(zero, zero, zero)
    assert torch.isclose(loss, -(reward[neg_index[1]] * log_prob[1]).sum() / 2000)
    (grad,) = torch.autograd.grad(loss, weight)
    assert grad.isfinite().all() and grad[[1, 4]].abs().sum() > 0 and grad[[0, 2, 3]].sum() == 0
    # If no fact has any, nothing is learned:
    sampler.baseline.fill_(3.0)
    sampler.candidates.forward = lambda *fact: torch.full((2, 3), -1)
    loss = loss_fn(zero, zero, zero)
    assert loss == 0 and sampler.baseline == 3
    assert (torch.autograd.grad(loss, weight)[0] == 0).all()


@pytest.mark.parametrize("generator", [TransE(6, 4, 8), KGE(6, 2, 8, scorer="tucker")])
def test_any_model_generates(generator):
    triples = torch.randint(6, (10,)), torch.randint(4, (10,)), torch.randint(6, (10,))
    sampler = KBGANSampler(6, generator.eval(), TripletIndex(*triples), 3)
    neg_index, log_prob = sampler.sample(*triples)
    log_prob.sum().backward()
    assert generator.node_emb.weight.grad.abs().sum() > 0
    key_index = torch.randint(6, (10, 4))
    score = sampler._score(*triples[:2], key_index)
    expected = [generator(*triples[:2], key_index[:, k]) for k in range(4)]
    assert torch.allclose(score, torch.stack(expected, dim=1), atol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match="'num_candidates' needs to be positive .got 0"):
        KBGANSampler(5, Table(5), num_candidates=0)
    with pytest.raises(ValueError, match="'momentum' needs to be in .0, 1. .got 2"):
        KBGANSampler(5, Table(5), momentum=2)
