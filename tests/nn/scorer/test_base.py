import pytest
import torch

from torch_imf.nn import scorer as scorers
from torch_imf.registry import class_names, resolve

WRAPPED = {
    "CrossModal": lambda: scorers.CrossModal(scorers.TransE(4)),
    "CrossModal of sums": lambda: scorers.CrossModal(scorers.RotatE(4), total=True),
    "Gated": lambda: scorers.GatedScorer(scorers.ComplEx(4)),
    "Hyper": lambda: scorers.HyperScorer(scorers.BiQUE(8)),
    "Parallel": lambda: scorers.Parallel(scorers.TransE(2), 4),
}


@pytest.fixture(params=[*class_names("scorer"), *WRAPPED])
def scorer(request):
    if request.param in WRAPPED:
        return WRAPPED[request.param]().eval()
    return getattr(scorers, request.param)(8).eval()


def inputs(scorer, B=4, N=6):
    rel = torch.empty(B, scorer.rel_channels)
    scorer.reset_relations(rel)
    return torch.randn(B, 8), rel, torch.randn(N, 8)


def test_scores_agree(scorer):
    head, rel, tail = inputs(scorer)
    query, key = scorer.query(head, rel), scorer.key(tail)
    score = scorer.similarity(query, key)
    assert score.size() == (4, 6)
    index = torch.randint(6, (4, 3))
    assert torch.allclose(scorer.similarity(query, key[index]), score.gather(1, index), atol=1e-5)
    for i in range(6):
        out = scorer(head, rel, tail[i].expand(4, -1))
        assert out.size() == (4,)
        assert torch.allclose(out, score[:, i], atol=1e-5)
    if scorer.dot_product:
        bias = 0.0 if scorer.logit_bias is None else scorer.logit_bias
        assert torch.allclose(query @ key.t() + bias, score)


def test_grouped_queries_equal_single_ones(scorer):
    head, rel, _ = inputs(scorer, B=6)
    group = torch.tensor([2, 0, 2, 2, 1, 0])
    out = scorer.grouped_query(head, rel[:3], group)
    assert torch.allclose(out, scorer.query(head, rel[:3][group]), atol=1e-5)


def test_inverse(scorer, refuses):
    head, rel, tail = inputs(scorer, B=4, N=4)
    name = type(scorer).__name__
    if name in (
        *("BiQUE", "CapsE", "ContextualRelationalScorer", "ConvE", "ConvKB", "HyperScorer", "OTE"),
        "TuckER",
    ):
        refuses((name, lambda: scorer.invert(rel)), error=NotImplementedError)
    else:
        rel = rel + 0.1 * torch.randn_like(rel)  # Where those to start from are their own inverses.
        score, inverse = scorer(head, rel, tail), scorer.invert(rel)
        assert torch.allclose(score, scorer(tail, inverse, head), atol=1e-5)
        assert torch.allclose(score, scorer(head, scorer.invert(inverse), tail), atol=1e-5)


def test_gradients_are_finite_at_a_perfect_match(scorer):
    head, rel, _ = inputs(scorer)
    # Relations that leave entities where they are, of scorers whose queries are no keys:
    still = {"TransD": [0] * 8, "PairRE": [1] * 16, "HAKE": [1] * 4 + [0] * 8}
    still["OTE"] = [*torch.eye(4).repeat(2, 1).flatten(), *[0] * 8]
    if type(scorer).__name__ in still:
        rel = torch.tensor(still[type(scorer).__name__]).float().expand(4, -1).clone()
        key = scorer.key(head).detach()
    elif type(scorer).__name__ in ("ConvKB", "CapsE"):
        key = torch.zeros_like(head)
    elif isinstance(scorer, scorers.CrossModal | scorers.Parallel):
        key = scorer.query(head, rel).detach()
    else:
        key = scorer.key(scorer.query(head, rel)).detach()
    rel.requires_grad_(), key.requires_grad_()
    for k in (key, key.unsqueeze(1)):
        grads = torch.autograd.grad(scorer.similarity(scorer.query(head, rel), k).sum(), (rel, key))
        assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("num_queries", [1, 6])
