import torch

from torch_imf.nn import OTE


def gram_schmidt(matrix):
    rows = []
    for row in matrix:
        for other in rows:
            row = row - (row @ other) * other
        rows.append(row / row.norm())
    return torch.stack(rows)


def test_ote_equals_the_equations():
    for scale in (True, False):
        scorer = OTE(6, margin=2.0, block_size=3, scale=scale)
        assert scorer.rel_channels == (24 if scale else 18)
        head, rel, tail = torch.randn(4, 6), torch.randn(4, scorer.rel_channels), torch.randn(4, 6)
        expected = torch.full((4,), 2.0, dtype=torch.double)
        for b, (h, r, t) in enumerate(zip(*(x.double() for x in (head, rel, tail)), strict=True)):
            for i in range(2):
                block = slice(3 * i, 3 * i + 3)
                out = gram_schmidt(r[9 * i : 9 * i + 9].view(3, 3)) @ h[block]
                out = out * r[18:][block].exp() if scale else out
                expected[b] -= (out - t[block]).norm()
        expected = expected.float()
        assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
        score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
        assert torch.allclose(score.diagonal(), expected, atol=1e-5)


def test_ote_starts_orthogonal_and_inverts():
    scorer = OTE(8, block_size=4, scale=False)
    rel = torch.empty(5, scorer.rel_channels)
    scorer.reset_relations(rel)
    for matrix in rel.view(-1, 4, 4):
        assert torch.allclose(matrix @ matrix.t(), torch.eye(4), atol=1e-5)
    head, tail = torch.randn(2, 5, 8)
    score, inverse = scorer(head, rel, tail), scorer.invert(rel)
    assert torch.allclose(score, scorer(tail, inverse, head), atol=1e-5)
    assert torch.allclose(score, scorer(head, scorer.invert(inverse), tail), atol=1e-5)


def test_ote_errors(refuses):
    refuses(
        ("'block_size' to be a divisor of 'channels' .got 4 and 6", lambda: OTE(6)),
        ("'block_size' needs to be positive", lambda: OTE(6, block_size=0)),
        ("OTE needs 'rel_channels' to be 40", lambda: OTE(8, 8)),
    )
