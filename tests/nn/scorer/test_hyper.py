import torch

from torch_imf.nn import N3, BiQUE, DistMult, HyperScorer

#: The product of the units 1, i, j and k: which one it is, and its sign.
UNITS = [
    [(0, 1), (1, 1), (2, 1), (3, 1)],
    [(1, 1), (0, -1), (3, 1), (2, -1)],
    [(2, 1), (3, -1), (0, -1), (1, 1)],
    [(3, 1), (2, 1), (1, -1), (0, -1)],
]


def parts(x):
    """The four complex parts of an embedding."""
    return [torch.complex(*y.chunk(2)) for y in x.chunk(4)]


def test_bique_equals_the_equation_of_the_paper(refuses):
    scorer = BiQUE(16)
    assert str(scorer) == "BiQUE(16)" and scorer.rel_channels == 32
    head, tail = torch.randn(2, 5, 16, dtype=torch.double)
    rel = torch.randn(5, 32, dtype=torch.double)
    for h, r, t, score in zip(head, rel, tail, scorer(head, rel, tail), strict=True):
        product = [0, 0, 0, 0]
        for a, x in enumerate(parts(h + r[16:])):
            for b, y in enumerate(parts(r[:16])):
                c, sign = UNITS[a][b]
                product[c] = product[c] + sign * x * y
        expected = sum((x * y.conj()).real.sum() for x, y in zip(product, parts(t), strict=True))
        assert torch.allclose(score, expected)
    for args in ((12,), (8, 8)):
        refuses(("'channels' to be a multiple of 8", lambda x=args: BiQUE(*x)))


def test_hyper_scorer_equals_the_equation_of_the_paper(refuses):
    scorer = HyperScorer(DistMult(8)).double()
    assert str(scorer) == "HyperScorer(DistMult(8))" and scorer.dot_product
    torch.nn.init.normal_(scorer.lin.bias)
    head, tail = torch.randn(2, 5, 8, dtype=torch.double)
    rel = torch.randn(5, 9, dtype=torch.double)
    for h, r, t, score in zip(head, rel, tail, scorer(head, rel, tail), strict=True):
        first, *own = h.chunk(4)
        logit = torch.stack([a @ x for a, x in zip(scorer.att, own, strict=True)])
        logit = logit + scorer.lin.weight @ r[:8] + scorer.lin.bias
        alpha = (logit / r[8].exp()).softmax(dim=0)
        fused = first + sum(a * x for a, x in zip(alpha, own, strict=True))
        assert torch.allclose(score, (torch.cat([fused, *own]) * r[:8] * t).sum())
    refuses(("a scorer of four embeddings .got 6", lambda: HyperScorer(DistMult(6))))


def test_moduli_of_biquaternions():
    scorer = HyperScorer(BiQUE(8))
    entity, rel = torch.randn(6, 8), torch.randn(3, 17)
    facts = torch.randint(6, (9,)), torch.arange(9) % 3, torch.randint(6, (9,))
    total = 0.0
    for h, r, t in zip(*facts, strict=True):
        for x in (entity[h] + rel[r, 8:16], rel[r, :8], entity[t]):
            total += x.norm().pow(3)  # Of one biquaternion.
    assert torch.allclose(N3(0.5)(scorer, entity, rel, facts), 0.5 * total / 9)
