import pytest
import torch
import torch.nn.functional as F

from torch_imf import evaluate, fit, train
from torch_imf.data import modalities
from torch_imf.nn import AdaMF, AdaMFFusion, Adversary, ComplEx, SampledLoss


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
    ((_, params, loss_fn),) = model.objectives()
    assert loss_fn == model.loss and len(params) == len(list(model.parameters()))


def test_adamf_trains(fake):
    model = build(fake, adversary=Adversary(), loss=SampledLoss(16, sampler="shared"))
    history = fit(
        model, fake, 45, 128, lr={"model": 0.02, "generator": 0.001}, eval_every=15, progress=False
    )
    assert history[-1]["mrr"] > 0.2
    assert evaluate(model, fake)["mrr"] > 0.2  # Chance is 0.04.
    with pytest.raises(ValueError, match="'lr' needs a rate for each of the objectives"):
        fit(model, fake, 1, lr={"model": 0.1})


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_modality_that_the_whole_batch_lacks(fake, weight):
    # Without an adversary, it is as if there were no such modality.
    x_dict, mask_dict = modalities(fake)
    model = build(fake, adversary=Adversary(weight), loss=SampledLoss(5))
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
    sizes = (fake.num_nodes, fake.num_relations, 8)
    other = AdaMF(*sizes, x_dict, mask_dict, loss=SampledLoss(5))
    state = {k: x for k, x in model.state_dict().items() if k in other.state_dict()}
    keep = [i for i in range(len(model.fusion.in_channels)) if i != visual]
    other.load_state_dict(state | {"fusion.att": model.fusion.att[keep]})
    assert torch.allclose(other.loss(*args), loss, atol=1e-6)
    assert torch.allclose(other(*args[:3]), model(*args[:3]), atol=1e-6)


@pytest.mark.parametrize("num_groups", [0, 2])
def test_single_facts(fake, num_groups):
    adversary = Adversary(num_groups=num_groups) if num_groups > 0 else None
    model = build(fake, adversary=adversary, loss=SampledLoss(5))
    args = batch(fake)
    batches = [[x[i : i + 1] for x in args] for i in range(6)]
    if adversary is None:  # Which draws noise.
        losses = torch.stack([model.loss(*single) for single in batches])
        assert torch.allclose(losses.mean(), model.loss(*args), atol=1e-5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizers = [torch.optim.Adam(params, lr=0.01) for _, params, _ in model.objectives()]
    train(model, batches, optimizers)
    for name, p in model.named_parameters():  # What stands in for a modality is masked.
        assert p.isfinite().all() and torch.equal(p, before[name]) == ("missing" in name), name


def test_structure_that_is_left_out_is_not_trained(fake, tmp_path):
    model = build(fake, struct=False, loss="ce")
    before = model.node_emb.weight.clone()
    ((_, params, loss_fn),) = model.objectives()
    loss_fn(*batch(fake)[:3]).backward()
    assert all(p.grad is not None for p in params)
    settings = {"lr": 0.01, "checkpoint": tmp_path / "run.pt", "progress": False}
    fit(model, fake, 1, **settings)
    assert torch.equal(model.node_emb.weight, before)
    other = build(fake, struct=False, loss="ce")
    assert [entry["epoch"] for entry in fit(other, fake, 2, **settings)] == [1, 2]


def test_scorer_of_the_size_of_the_fusion(fake):
    sizes = dict.fromkeys(["struct", *modalities(fake)[0]], 8)
    match = "fusion yields embeddings of size {}, but the scorer takes those of size {}"
    with pytest.raises(ValueError, match=match.format(12, 8)):
        build(fake, fusion=AdaMFFusion(sizes, 12))
    with pytest.raises(ValueError, match=match.format(8, 16)):
        build(fake, scorer=ComplEx(16))
    model = build(fake, scorer=ComplEx(12), fusion=AdaMFFusion(sizes, 12))
    assert model.loss(*batch(fake)).isfinite()


def test_adamf_errors(fake):
    with pytest.raises(ValueError, match="structure for an adversary"):
        build(fake, struct=False, adversary=Adversary())
