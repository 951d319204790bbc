import torch

from torch_imf.nn.functional import dura_loss


def test_dura_loss_equals_naive():
    query = torch.randn(5, 8, requires_grad=True)
    key = torch.randn(23, 8, requires_grad=True)
    row, col = pos_index = (torch.rand(4, 23) < 0.3).nonzero().t()  # The last query has none.

    # Weighed by the number of positives, it is a mean over facts:
    weight = torch.bincount(row, minlength=5)
    out = dura_loss(query, key, pos_index, weight)
    expected = (query[row].square().sum(-1) + key[col].square().sum(-1)).mean()
    assert torch.allclose(out, expected)
    grads = torch.autograd.grad(out, [query, key])
    for grad, other in zip(grads, torch.autograd.grad(expected, [query, key]), strict=True):
        assert torch.allclose(grad, other, atol=1e-6)

    means = [query[i].square().sum() + key[col[row == i]].square().sum(-1).mean() for i in range(4)]
    assert torch.allclose(dura_loss(query, key, pos_index), torch.stack(means).sum() / 5)


def test_dura_loss_in_low_precision():
    query, key = torch.randn(5, 8), torch.randn(9, 8)
    pos_index = torch.stack([torch.arange(5), torch.arange(5)])
    with torch.autocast("cpu", torch.bfloat16):
        out = dura_loss(query.bfloat16(), key, pos_index)
    assert out.dtype == torch.float
    assert torch.allclose(out, dura_loss(query, key, pos_index), rtol=1e-2)
