import copy

import pytest
import torch
import torch.nn.functional as F

from torch_imf import evaluate, fit
from torch_imf.data import modalities
from torch_imf.nn import AdaMF, Adversary, SampledLoss


def build(data, **kwargs):
    x_dict, mask_dict = modalities(data)
    torch.manual_seed(0)
    return AdaMF(data.num_nodes, data.num_relations, 8, x_dict, mask_dict, **kwargs)


def batch(data, size=6, num_negatives=5):
    facts = [data.edge_index[0, :size], data.edge_type[:size], data.edge_index[1, :size]]
    neg_index = torch.randint(data.num_nodes, (size, num_negatives))
    neg_index[0, 1:3] = -1
    return [*facts, neg_index]


def joint(model, node):
    """Eq. 2-5 of one entity in double precision."""
    e = {"struct": model.node_emb.weight[node].double()}
    for name, module in model.features.items():
        if module.mask[node]:
            x = module.x[module.row[node]].double()
            e[name] = module.lin.weight.double() @ x + module.lin.bias.double()
    names = list(model.fusion.in_channels)
    weight = {k: (model.fusion.att[names.index(k)].double() @ x.tanh()).exp() for k, x in e.items()}
    return sum(weight[k] * x for k, x in e.items()) / sum(weight.values())


def distance(model, h, r, t):
    """Eq. 6: RotatE, with complex numbers."""
    h, t = (torch.complex(*x.chunk(2)) for x in (h, t))
    phase = model.rel_emb.weight[r].double()
    return (h * torch.polar(torch.ones_like(phase), phase) - t).abs().sum()


def test_adamf(fake):
    model = build(fake, loss=SampledLoss(5, temperature=0.5))
    head_index, rel_type, tail_index, neg_index = args = batch(fake)
    z = [joint(model, i) for i in range(fake.num_nodes)]
    score = torch.stack(
        [
            model.scorers["fused"].margin - distance(model, z[h], r, z[t])
            for h, r, t in zip(head_index, rel_type, tail_index, strict=True)
        ]
    )
    assert torch.allclose(model(head_index, rel_type, tail_index).double(), score, atol=1e-5)

    losses = []
    for b in range(head_index.numel()):
        neg = torch.stack(
            [
                model.scorers["fused"].margin - distance(model, z[head_index[b]], rel_type[b], z[k])
                for k in neg_index[b].tolist()
                if k >= 0
            ]
        )
        p = (0.5 * neg).softmax(dim=0)
        losses.append(-F.logsigmoid(score[b]) - (p * F.logsigmoid(-neg)).sum())
    assert torch.allclose(model.loss(*args).double(), torch.stack(losses).mean(), atol=1e-5)
    ((params, loss_fn),) = model.objectives()
    assert loss_fn == model.loss and len(params) == len(list(model.parameters()))


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
    (own, loss), (generators, generator_loss) = model.objectives()
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


def test_adamf_trains(fake):
    model = build(fake, adversary=Adversary(), loss=SampledLoss(16, sampler="joint"))
    history = fit(model, fake, 45, 128, lr=[0.02, 0.001], eval_every=15, progress=False)
    assert history[-1]["mrr"] > 0.2
    assert evaluate(model, fake)["mrr"] > 0.2  # Chance is 0.04.
    with pytest.raises(ValueError, match="'lr' needs one rate for each of 2 objectives"):
        fit(model, fake, 1, lr=[0.1])


def test_adamf_errors(fake):
    with pytest.raises(ValueError, match="structure for an adversary"):
        build(fake, struct=False, adversary=Adversary())
    with pytest.raises(ValueError, match="no modality to generate"):
        AdaMF(5, 2, 4, adversary=Adversary())
    for kwargs in ({"weight": -1.0}, {"num_groups": 0}, {"noise_channels": 0}):
        with pytest.raises(ValueError, match="'weight' cannot be negative"):
            Adversary(**kwargs)
    with pytest.raises(ValueError, match=r"'kinds' need to be of .* \(got \['tails'\]\)"):
        Adversary(kinds=["tails"])
    assert (
        str(Adversary(0.2)) == "Adversary(weight=0.2, num_groups=1, kinds=['head', 'tail', 'both'])"
    )
