from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.graph import draw_validation, prepare
from torch_imf.evaluation.ranking import StreamedScores, check_finite, inference

#: The number of false candidates of a query that count one by one in a calibration.
NUM_BEST = 1024
#: The weight of the distance to a temperature of one and scores, or view weights, as they are.
PRIOR = 1e-3
BATCH_SIZE = 128


@dataclass(frozen=True)
class Calibration:
    r"""Turns the scores of all candidates of a query into probabilities:

    .. math::
        p(t \mid h, r) = \sigma \big( a \, (y_t - c \log \sum_{t'} e^{y_{t'}})
        + b \big)

    :math:`c = 0` takes scores as they are, as the :obj:`"bce"` loss trains them, and :math:`c = 1`
    relative to those of the other candidates, as the :obj:`"ce"` loss does. Of an average of
    probabilities, :math:`y_t` is the logit. :meth:`calibrate` fits it and says what the probability
    means.

    Args:
        scale (float): The inverse temperature :math:`a > 0`.
        norm (float): The share :math:`c \ge 0` of the softmax.
        bias (float): The bias :math:`b`.
        is_prob (bool, optional): Whether scores are averages of probabilities. (default:
            :obj:`False`)
    """

    scale: float
    norm: float
    bias: float
    is_prob: bool = False

    def logit(self, score: Tensor) -> Tensor:
        r"""The log-odds of each candidate, given the scores of all of them, :obj:`[B, N]`."""
        y = as_logit(score, self.is_prob)
        return self.scale * (y - self.norm * y.logsumexp(dim=-1, keepdim=True)) + self.bias

    def __call__(self, score: Tensor) -> Tensor:
        r"""The probability of each candidate, of shape :obj:`[B, N]`."""
        return self.logit(score).sigmoid()


def calibrate(
    model: torch.nn.Module, data: Data, num_facts: int = 1024, seed: int = 0
) -> Calibration:
    r"""Fits the map from scores to probabilities to validation facts, and leaves the model as it
    is: a logistic regression of which candidates of the queries of these facts are true.

    A probability of 0.7 means that of ten candidates like this one, about seven are facts that were
    held out. It is that of an answer which training does not hold, to a query which *has* such an
    answer, and counts as false what the graph does not hold, and test facts, which are never looked
    at. On queries without a missing answer it is too high; on a graph that lacks much of what is
    true, too low. Of the false candidates of a query, the 1024 best count one by one, and up to as
    many stand for all others.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): All facts with split masks.
        num_facts (int, optional): The number of validation facts to use, drawn at random if there
            are more. (default: :obj:`1024`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the graph does not fit the model, there are no validation facts that are new,
            or a score is NaN or infinite.
    """
    data, (head, rel, _) = prepare_fit(model, data, num_facts, seed)
    head, rel = torch.stack([head, rel]).unique(dim=1)  # Each query once, with all its answers.
    train = TripletIndex.from_data(data, data.train_mask)
    row, col = TripletIndex.from_data(data, data.val_mask)(head, rel)
    new = ~train.contains(head[row], rel[row], col)
    row, col = row[new], col[new]
    if row.numel() == 0:
        raise ValueError("The 'val' split holds no facts that are not training facts")

    is_prob = yields_probabilities(model)
    true, parts = torch.empty(row.numel(), device=row.device), []
    for i, score, _ in score_batches(model, head, rel):
        y = as_logit(score, is_prob)
        here = (row >= i[0]) & (row <= i[-1])
        true[here] = y[row[here] - i[0], col[here]]
        norm = y.logsumexp(dim=-1, keepdim=True)
        y[row[here] - i[0], col[here]] = -torch.inf
        y[tuple(train(head[i], rel[i]))] = -torch.inf
        parts.append((*_thin_out(y), norm))
    false, weight, norm = (torch.cat(x) for x in zip(*parts, strict=True))  # [M, K], [M, K], [M, 1]
    offset = norm.mean()  # Taken off while fitting, so that the bias does not follow the norm.
    norm = norm - offset
    # The logarithm of the scale, the norm and the bias:
    param = torch.zeros(3, dtype=torch.double, device=y.device, requires_grad=True)
    free = torch.ones_like(param)

    def closure() -> Tensor:
        param.grad = None
        scale, share, bias = param[0].exp(), param[1] * free[1], param[2]
        loss = (weight * F.softplus(scale * (false - share * norm) + bias)).sum(dtype=torch.double)
        z = scale * (true - share * norm.view(-1)[row]) + bias
        loss = (loss + F.softplus(-z).sum()) / row.numel() + PRIOR * param[:2].square().sum()
        loss.backward()
        return loss

    def fit() -> None:
        with torch.enable_grad():
            torch.optim.LBFGS([param], max_iter=100, line_search_fn="strong_wolfe").step(closure)

    fit()
    if param[1].item() < 0:  # What scores more never makes other candidates more likely.
        free[1] = param.data[1] = 0
        fit()
    log_scale, share, bias = param.detach()
    scale = log_scale.exp()
    return Calibration(float(scale), float(share), float(bias + scale * share * offset), is_prob)


