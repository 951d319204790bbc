r"""What is fitted to validation facts once a model is trained: probabilities of answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.graph import prepare, split_facts
from torch_imf.evaluation.ranking import StreamedScores, check_finite, check_whole, inference
from torch_imf.io.progress import watched
from torch_imf.registry import checked
from torch_imf.training.weights import minimise

#: The number of false candidates of a query that count one by one in a calibration.
NUM_BEST = 1024
#: The weight of the distance to a temperature of one and scores, or view weights, as they are.
PRIOR = 1e-3
BATCH_SIZE = 128


@dataclass(frozen=True)
class Calibration:
    r"""Turns the scores of all candidates of a query into probabilities, see
    :meth:`~torch_imf.calibrate`. That of an answer, *if the query misses one*, is

    .. math::
        p(t \mid h, r) = \sigma \big( a \, (y_t - c \log \sum_{t'} e^{y_{t'}})
        + b \big)

    with the :obj:`scale` :math:`a > 0`, the :obj:`bias` :math:`b` and the share :obj:`norm` of the
    softmax: :math:`c = 0` takes scores as they are, as the :obj:`"bce"` loss trains them, and
    :math:`c = 1` relative to those of the other candidates, as the :obj:`"ce"` loss does. Of
    averages of probabilities (:obj:`is_prob`), :math:`y_t` is the logit. The chance of a fact is

    .. math::
        P(h, r, t) = \sigma \big( \alpha \log p(t \mid h, r) + \beta \log g(h, r)
        + \gamma \log g(t, r^{-1}) + \delta \big)

    with the shares :math:`g` of queries like these that miss an answer, and the four numbers
    :obj:`chance`; :math:`P = p` if there are none.
    """

    scale: float
    norm: float
    bias: float
    is_prob: bool = False
    chance: tuple[float, ...] | None = None

    def logit(self, score: Tensor) -> Tensor:
        r"""The log-odds of each candidate if its query misses an answer, given the scores of all of
        them, :obj:`[B, N]`.
        """
        y = as_logit(score, self.is_prob)
        return self.scale * (y - self.norm * y.logsumexp(dim=-1, keepdim=True)) + self.bias

    def chance_logit(self, logit: Tensor, query_gap: Tensor, answer_gap: Tensor) -> Tensor:
        r"""The log-odds of facts, given :meth:`logit`, :math:`\log g(h, r)` and
        :math:`\log g(t, r^{-1})`. The arguments broadcast.
        """
        if self.chance is None:
            return logit
        alpha, beta, gamma, delta = self.chance
        return alpha * F.logsigmoid(logit) + beta * query_gap + gamma * answer_gap + delta

    def __call__(self, score: Tensor) -> Tensor:
        r"""The probability of each candidate if its query misses an answer, :obj:`[B, N]`."""
        return self.logit(score).sigmoid()


def calibrate_scores(
    model: torch.nn.Module, data: Data, num_facts: int = 1024, seed: int = 0
) -> Calibration:
    r"""Fits the probability of an answer to a query that misses one: a logistic regression of which
    candidates of the queries of validation facts are true. Of the false candidates of a query, the
    1024 best count one by one, and up to as many stand for all others. Arguments and errors are
    those of :meth:`~torch_imf.calibrate`.
    """
    data, (head, rel, _) = _prepare(model, data, num_facts, seed)
    head, rel = torch.stack([head, rel]).unique(dim=1)  # Each query once, with all its answers.
    train, val = (TripletIndex.from_data(data, x) for x in (data.train_mask, data.val_mask))
    is_prob, parts = yields_probabilities(model), []
    for i, score, _ in _scores(model, head, rel):
        query, y = (head[i], rel[i]), as_logit(score, is_prob)
        row, col = val(*query)
        new = ~train.contains(query[0][row], query[1][row], col)
        true, norm = y[row[new], col[new]], y.logsumexp(dim=-1, keepdim=True)
        y[row, col] = -torch.inf
        y[tuple(train(*query))] = -torch.inf
        parts.append((*_thin_out(y), norm, true, row[new] + i[0]))
    false, weight, norm, true, row = (torch.cat(x) for x in zip(*parts, strict=True))
    if true.numel() == 0:
        raise ValueError("The 'val' split holds no facts that are not training facts")
    offset = norm.mean()  # Taken off while fitting, so that the bias does not follow the norm.
    norm = norm - offset  # [M, 1], and false and weight [M, K].
    # The logarithm of the scale, the norm and the bias:
    param = torch.zeros(3, dtype=torch.double, device=norm.device, requires_grad=True)

    def loss() -> Tensor:
        scale, share, bias = param[0].exp(), param[1], param[2]
        loss = (weight * F.softplus(scale * (false - share * norm) + bias)).sum(dtype=torch.double)
        z = scale * (true - share * norm.view(-1)[row]) + bias
        loss = loss + F.softplus(-z).sum()
        return loss / true.numel() + PRIOR * param[:2].square().sum()

    minimise(loss, [param], max_iter=100)
    if param[1].item() < 0:  # What scores more never makes other candidates more likely.
        param.data[1] = 0
        norm.zero_()
        minimise(loss, [param], max_iter=100)
    log_scale, share, bias = param.detach()
    scale = log_scale.exp()
    return Calibration(float(scale), float(share), float(bias + scale * share * offset), is_prob)


def _thin_out(score: Tensor) -> tuple[Tensor, Tensor]:
    # The best scores of each row, and one of every few others in order, each with the number of
    # scores that it stands for; those that are -inf stand for none.
    num_best = min(NUM_BEST, score.size(1))
    step = max(1, -(-(score.size(1) - num_best) // NUM_BEST))
    best = torch.arange(num_best, device=score.device)
    start = torch.arange(num_best, score.size(1), step, device=score.device)
    size = (score.size(1) - start).clamp(max=step)
    index, weight = torch.cat([best, start + size // 2]), torch.cat([torch.ones_like(best), size])
    score = score.sort(dim=-1, descending=True).values[:, index]
    found = score > -torch.inf
    return score.masked_fill(~found, 0.0), weight.to(score.dtype) * found


@checked
def calibration_error(probability: Tensor, target: Tensor, num_bins: int = 10) -> float:
    r"""The expected calibration error: how far probabilities are from the share of what is true, of
    the same shape, on average over bins of equal width. Raises if shapes differ, there are none or
    one is not in :obj:`[0, 1]`.
    """
    is_valid = bool(((probability >= 0) & (probability <= 1)).all())
    if probability.size() != target.size() or target.numel() == 0 or not is_valid:
        sizes = f"{list(probability.size())} and {list(target.size())}"
        raise ValueError(f"Expected some probabilities in [0, 1] and as many targets (got {sizes})")
    probability, target = probability.double().view(-1), target.double().view(-1)
    pos = (probability * num_bins).long().clamp(max=num_bins - 1)
    gap = torch.zeros(num_bins, dtype=torch.double, device=pos.device)
    return float(gap.index_add(0, pos, probability - target).abs().sum()) / target.numel()


def _prepare(
    model: torch.nn.Module, data: Data, num_facts: int, seed: int
) -> tuple[Data, tuple[Tensor, Tensor, Tensor]]:
    # The graph of a model and some validation facts, in both directions.
    check_whole(model)
    data = prepare(model, data)
    return data, split_facts(data, "val", num_facts, seed)


def _scores(
    model: torch.nn.Module, head_index: Tensor, rel_type: Tensor
) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    # The positions of some queries at a time, and their scores.
    with inference(model) as model:
        scores = StreamedScores(model)
        rows = torch.arange(head_index.numel(), device=head_index.device).split(BATCH_SIZE)
        for i in watched(rows, "Calibrating"):
            yield i, *view_scores(scores, head_index[i], rel_type[i])


def view_scores(
    scores: StreamedScores, head_index: Tensor, rel_type: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The scores :obj:`[B, N]` of all entities as tail, over all views and in each of them."""
    query = scores.query(head_index, rel_type)
    score_dict = scores.model.view_similarity(query, scores.key)
    return check_finite(scores.model.fuse(score_dict)), score_dict


def yields_probabilities(model: Any) -> bool:
    r"""Tells whether the scores of a model are averages of probabilities."""
    decision = getattr(model, "decision", None)
    return decision is not None and decision.sigmoid


def as_logit(score: Tensor, is_prob: bool) -> Tensor:
    r"""Returns scores as finite logits, in the same order."""
    return score.clamp(1e-30, 1 - 2**-24).logit() if is_prob else score