@pytest.mark.parametrize("autocast", [False, True])
def test_trains_on_any_batch(scorer, num_queries, autocast):
    scorer.train()
    head, rel, tail = (x.requires_grad_() for x in inputs(scorer, num_queries, 7))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert score.size() == (num_queries, 7)
    if scorer.dot_product:
        assert score.dtype == (torch.bfloat16 if autocast else torch.float)
    score.float().square().sum().backward()
    learned = [p for p in scorer.parameters() if p.requires_grad]
    for x in (head, rel, tail, *learned):
        assert x.grad.dtype == torch.float and x.grad.isfinite().all()
    scorer.reset_parameters()
    norms = [x for x in scorer.modules() if hasattr(x, "running_mean")]
    assert all(x.running_mean.abs().max() == 0 for x in norms)


def test_by_name(refuses):
    assert isinstance(resolve("scorer", "contextual", 8, 4), scorers.ContextualRelationalScorer)
    refuses(
        ("no scorer 'transx'. Did you mean 'transe'", lambda: resolve("scorer", "transx", 8)),
        ("'channels' needs to be positive", lambda: scorers.TransE(0)),
    )


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize(
    "base",
    [
        *(scorers.TransE(4, p_norm=p) for p in (1.0, 2.0)),
        *(scorers.RotatE(4), scorers.DistMult(4), scorers.ContextualRelationalScorer(4, 3)),
    ],
)
def test_cross_modal(base, total):
    scorer = scorers.CrossModal(base, total)
    assert str(scorer) == f"CrossModal({base}, total={total})"
    assert scorer.channels == 8 and scorer.rel_channels == base.rel_channels
    head, rel, tail = torch.randn(5, 8), torch.empty(5, base.rel_channels), torch.randn(5, 8)
    scorer.reset_relations(rel)
    (h_s, h_m), (t_s, t_m) = head.split(4, dim=-1), tail.split(4, dim=-1)
    expected = base(h_s, rel, t_s) + base(h_s, rel, t_m) + base(h_m, rel, t_s) + base(h_m, rel, t_m)
    if total:
        expected = expected + base(h_s + h_m, rel, t_s + t_m)
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    for p in base.parameters():
        p.data.zero_()
    scorer.reset_parameters()
    assert all(p.any() for p in base.parameters() if p.dim() > 1)


def test_parallel():
    scorer = scorers.Parallel(base := scorers.RotatE(4), 3)
    assert str(scorer) == f"Parallel({base}, num_parts=3)"
    head, rel, tail = torch.randn(5, 12), torch.empty(5, 2), torch.randn(5, 12)
    scorer.reset_relations(rel)
    parts = zip(head.split(4, dim=-1), tail.split(4, dim=-1), strict=True)
    expected = sum(base(h, rel, t) for h, t in parts)
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)


@pytest.mark.parametrize("cls", [scorers.ContextualRelationalScorer, scorers.TuckER])
def test_can_be_exported(cls):
    made = cls(8, 3).eval()
    args = inputs(made, N=4)
    torch._dynamo.reset()  # It counts how often a method is compiled.
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(*args), made(*args), atol=1e-5)
    exported = torch.export.export(made, args).module()
    assert torch.allclose(exported(*args), made(*args), atol=1e-5)


@pytest.mark.parametrize("position, size", [(0, 7), (1, 1), (1, 9), (2, 16)])
def test_wrong_sizes(scorer, refuses, position, size):
    args = list(inputs(scorer, N=4))
    args[position] = torch.randn(4, size)
    refuses((type(scorer).__name__ + " scores entities and relations of", lambda: scorer(*args)))


def test_wrong_sizes_of_queries(refuses):
    for cls, sizes in ((scorers.TuckER, (8, 3)), (scorers.ContextualRelationalScorer, (6, 4))):
        made, match = cls(8, 4), rf"of \(8, 4\) channels \(got {sizes[0]} and {sizes[1]}\)"
        head, rel = (torch.randn(2, size) for size in sizes)
        refuses((match, lambda s=made, x=(head, rel): s.query(*x)))
        refuses((match, lambda s=made, x=(head, rel): s.grouped_query(*x, torch.arange(2))))
