import pytest
import torch

from torch_imf.nn import scorer as scorers
from torch_imf.registry import class_names, resolve


@pytest.fixture(params=[*class_names("scorer"), "CrossModal", "CrossModal of sums"])
def scorer(request):
    if request.param == "CrossModal":
        return scorers.CrossModal(scorers.TransE(4))
    if request.param == "CrossModal of sums":
        return scorers.CrossModal(scorers.RotatE(4), total=True)
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


def test_inverse(scorer):
    head, rel, tail = inputs(scorer, B=4, N=4)
    try:
        inverse = scorer.invert(rel)
    except NotImplementedError as error:
        assert type(scorer).__name__ in str(error)
        # Those without:
        names = (scorers.ContextualRelationalScorer, scorers.ConvE, scorers.TuckER)
        assert isinstance(scorer, names)
    else:
        assert torch.allclose(scorer(head, rel, tail), scorer(tail, inverse, head), atol=1e-5)
        assert torch.equal(scorer.invert(inverse), rel)


def test_gradients_are_finite_at_a_perfect_match(scorer):
    head, rel, _ = inputs(scorer)
    key = scorer.query(head, rel).detach()
    key = key if isinstance(scorer, scorers.CrossModal) else scorer.key(key)
    key.requires_grad_()
    scorer.similarity(scorer.query(head, rel), key).sum().backward()
    assert key.grad.isfinite().all()


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
    for x in (head, rel, tail, *scorer.parameters()):
        assert x.grad.dtype == torch.float and x.grad.isfinite().all()
    scorer.reset_parameters()
    norms = [x for x in scorer.modules() if hasattr(x, "running_mean")]
    assert all(x.running_mean.abs().max() == 0 for x in norms)


def test_scorer_resolver():
    assert isinstance(resolve("scorer", "rotate", 8), scorers.RotatE)
    assert isinstance(resolve("scorer", "contextual", 8, 4), scorers.ContextualRelationalScorer)
    module = scorers.TransE(8)
    assert resolve("scorer", module) is module
    with pytest.raises(ValueError, match="There is no scorer 'transx'. Did you mean 'transe'"):
        resolve("scorer", "transx", 8)
    with pytest.raises(ValueError, match="need to be positive"):
        scorers.TransE(0)
