import pytest
import torch

from torch_imf.nn.scorer.contextual import dropout


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
