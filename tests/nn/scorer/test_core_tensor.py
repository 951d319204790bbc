import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn import ContextualRelationalScorer, TuckER
from torch_imf.nn.scorer.core_tensor import dropout


def core(scorer):
    return scorer.weight.view(3, 4, 4).transpose(0, 1)  # W[i, r, j]


def test_contextual_scorer_equals_equations_7_and_8(refuses):
    scorer = ContextualRelationalScorer(4, 3, scale=5.0, logit_bias=-2.0)
    assert str(scorer) == "ContextualRelationalScorer(4, rel_channels=3, similarity='cosine')"
    torch.nn.init.normal_(scorer.bias)
    head, rel, tail = torch.randn(5, 4), torch.randn(5, 3), torch.randn(5, 4)
    query = torch.einsum("bi,br,irj->bj", head, rel, core(scorer)) + scorer.bias
    expected = 5 * F.cosine_similarity(query, tail) - 2
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)

    scorer = ContextualRelationalScorer(4, learn_scale=False)
    assert not scorer.log_scale.requires_grad and scorer.logit_bias is None
    scorer = ContextualRelationalScorer(4, 3, similarity="dot")
    query = torch.einsum("bi,br,irj->bj", head, rel, core(scorer))
    assert torch.allclose(scorer(head, rel, tail), (query * tail).sum(-1), atol=1e-5)
    refuses(
        ("'similarity' needs", lambda: ContextualRelationalScorer(4, similarity="euclid")),
        ("'scale' needs to be positive", lambda: ContextualRelationalScorer(4, scale=0.0)),
    )


def test_contextual_scorer_batch_norm_and_dropout():
    scorer = ContextualRelationalScorer(4, batch_norm=True, dropout=0.5, similarity="dot")
    head, rel, tail = torch.randn(3, 64, 4)
    assert not torch.equal(scorer(head, rel, tail), scorer(head, rel, tail))
    assert scorer(head[:1], rel[:1], tail[:1]).isfinite()  # A last batch of one query.
    scorer.eval()
    assert torch.equal(scorer(head, rel, tail), scorer(head, rel, tail))


def test_tucker_equals_the_core_tensor_product(random_norms):
    scorer = TuckER(4, 3).eval()
    assert str(scorer) == "TuckER(4, rel_channels=3)"
    random_norms(scorer)
    head, rel, tail = torch.randn(5, 4), torch.randn(5, 3), torch.randn(7, 4)
    query = torch.einsum("irj,bi,br->bj", core(scorer), scorer.norms[0](head), rel)
    expected = torch.einsum("bj,nj->bn", scorer.norms[1](query), tail)
    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score, expected, atol=1e-5)


def test_tucker_dropout():
    # With one-hot heads, the query is a row of the relation's matrix, whose entries are kept with
    # probability 0.75:
    scorer = TuckER(4, 1, input_dropout=0.0, hidden_dropout=0.25, output_dropout=0.0)
    scorer.norms = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    head, rel = torch.eye(4).repeat(500, 1), torch.ones(2000, 1)
    out = scorer.query(head, rel)
    kept = out != 0
    assert kept.float().mean(dim=0).sub(0.75).abs().max() < 0.05
    assert torch.allclose(out[kept], (head @ scorer.weight.view(4, 4) / 0.75)[kept], atol=1e-5)
    # Queries of one relation share what is dropped:
    group = torch.arange(2).repeat_interleave(1000)
    out = scorer.grouped_query(head, rel[:2], group).view(2, -1, 4)
    assert torch.equal(out[0, :4].repeat(250, 1), out[0])
    assert not torch.equal(out[0], out[1])

    scorer = TuckER(4, input_dropout=0.0, hidden_dropout=0.0, output_dropout=0.5)
    assert (scorer.query(head, head) == 0).float().mean().sub(0.5).abs() < 0.05
    scorer.eval()
    assert torch.equal(scorer.query(head, head), scorer.query(head, head))


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
    assert dropout(x[:0], p).size() == (0, 501)
