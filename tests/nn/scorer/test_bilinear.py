import torch

from torch_imf.nn import ComplEx, DistMult, QuatE


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


def left(q):
    """The matrix of the products of quaternions with one, from the left."""
    a, b, c, d = q
    rows = (a, -b, -c, -d), (b, a, -d, c), (c, d, a, -b), (d, -c, b, a)
    return torch.stack([torch.stack(row) for row in rows])


def test_quate(refuses):
    head, rel, tail = torch.randn(3, 5, 8)
    h, r, t = (x.double().view(5, 4, 2) for x in (head, rel, tail))
    for normalize in (True, False):
        scorer = QuatE(8, normalize=normalize)
        expected = torch.zeros(5, dtype=torch.double)
        for b in range(5):
            for i in range(2):
                unit = r[b, :, i] / (r[b, :, i].norm() if normalize else 1)
                expected[b] += (left(h[b, :, i]) @ unit) @ t[b, :, i]
        assert torch.allclose(scorer(head, rel, tail).double(), expected, atol=1e-5)
    out = (scorer.relation_query(head, tail) * rel).sum(-1)
    assert torch.allclose(out, scorer(head, rel, tail), atol=1e-5)
    assert str(scorer) == "QuatE(8)" and scorer.num_parts == 4
    refuses(("QuatE needs 'channels' to be a multiple of four", lambda: QuatE(6)))
    refuses(
        ("with 'normalize=False' alone", lambda: QuatE(8).relation_query(head, tail)),
        error=NotImplementedError,
    )
