import torch

from torch_imf import fit_view_weights
from torch_imf.nn import MoSE


def test_mose_equals_the_equation_of_the_paper(bare, build, facts, known):
    model = build(MoSE, data=bare)
    assert model.views == ["struct", *model.features] and len(model.rel_emb) == 4
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        heads, tails, total = known(model, h), known(model, t), 0.0
        for view in model.views:
            missing = None if view == "struct" else model.features[view].missing.double()
            ends = [torch.complex(*x.get(view, missing).chunk(2)) for x in (heads, tails)]
            rel = torch.complex(*model.rel_emb[view].weight[r].double().chunk(2))
            total += (ends[0] * rel * ends[1].conj()).sum().real / 4
        assert torch.allclose(score.double(), total, atol=1e-5)


def test_weights_by_relation(fake, build):
    model = build(MoSE)
    found = [fit_view_weights(model, fake, extra=[], by=by) for by in ("all", "relation")]
    assert [x.fitted["by"] for x in found] == ["all", "relation"]
    assert torch.equal(found[0].scale, found[0].scale[:1].expand_as(found[0].scale))
    assert not torch.allclose(found[1].scale, found[1].scale[:1].expand_as(found[1].scale))
