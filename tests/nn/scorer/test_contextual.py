import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn import ContextualRelationalScorer
from torch_imf.nn.scorer.contextual import dropout


def test_contextual_scorer_equals_equations_7_and_8():
    scorer = ContextualRelationalScorer(4, 3, scale=5.0, logit_bias=-2.0)
    assert str(scorer) == "ContextualRelationalScorer(4, rel_channels=3, similarity='cosine')"
    torch.nn.init.normal_(scorer.bias)
    head, rel, tail = torch.randn(5, 4), torch.randn(5, 3), torch.randn(5, 4)
    core = scorer.weight.view(3, 4, 4).transpose(0, 1)  # W[i, r, j]
    query = torch.einsum("bi,br,irj->bj", head, rel, core) + scorer.bias
    expected = 5 * F.cosine_similarity(query, tail) - 2
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)

    scorer = ContextualRelationalScorer(4, 3, similarity="dot")
    core = scorer.weight.view(3, 4, 4).transpose(0, 1)
    query = torch.einsum("bi,br,irj->bj", head, rel, core)
    assert torch.allclose(scorer(head, rel, tail), (query * tail).sum(-1), atol=1e-5)


def test_contextual_scorer_in_the_papers_mode_is_bounded():
    scorer = ContextualRelationalScorer(4, scale=1.0, learn_scale=False)
    y = scorer(*10 * torch.randn(3, 50, 4)).sigmoid()
    assert y.min() >= 0.2689 and y.max() <= 0.7311  # The reason for a scale.
    assert not scorer.log_scale.requires_grad
    assert scorer.logit_bias is None


def test_contextual_scorer_batch_norm_and_dropout():
    scorer = ContextualRelationalScorer(4, batch_norm=True, dropout=0.5, similarity="dot")
    head, rel, tail = torch.randn(3, 64, 4)
    assert not torch.equal(scorer(head, rel, tail), scorer(head, rel, tail))
    assert scorer(head[:1], rel[:1], tail[:1]).isfinite()  # A last batch of one query.
    scorer.eval()
    assert torch.equal(scorer(head, rel, tail), scorer(head, rel, tail))
    scorer.reset_parameters()
    assert scorer.norms[0].running_mean.abs().max() == 0


def test_contextual_scorer_errors():
    with pytest.raises(ValueError, match="Invalid 'similarity' argument"):
        ContextualRelationalScorer(4, similarity="euclid")
    with pytest.raises(ValueError, match="'scale' needs to be positive"):
        ContextualRelationalScorer(4, scale=0.0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16])
def test_dropout(p, dtype):
    x = torch.ones(401, 501, dtype=dtype, requires_grad=True)  # No multiple of four.
    out = dropout(x, p)
    kept = out != 0
    assert out.dtype == dtype
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=5e-3)
    # Elements are independent of their neighbours, in both directions:
    for a, b in ((kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])):
        assert (a & b).float().mean().item() == pytest.approx((1 - p) ** 2, abs=5e-3)
    assert torch.allclose(out[kept].float(), torch.tensor(1 / (1 - p)), rtol=1e-2)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(grad, out)
    torch.manual_seed(1)
    out = dropout(x, p)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, p), out)


def test_dropout_of_nothing_and_everything():
    x = torch.randn(3, 5)
    assert torch.equal(dropout(x, 0.0), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(3, 5))
    assert dropout(x[:0], 0.5).size() == (0, 5)
