import torch

from torch_imf.nn import HAKE


def test_hake(refuses):
    scorer = HAKE(6, margin=4.0, modulus_weight=2.0)
    assert torch.allclose(scorer.phase_weight, torch.tensor(0.5 * 2 * 6 / 6))
    assert not scorer.modulus_weight.requires_grad
    assert HAKE(6, learn_modulus_weight=True).modulus_weight.requires_grad
    head, rel, tail = torch.randn(50, 6), 2 * torch.randn(50, 9), torch.randn(50, 6)
    (h, h_p), (r, r_p, bias), (t, t_p) = (x.double().split(3, dim=1) for x in (head, rel, tail))
    r = r.abs()
    bias = bias.where(bias <= 1, 1).where(bias >= -r, -r)
    assert {True, False} == set((bias < 1).flatten().tolist())  # Some are clipped.
    modulus = (h * r + (h + t) * bias - t).norm(dim=1)  # Eq. 6
    phase = ((h_p + r_p - t_p) / 2).sin().abs().sum(dim=1)
    expected = (4 - 2 * modulus - phase).float()
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score.diagonal(), expected, atol=1e-5)
    refuses(
        (r"an even number of 'channels'.* \(got 5 and 7\)", lambda: HAKE(5)),
        (r"half as many again \(got 6 and 6\)", lambda: HAKE(6, 6)),
    )
