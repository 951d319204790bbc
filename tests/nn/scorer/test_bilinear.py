import pytest
import torch

from torch_imf.nn import ComplEx, DistMult


def test_distmult():
    scorer = DistMult(4)
    assert str(scorer) == "DistMult(4)"
    head, rel, tail = torch.randn(3, 5, 4)
    expected = torch.stack([h @ r.diag() @ t for h, r, t in zip(head, rel, tail, strict=True)])
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-6)
    with pytest.raises(ValueError, match="'rel_channels' to be 4"):
        DistMult(4, 3)


def test_complex():
    scorer = ComplEx(4)
    assert str(scorer) == "ComplEx(4)"
    head, rel, tail = torch.randn(3, 5, 4)
    h, r, t = (torch.complex(*x.chunk(2, dim=-1)) for x in (head, rel, tail))
    assert torch.allclose(scorer(head, rel, tail), (h * r * t.conj()).sum(-1).real, atol=1e-6)
    with pytest.raises(ValueError, match="even number of 'channels'"):
        ComplEx(5)
