import pytest
import torch

from torch_imf.nn import ContextualRelationalScorer, CrossModal, DistMult, RotatE, TransE


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize(
    "base",
    [TransE(4), TransE(4, p_norm=2.0), RotatE(4), DistMult(4), ContextualRelationalScorer(4, 3)],
)
def test_cross_modal(base, total):
    scorer = CrossModal(base, total)
    assert str(scorer) == f"CrossModal({base}, total={total})"
    assert scorer.channels == 8 and scorer.rel_channels == base.rel_channels
    head, rel, tail = torch.randn(5, 8), torch.empty(5, base.rel_channels), torch.randn(5, 8)
    scorer.reset_relations(rel)
    (h_s, h_m), (t_s, t_m) = head.split(4, dim=-1), tail.split(4, dim=-1)
    expected = base(h_s, rel, t_s) + base(h_s, rel, t_m) + base(h_m, rel, t_s) + base(h_m, rel, t_m)
    if total:
        expected = expected + base(h_s + h_m, rel, t_s + t_m)
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    for p in base.parameters():
        p.data.zero_()
    scorer.reset_parameters()
    assert all(p.any() for p in base.parameters() if p.dim() > 1)