def prepare_fit(
    model: torch.nn.Module, data: Data, num_facts: int, seed: int
) -> tuple[Data, tuple[Tensor, Tensor, Tensor]]:
    r"""Returns the graph of a model and some validation facts, in both directions."""
    if num_facts < 1:
        raise ValueError(f"'num_facts' needs to be positive (got {num_facts})")
    data = prepare(model, data)
    facts = draw_validation(data, num_facts, seed)
    if facts[0].numel() == 0:
        raise ValueError("The 'val' split holds no facts")
    return data, facts


def score_batches(
    model: torch.nn.Module, head_index: Tensor, rel_type: Tensor
) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    r"""Yields the positions of some queries at a time, and :meth:`view_scores`."""
    with inference(model):
        scores = StreamedScores(model)
        for i in torch.arange(head_index.numel(), device=head_index.device).split(BATCH_SIZE):
            yield i, *view_scores(scores, head_index[i], rel_type[i])


def _thin_out(score: Tensor) -> tuple[Tensor, Tensor]:
    # The best scores of each row, and one of every few others in order, each with the number of
    # scores that it stands for; those that are -inf stand for none.
    score = score.sort(dim=-1, descending=True).values
    rest = max(0, score.size(1) - NUM_BEST)
    step = max(1, -(-rest // NUM_BEST))
    start = torch.arange(score.size(1) - rest, score.size(1), step, device=score.device)
    size = (score.size(1) - start).clamp(max=step)
    best = torch.arange(score.size(1) - rest, device=score.device)
    weight = torch.cat([torch.ones_like(best), size]).to(score.dtype)
    score = score[:, torch.cat([best, start + size // 2])]
    found = score > -torch.inf
    return score.masked_fill(~found, 0.0), weight * found


def calibration_error(probability: Tensor, target: Tensor, num_bins: int = 10) -> float:
    r"""The expected calibration error: how far probabilities are from the share of what is true, of
    the same shape, on average over bins of equal width. Raises if shapes differ or a probability is
    not in :obj:`[0, 1]`.
    """
    if probability.size() != target.size() or not bool(
        ((probability >= 0) & (probability <= 1)).all()
    ):
        raise ValueError(
            f"Expected probabilities in [0, 1] and as many targets (got shapes "
            f"{list(probability.size())} and {list(target.size())})"
        )
    probability, target = probability.double().view(-1), target.double().view(-1)
    pos = (probability * num_bins).long().clamp(max=num_bins - 1)
    gap = torch.zeros(num_bins, dtype=torch.double, device=pos.device)
    return float(gap.index_add(0, pos, probability - target).abs().sum()) / target.numel()


def yields_probabilities(model: Any) -> bool:
    r"""Tells whether the scores of a model are averages of probabilities."""
    decision = getattr(model, "decision", None)
    return decision is not None and decision.sigmoid


def as_logit(score: Tensor, is_prob: bool) -> Tensor:
    r"""Returns scores as finite logits, in the same order."""
    return score.clamp(1e-30, 1 - 2**-24).logit() if is_prob else score


def view_scores(
    scores: StreamedScores, head_index: Tensor, rel_type: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Scores every entity as tail of each query, over all views and in each of them, of shape
    :obj:`[B, N]`.
    """
    query = scores.query(head_index, rel_type)
    score_dict = scores.model.view_similarity(query, scores.key)
    return check_finite(scores.model.fuse(score_dict)), score_dict
