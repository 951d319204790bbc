import pytest
import torch
import torch.nn.functional as F

from torch_imf import fit
from torch_imf.nn import IKRL, TBKGC, AdaMF, Adversary, ModalityGenerator, Sampled


def test_modality_generator():
    generator = ModalityGenerator(6, 4, noise_channels=3)
    assert str(generator) == "ModalityGenerator(4, noise_channels=3)"
    assert [list(p.size()) for p in generator.parameters()] == [[4, 9], [4], [4, 4], [4]]
    x, noise = torch.randn(2, 7, 6), torch.randn(2, 7, 3)
    out = generator(x, noise)

    w1, b1, w2, b2 = (p.detach().double() for p in generator.parameters())
    hidden = torch.cat([x, noise], dim=-1).double() @ w1.t() + b1
    expected = hidden.where(hidden > 0, 0.01 * hidden) @ w2.t() + b2
    assert torch.allclose(out.double(), expected, atol=1e-6)

    assert not torch.equal(generator(x), generator(x))  # Noise is drawn anew.


@pytest.mark.parametrize("adversary", [Adversary(weight=0.0), False])
def test_adversary_of_weight_zero_is_plain_adamf(build, batch, adversary):
    plain, none = build(AdaMF), build(AdaMF, adversary=adversary)
    none.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(plain.loss(*batch), none.loss(*batch))
    assert len(none.objectives()) == 1


@pytest.mark.parametrize("kinds", [["head"], ["tail", "both"], ["head", "tail", "both"]])
def test_mat(build, batch, kinds):
    model = build(AdaMF, adversary=Adversary(weight=0.3, num_groups=2, kinds=kinds))
    *facts, _ = batch
    (own, generators) = model.objectives()
    assert (own.name, generators.name) == ("model", "generator")
    assert not {id(p) for p in own.parameters} & {id(p) for p in generators.parameters}
    assert len(own.parameters) + len(generators.parameters) == len(list(model.parameters()))

    # Eq. 10, entity by entity, with the same noise:
    torch.manual_seed(1)
    total = own.loss(*batch)
    torch.manual_seed(1)
    head, tail = (model.embed(facts[i])["struct"] for i in (0, 2))
    fakes = [(model.adversary.fake(head), model.adversary.fake(tail)) for _ in range(2)]
    real_head, real_tail = (model.encode(index)["fused"] for index in (facts[0], facts[2]))
    scores, scorer = [], model.scorers["fused"]
    for fake_head, fake_tail in fakes:
        fake_head, fake_tail = (model.join(x)["fused"] for x in (fake_head, fake_tail))
        for kind in kinds:
            h = real_head if kind == "tail" else fake_head
            t = real_tail if kind == "head" else fake_tail
            scores.append(scorer(h, model.rel_emb(facts[1]), t))
    fake_score = torch.stack(scores)
    plain = model.view_loss(model.encode(), *batch)
    adversarial = F.softplus(-model(*facts)).mean() + F.softplus(fake_score).mean()
    assert torch.allclose(total, plain + 0.3 * adversarial, atol=1e-5)

    # What each objective moves:
    model.zero_grad()
    total.backward()
    assert all(p.grad is None for p in generators.parameters)
    assert model.node_emb.weight.grad.abs().sum() > 0
    torch.manual_seed(1)
    out = generators.loss(*batch)
    assert torch.allclose(out, F.softplus(-fake_score).mean(), atol=1e-5)
    grads = torch.autograd.grad(out, generators.parameters)
    assert all(grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_mat_against_all_entities(build, facts, loss):
    # The adversary sees each fact of each query once.
    model = build(AdaMF, adversary=Adversary(weight=0.3), loss=loss)
    head_index, rel_type, _ = facts(3)
    pos_index = torch.tensor([[0, 0, 2], [5, 7, 1]])
    facts = head_index[pos_index[0]], rel_type[pos_index[0]], pos_index[1]
    torch.manual_seed(1)
    total = model.loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    adversarial = model.adversary.loss(model, model.encode(), facts)
    plain = model.view_loss(model.encode(), head_index, rel_type, pos_index)
    assert torch.isclose(total, plain + 0.3 * adversarial)
    torch.manual_seed(1)
    out = model.generator_loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    assert torch.isclose(out, model.adversary.generator_loss(model, facts))


@pytest.mark.parametrize("cls", [AdaMF, IKRL, TBKGC])
@pytest.mark.parametrize("loss", [Sampled(5), "ce"])
def test_the_model_is_constant_to_generators(fake, build, batch, cls, loss):
    model = build(cls, adversary=Adversary(num_groups=2), loss=loss)
    *facts, neg_index = batch
    target = (facts[2],) if loss == "ce" else (facts[2], neg_index)
    own, generators = model.objectives()
    generators.loss(*facts[:2], *target).backward()
    assert all(p.grad is None and p.requires_grad for p in own.parameters)
    assert all(p.grad.abs().sum() > 0 for p in generators.parameters)
    # Frozen parameters stay so, also if there is an error:
    model.rel_emb.requires_grad_(False)
    with pytest.raises(IndexError):
        generators.loss(facts[0], facts[1] + 99, *target)
    assert [p for p in model.parameters() if not p.requires_grad] == [model.rel_emb.weight]
    (entry,) = fit(model, fake, 1, 128, lr=0.01, progress=False)
    assert entry["loss"] > 0


def test_structure_that_is_a_module(fake, build, batch):
    table = torch.nn.Embedding(fake.num_nodes, 8)
    struct = torch.nn.Module()
    struct.table, struct.forward = table, lambda: table.weight
    model = build(AdaMF, struct=struct, adversary=True)
    model.loss(*batch).backward()
    assert table.weight.grad.abs().sum() > 0 and model.node_emb.weight.grad is None


def test_errors(build, refuses):
    adversary = Adversary(0.2)
    assert str(adversary) == "Adversary(weight=0.2, num_groups=1, kinds=['head', 'tail', 'both'])"
    model = build(AdaMF, adversary=adversary)
    assert {id(p) for p in adversary.parameters()} <= {id(p) for p in model.parameters()}
    refuses(
        ("belongs to another model", lambda: build(AdaMF, adversary=adversary)),
        ("'struct' cannot be False", lambda: build(AdaMF, struct=False, adversary=True)),
        ("no modality to generate", lambda: AdaMF(5, 2, 4, adversary=True)),
        ("'weight' cannot be negative", lambda: Adversary(-1)),
        ("'weight' needs to be finite", lambda: Adversary(float("nan"))),
        ("'weight' needs to be finite", lambda: Adversary(float("inf"))),
    )
    for kinds in ([], ["head", "tails"], "head"):
        refuses(("'kinds' needs? to be of", lambda x=kinds: Adversary(kinds=x)))
