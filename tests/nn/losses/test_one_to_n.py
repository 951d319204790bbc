import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import TripletIndex
from torch_imf.nn import DURA, KGE, DistMult, OneToN, RotatE, TransE
from torch_imf.registry import class_names, resolve

each = pytest.mark.parametrize("loss", ["bce", "ce"])


def naive(loss, score, pos_index, label_smoothing):
    row, col = pos_index
    if loss == "ce":
        return F.cross_entropy(score[row], col)
    target = torch.zeros_like(score)
    target[row, col] = 1.0
    target = (1 - label_smoothing) * target + label_smoothing / score.size(1)
    return F.binary_cross_entropy_with_logits(score, target) * score.size(1)


@each
@pytest.mark.parametrize("scorer", class_names("scorer"))
def test_loss_equals_naive(fake, build, loss, scorer):
    model = build(KGE, 16, scorer=scorer, loss=OneToN(loss, 0.1)).eval()  # No dropout.
    index = TripletIndex.from_data(fake)
    head, rel = (x[:6] for x in index.queries())
    pos_index = index(head, rel)
    out = model.loss(head, rel, pos_index)
    expected = naive(loss, model.predict(head, rel), pos_index, label_smoothing=0.1)
    assert torch.allclose(out, expected, rtol=1e-4)
    out.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@each
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scorer", [TransE(8), RotatE(8)])
def test_loss_and_gradient_equal_naive_for_any_similarity(same, loss, label_smoothing, scorer):
    query = torch.randn(5, 8, dtype=torch.double, requires_grad=True)
    key = torch.randn(23, 8, dtype=torch.double, requires_grad=True)
    pos_index = (torch.rand(4, 23) < 0.2).nonzero().t()  # The last query has none.
    pos_index = pos_index[:, torch.randperm(pos_index.size(1))]
    out = OneToN(loss, label_smoothing)(scorer, query, key, pos_index)
    expected = naive(loss, scorer.similarity(query, key), pos_index, label_smoothing)
    same(out, expected, [query, key])


@each
def test_loss_in_low_precision(loss):
    query, key = 50 * torch.randn(4, 8), 50 * torch.randn(9, 8)  # Scores far from zero.
    pos_index = torch.tensor([[0, 1, 1, 2, 3], [8, 0, 3, 5, 2]])
    truth = OneToN(loss)(RotatE(8), query.double(), key.double(), pos_index)
    out = OneToN(loss)(RotatE(8), query.bfloat16(), key.bfloat16(), pos_index)
    assert out.dtype == torch.float
    assert torch.allclose(out.double(), truth, rtol=0.02)


@pytest.mark.parametrize("scorer", [DistMult(8), TransE(8)])  # A product, and none.
def test_bce_as_the_paper_and_its_code_have_it(same, scorer):
    query = torch.randn(5, 8, dtype=torch.double, requires_grad=True)
    key = torch.randn(23, 8, dtype=torch.double, requires_grad=True)
    row, col = pos_index = (torch.rand(5, 23) < 0.2).nonzero().t()
    target = torch.zeros(5, 23, dtype=torch.double)
    target[row, col] = 1.0
    for settings, label in [({}, target), ({"label_smoothing": 0.1}, 0.9 * target + 1 / 23)]:
        loss = OneToN(reduction="mean", spread=1.0 if settings else None, **settings)
        score = scorer.similarity(query, key)
        expected = F.binary_cross_entropy_with_logits(score, label)
        same(loss(scorer, query, key, pos_index), expected, [query, key])


def test_by_name(refuses):
    for name in ("bce", "ce"):
        loss = resolve("loss", name, regularizer="dura")
        assert str(loss) == f"OneToN('{name}')" and loss.is_binary == (name == "bce")
        assert str(loss.regularizer) == "DURA(0.1)"
    assert resolve("loss", OneToN).loss == "bce"
    refuses(
        ("Invalid 'loss' argument", lambda: OneToN("hinge")),
        (r"'label_smoothing' needs to be in \[0, 1\)", lambda: OneToN(label_smoothing=1.0)),
        ("'reduction' needs to be 'sum' or 'mean'", lambda: OneToN(reduction="max")),
        (r"'spread' needs to be in \[0, 1\]", lambda: OneToN(spread=2.0)),
        ("'weight' cannot be negative", lambda: DURA(-0.1)),
        ("'weight' needs to be finite", lambda: DURA(float("nan"))),
        ("no regularizer 'duraa'. Did you mean 'dura'", lambda: OneToN(regularizer="duraa")),
    )
