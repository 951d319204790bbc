import torch

from torch_imf.nn import ComplEx, DistMult


def test_bilinear_scorers(refuses):
    head, rel, tail = torch.randn(3, 5, 4)
    expected = torch.stack([h @ r.diag() @ t for h, r, t in zip(head, rel, tail, strict=True)])
    assert torch.allclose(DistMult(4)(head, rel, tail), expected, atol=1e-6)
    h, r, t = (torch.complex(*x.chunk(2, dim=-1)) for x in (head, rel, tail))
    expected = (h * r * t.conj()).sum(-1).real
    assert torch.allclose(ComplEx(4)(head, rel, tail), expected, atol=1e-6)
    assert [str(DistMult(4)), str(ComplEx(4))] == ["DistMult(4)", "ComplEx(4)"]
    refuses(
        ("DistMult needs 'rel_channels' to be 4", lambda: DistMult(4, 3)),
        ("even number of 'channels'", lambda: ComplEx(5)),
    )
