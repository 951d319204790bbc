import copy

import pytest
import torch
import torch.nn.functional as F

from torch_imf import fit
from torch_imf.nn import IKRL, TBKGC, AdaMF, Adversary, Sampled


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
        pairs = {
            "head": (fake_head, real_tail),
            "tail": (real_head, fake_tail),
            "both": (fake_head, fake_tail),
        }
        scores += [scorer(pairs[k][0], model.rel_emb(facts[1]), pairs[k][1]) for k in kinds]
    fake_score = torch.stack(scores)
    pos = model(*facts)
    plain = copy.deepcopy(model)
    plain.adversary = None
    adversarial = F.softplus(-pos).mean() + F.softplus(fake_score).mean()
    assert torch.allclose(total, plain.loss(*batch) + 0.3 * adversarial, atol=1e-5)

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
def test_mat_against_all_entities(fake, build, loss):
    # The adversary sees each fact of each query once.
    model = build(AdaMF, adversary=Adversary(weight=0.3), loss=loss)
    head_index, rel_type = fake.edge_index[0, :3], fake.edge_type[:3]
    pos_index = torch.tensor([[0, 0, 2], [5, 7, 1]])
    facts = head_index[[0, 0, 2]], rel_type[[0, 0, 2]], pos_index[1]
    torch.manual_seed(1)
    total = model.loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    adversarial = model.adversary.loss(model, model.encode(), *facts)
    plain = model.view_loss(model.encode(), head_index, rel_type, pos_index)
    assert torch.isclose(total, plain + 0.3 * adversarial)
    torch.manual_seed(1)
    out = model.generator_loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    assert torch.isclose(out, model.adversary.generator_loss(model, *facts))


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


def test_errors(build):
    adversary = Adversary(0.2)
    assert str(adversary) == "Adversary(weight=0.2, num_groups=1, kinds=['head', 'tail', 'both'])"
    model = build(AdaMF, adversary=adversary)
    assert {id(p) for p in adversary.parameters()} <= {id(p) for p in model.parameters()}
    with pytest.raises(ValueError, match="belongs to another model"):
        build(AdaMF, adversary=adversary)
    with pytest.raises(ValueError, match="structure for an adversary"):
        build(AdaMF, struct=False, adversary=True)
    with pytest.raises(ValueError, match="no modality to generate"):
        AdaMF(5, 2, 4, adversary=True)
    for name in ("weight", "num_groups", "noise_channels"):
        for value in (-1, float("nan"), float("inf")) if name == "weight" else (0, -1):
            with pytest.raises(ValueError, match="'weight' cannot be negative"):
                Adversary(**{name: value})
    for kinds in ([], ["head", "tails"], "head"):
        with pytest.raises(ValueError, match="'kinds' need to be of"):
            Adversary(kinds=kinds)
