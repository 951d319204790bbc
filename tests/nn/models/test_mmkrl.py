import pytest
import torch

from torch_imf.nn import MMKRL, TransE


def embeddings(model, node):
    """Of an entity in double precision: its structure, modalities, and which of these it has."""
    out = [model.node_emb.weight[node].double()]
    for module in model.features.values():
        x = module.x[module.row[node]] if module.mask[node] else None
        lin = module.lin
        out.append(None if x is None else lin.weight.double() @ x.double() + lin.bias.double())
    known = [x for x in out if x is not None]
    mean = sum(known) / len(known)
    parts = [mean if x is None else x for x in out]
    return [*parts, sum(parts)], [x is not None for x in out]


@pytest.mark.parametrize("p_norm", [1.0, 2.0])
def test_score_equals_the_energy_of_the_paper(bare, build, facts, p_norm):
    model = build(MMKRL, data=bare, scorer=TransE(8, margin=2.0, p_norm=p_norm))
    assert 0 in torch.cat(facts(12)[::2])
    for *fact, score in zip(*facts(12), model(*facts(12)), strict=True):
        heads, tails = (embeddings(model, node)[0] for node in fact[::2])
        r = model.rel_emb.weight[fact[1]].double()
        energy = sum((h + r - t).norm(p=p_norm) for h, t in zip(heads, tails, strict=True))
        assert torch.allclose(score.double(), 2 * 5 - energy, atol=1e-5)


def test_loss_adds_alignment_and_noise(bare, build, batch):
    settings = {"align": 0.3, "adversarial": 0.5, "radius": 0.2}
    model = build(MMKRL, data=bare, **settings)
    z = model.encode()
    clean = model.view_loss(z, *batch)
    errors = [[], [], []]
    for node in batch[0].unique():
        (struct, *parts, _), has = embeddings(model, node)
        for i, x in enumerate(parts):
            errors[i] += [(struct - x).square().sum()] if has[i + 1] else []
    align = 0.3 * sum(torch.stack(x).mean() for x in errors if x)
    assert torch.allclose(model.eval().loss(*batch).double(), clean + align, rtol=1e-5)

    (grad,) = torch.autograd.grad(clean, z["fused"])
    x = z["fused"].detach()
    noise = 0.2 * x.norm(dim=1, keepdim=True) * grad / grad.norm(dim=1, keepdim=True).clamp(1e-12)
    noisy = model.view_loss({"fused": x + noise}, *batch)
    assert noisy > clean  # It is adversarial.
    loss = model.train().loss(*batch)
    assert torch.allclose(loss.double(), clean + align + 0.5 * noisy, rtol=1e-4)


def test_errors(build, refuses):
    refuses(
        ("needs structure .* and a modality", lambda: MMKRL(5, 2, 4)),
        ("needs structure .* and a modality", lambda: build(MMKRL, struct=False)),
        ("'radius' cannot be negative", lambda: build(MMKRL, radius=-1.0)),
    )
