import copy

import pytest
import torch
import torch.nn.functional as F

from torch_imf import fit
from torch_imf.data import modalities
from torch_imf.nn import AdaMF, Adversary


def build(data, **kwargs):
    x_dict, mask_dict = modalities(data)
    torch.manual_seed(0)
    return AdaMF(data.num_nodes, data.num_relations, 8, x_dict, mask_dict, **kwargs)


def batch(data, size=6, num_negatives=5):
    facts = [data.edge_index[0, :size], data.edge_type[:size], data.edge_index[1, :size]]
    neg_index = torch.randint(data.num_nodes, (size, num_negatives))
    neg_index[0, 1:3] = -1
    return [*facts, neg_index]


def distance(model, h, r, t):
    """Eq. 6: RotatE, with complex numbers."""
    h, t = (torch.complex(*x.chunk(2)) for x in (h, t))
    phase = model.rel_emb.weight[r].double()
    return (h * torch.polar(torch.ones_like(phase), phase) - t).abs().sum()


def test_adversary_of_weight_zero_is_plain_adamf(fake):
    args = batch(fake)
    plain, none = build(fake), build(fake, adversary=Adversary(weight=0.0))
    none.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(plain.loss(*args), none.loss(*args))
    assert len(none.objectives()) == 1


@pytest.mark.parametrize("kinds", [["head"], ["tail", "both"], ["head", "tail", "both"]])
def test_mat(fake, kinds):
    model = build(fake, adversary=Adversary(weight=0.3, num_groups=2, kinds=kinds))
    *facts, neg_index = args = batch(fake)
    (_, own, loss), (_, generators, generator_loss) = model.objectives()
    assert not {id(p) for p in own} & {id(p) for p in generators}
    assert len(own) + len(generators) == len(list(model.parameters()))

    # Eq. 10, entity by entity, with the same noise:
    torch.manual_seed(1)
    total = loss(*args)
    torch.manual_seed(1)
    head, tail = model.embed(facts[0]), model.embed(facts[2])
    fakes = [(model.adversary.fake(head), model.adversary.fake(tail)) for _ in range(2)]
    real_head, real_tail = (model.encode(index)["fused"] for index in (facts[0], facts[2]))
    scores = []
    for fake_head, fake_tail in fakes:
        fake_head, fake_tail = (model.join(x)["fused"] for x in (fake_head, fake_tail))
        pairs = {
            "head": (fake_head, real_tail),
            "tail": (real_head, fake_tail),
            "both": (fake_head, fake_tail),
        }
        for kind in kinds:
            h, t = (x.double() for x in pairs[kind])
            for b, r in enumerate(facts[1]):
                scores.append(model.scorers["fused"].margin - distance(model, h[b], r, t[b]))
    fake_score = torch.stack(scores)
    query = model.query({"fused": real_head}, facts[1])
    key = {"fused": real_tail.unsqueeze(1)}
    pos = model.similarity(query, key).squeeze(1)
    adversarial = F.softplus(-pos).mean() + F.softplus(fake_score).mean()
    plain = copy.deepcopy(model)
    plain.adversary = None
    expected = plain.loss(*args) + 0.3 * adversarial
    assert torch.allclose(total.double(), expected.double(), atol=1e-5)

    # What each objective moves:
    model.zero_grad()
    total.backward()
    assert all(p.grad is None for p in generators)
    assert model.node_emb.weight.grad.abs().sum() > 0
    torch.manual_seed(1)
    out = generator_loss(*args)
    assert torch.allclose(out.double(), F.softplus(-fake_score).mean(), atol=1e-5)
    grads = torch.autograd.grad(out, generators)
    assert all(grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_mat_against_all_entities(fake, loss):
    # The adversary sees each fact of each query once.
    model = build(fake, adversary=Adversary(weight=0.3), loss=loss)
    head_index, rel_type = fake.edge_index[0, :3], fake.edge_type[:3]
    pos_index = torch.tensor([[0, 0, 2], [5, 7, 1]])
    facts = head_index[[0, 0, 2]], rel_type[[0, 0, 2]], pos_index[1]
    torch.manual_seed(1)
    total = model.loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    adversarial = model.adversary.loss(model, model.node_emb.weight, model.encode(), *facts)
    plain = model.view_loss(model.encode(), head_index, rel_type, pos_index)
    assert torch.isclose(total, plain + 0.3 * adversarial)
    torch.manual_seed(1)
    out = model.generator_loss(head_index, rel_type, pos_index)
    torch.manual_seed(1)
    assert torch.isclose(out, model.adversary.generator_loss(model, *facts))


@pytest.mark.parametrize("loss", [None, "ce"])
def test_the_model_is_constant_to_generators(fake, loss):
    model = build(fake, adversary=Adversary(num_groups=2), loss=loss)
    *facts, neg_index = batch(fake)
    target = (facts[2], neg_index) if loss is None else (facts[2],)
    (_, own, _), (_, generators, generator_loss) = model.objectives()
    generator_loss(*facts[:2], *target).backward()
    assert all(p.grad is None and p.requires_grad for p in own)
    assert all(p.grad.abs().sum() > 0 for p in generators)
    # Frozen parameters stay so, also if there is an error:
    model.rel_emb.requires_grad_(False)
    with pytest.raises(IndexError):
        generator_loss(facts[0], facts[1] + 99, *target)
    assert [p for p in model.parameters() if not p.requires_grad] == [model.rel_emb.weight]


def test_one_adversary_per_model(fake):
    adversary = Adversary()
    model = build(fake, adversary=adversary)
    with pytest.raises(ValueError, match="belongs to another model"):
        build(fake, adversary=adversary)
    assert {id(p) for p in adversary.parameters()} <= {id(p) for p in model.parameters()}


def test_adversary_errors():
    with pytest.raises(ValueError, match="no modality to generate"):
        AdaMF(5, 2, 4, adversary=Adversary())
    with pytest.raises(ValueError, match="no modality to generate"):
        Adversary().build(4, [])
    for kwargs in (
        *({"weight": value} for value in (-1.0, float("nan"), float("inf"))),
        *({"num_groups": 0}, {"num_groups": -1}, {"noise_channels": 0}, {"noise_channels": -1}),
    ):
        with pytest.raises(ValueError, match="'weight' cannot be negative"):
            Adversary(**kwargs)
    for kinds in ([], ["head", "tails"], "head"):
        with pytest.raises(ValueError, match="'kinds' need to be of"):
            Adversary(kinds=kinds)
    with pytest.raises(ValueError, match=r"'kinds' need to be of .* \(got \['tails'\]\)"):
        Adversary(kinds=["tails"])
    assert (
        str(Adversary(0.2)) == "Adversary(weight=0.2, num_groups=1, kinds=['head', 'tail', 'both'])"
    )


def test_generators_have_a_rate_of_their_own(fake):
    def moved(lr, dense_lr):
        model = build(fake, adversary=Adversary(), loss="ce")
        before = copy.deepcopy(model.state_dict())
        fit(model, fake, 1, 256, lr=lr, dense_lr=dense_lr, optimizer="adagrad", progress=False)
        after = model.state_dict()
        names = ("node_emb.weight", "fusion.att", "adversary.generators.text.lin1.weight")
        return [not torch.equal(before[name], after[name]) for name in names]

    assert moved([0.1, 0.0], 0.01) == [True, True, False]
    assert moved([0.1, 0.01], 0.0) == [True, False, True]
    assert moved(0.1, 0.0) == [True, False, False]
