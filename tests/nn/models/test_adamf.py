import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import modalities
from torch_imf.nn import AdaMF, AdaMFFusion, Adversary, ComplEx, Sampled


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


def test_adamf(fake, build, batch):
    model = build(AdaMF, loss=Sampled(5, temperature=0.5))
    head_index, rel_type, tail_index, neg_index = batch
    z = [joint(model, i) for i in range(fake.num_nodes)]

    def score(h, r, t):
        """Eq. 6: RotatE, with complex numbers."""
        h, t = (torch.complex(*z[i].chunk(2)) for i in (h, t))
        phase = model.rel_emb.weight[r].double()
        distance = (h * torch.polar(torch.ones_like(phase), phase) - t).abs().sum()
        return model.scorers["fused"].margin - distance

    facts = list(zip(head_index, rel_type, tail_index, strict=True))
    pos = torch.stack([score(*fact) for fact in facts])
    assert torch.allclose(model(head_index, rel_type, tail_index).double(), pos, atol=1e-5)
    losses = []
    for b, (h, r, _) in enumerate(facts):
        neg = torch.stack([score(h, r, k) for k in neg_index[b].tolist() if k >= 0])
        p = (0.5 * neg).softmax(dim=0)
        losses.append(-F.logsigmoid(pos[b]) - (p * F.logsigmoid(-neg)).sum())
    assert torch.allclose(model.loss(*batch).double(), torch.stack(losses).mean(), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_modality_that_the_whole_batch_lacks(fake, build, weight):
    # Without an adversary, it is as if there were no such modality.
    x_dict, mask_dict = modalities(fake)
    model = build(AdaMF, adversary=Adversary(weight), loss=Sampled(5))
    lacking = (~mask_dict["visual"]).nonzero().view(-1)
    head_index, tail_index, *_ = lacking.split(8)
    neg_index = lacking[torch.randint(lacking.numel(), (8, 5))]
    args = (head_index, fake.edge_type[:8], tail_index, neg_index)
    _, alpha = model.fusion(model.embed(lacking), model.masks(lacking), True)
    visual = list(model.fusion.in_channels).index("visual")
    assert (alpha[:, visual] == 0).all() and torch.allclose(alpha.sum(dim=-1), torch.ones(1))

    for _, params, loss_fn in model.objectives():
        model.zero_grad()
        loss = loss_fn(*args)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in params if p.grad is not None)
        assert weight == 0 or any(p.grad.abs().sum() > 0 for p in params if p.grad is not None)
    if weight > 0:
        return

    assert all((p.grad == 0).all() for p in model.features["visual"].parameters())
    assert (model.fusion.att.grad[visual] == 0).all()
    x_dict, mask_dict = ({k: v for k, v in x.items() if k != "visual"} for x in (x_dict, mask_dict))
    other = AdaMF(fake.num_nodes, fake.num_relations, 8, x_dict, mask_dict, loss=Sampled(5))
    state = {k: x for k, x in model.state_dict().items() if k in other.state_dict()}
    keep = [i for i in range(len(model.fusion.in_channels)) if i != visual]
    other.load_state_dict(state | {"fusion.att": model.fusion.att[keep]})
    assert torch.allclose(other.loss(*args), loss, atol=1e-6)
    assert torch.allclose(other(*args[:3]), model(*args[:3]), atol=1e-6)


def test_scorer_of_the_size_of_the_fusion(fake, build, batch, refuses):
    sizes = dict.fromkeys(["struct", *modalities(fake)[0]], 8)
    refuses(
        ("12 channels, but .* 8", lambda: build(AdaMF, fusion=AdaMFFusion(sizes, 12))),
        ("8 channels, but .* 16", lambda: build(AdaMF, scorer=ComplEx(16))),
    )
    model = build(AdaMF, scorer=ComplEx(12), fusion=AdaMFFusion(sizes, 12))
    assert model.loss(*batch).isfinite()
