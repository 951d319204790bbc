import torch

from torch_imf.nn.functional import hamilton


def test_hamilton():
    one, i, j, k = torch.eye(4).unsqueeze(-1)
    for a, b, c in ((i, j, k), (j, k, i), (k, i, j), (one, k, k), (i, i, -one)):
        assert torch.equal(hamilton(a, b), c)
    assert torch.equal(hamilton(j, i), -k)
    a, b, c = torch.randn(3, 5, 4, 2, dtype=torch.double)
    assert torch.allclose(hamilton(hamilton(a, b), c), hamilton(a, hamilton(b, c)))
    assert torch.allclose(hamilton(a, b).norm(dim=-2), a.norm(dim=-2) * b.norm(dim=-2))
