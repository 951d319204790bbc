import pytest
import torch

from torch_imf.nn import PairRE, TransD


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("rel_channels", [4, 8, 12])
def test_transd(rel_channels, normalize):
    scorer = TransD(8, rel_channels, margin=1.5, normalize=normalize)
    head, rel, tail = 0.7 * torch.randn(6, 8), torch.randn(6, rel_channels), torch.randn(6, 8)
    expected = []
    for h, r, t in zip(head.double(), rel.double(), tail.double(), strict=True):
        sides = []
        for e, e_p in (h.split(4), t.split(4)):
            r_p = r[rel_channels // 2 :]
            matrix = torch.outer(r_p, e_p) + torch.eye(r_p.numel(), 4, dtype=torch.double)
            x = matrix @ e
            sides.append(x / (x.norm() if normalize else x.norm().clamp(min=1)))
        r = r[: rel_channels // 2]
        expected.append(1.5 - (sides[0] + r - sides[1]).square().sum())
    expected = torch.stack(expected).float()
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score.diagonal(), expected, atol=1e-5)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_pairre(p):
    scorer = PairRE(4, margin=3.0, p_norm=p)
    assert scorer.rel_channels == 8
    head, rel, tail = torch.randn(6, 4), torch.randn(6, 8), torch.randn(6, 4)
    (h, r, t), r_tail = (x.double() for x in (head, rel[:, :4], tail)), rel[:, 4:].double()
    h, t = h / h.norm(dim=1, keepdim=True), t / t.norm(dim=1, keepdim=True)
    expected = (3 - (h * r - t * r_tail).abs().pow(p).sum(dim=1).pow(1 / p)).float()
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score.diagonal(), expected, atol=1e-5)


def test_sizes(refuses):
    refuses(
        (r"even 'channels' and 'rel_channels' \(got \(7, 8\)", lambda: TransD(7, 8)),
        (r"even 'channels' and 'rel_channels' \(got \(8, 3\)", lambda: TransD(8, 3)),
        ("'rel_channels' to be 16, twice", lambda: PairRE(8, 8)),
    )
