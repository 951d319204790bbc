from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data import TripletIndex, modalities
from torch_imf.data.graph import prepare, remember, split_facts, without_test
from torch_imf.evaluation.ranking import StreamedScores, check_model, inference
from torch_imf.io import warn
from torch_imf.io.progress import watched
from torch_imf.nn.models.ensemble import Ensemble
from torch_imf.nn.views import View
from torch_imf.registry import checked, resolve

#: The least and the most validation facts by default, and how many scores they may take in between.
NUM_FACTS, NUM_SCORES = (2048, 20_000), 2**29
#: The least and the most false candidates that a query is compared with, and how many all may have.
NUM_CANDIDATES, NUM_PAIRS = (64, 256), 2**20
NUM_FOLDS = 5
#: With fewer validation facts, weights stay equal.
MIN_FACTS = 20
#: What scales may depend on.
BY = ("all", "relation")
#: What sets a relation apart is shrunk as by so many facts.
PRIOR = 1.0
#: The sum of weights while they are fitted, so that the smooth rank is neither blunt nor flat.
SHARPNESS, MAX_ITER = 80.0, 60


class Votes(NamedTuple):
    r"""What queries are compared by: :obj:`gap`, by how much each of some false candidates beats
    the true one in each view, of shape :obj:`[M, C, V]`, which of them there are, the relation of
    each query, and the validation fact behind it.
    """

    gap: Tensor
    found: Tensor
    rel_type: Tensor
    fact: Tensor

    def some(self, mask: Tensor) -> "Votes":
        return Votes(*(x[mask] for x in self))


@checked
def fit_view_weights(
    model: Module | Sequence[Module],
    data: Data,
    extra: Sequence[str | type | View] | None = None,
    num_facts: int | None = None,
    seed: int = 0,
    by: Literal["all", "relation"] | None = None,
) -> Ensemble:
    r"""Lets the views of one or several trained models vote, along with views that need no
    training, and fits what each of them counts to validation facts. Returns the
    :class:`~torch_imf.nn.Ensemble`, whose attribute :obj:`fitted` tells what was found; the models
    stay as they are.

    .. code-block:: python

        fit(model, data)
        model = fit_view_weights(model, data)
        print(model.view_weights(), evaluate(model, data)["mrr"])

    Weights maximise a smooth mean reciprocal rank (cross-entropy would be dominated by facts that
    no view knows),

    .. math::
        \frac{1}{M} \sum_i \frac{1}{1 + \sum_j \sigma (y_{ij} - y_i)}

    over validation facts :math:`i` on both sides, and their best false candidates :math:`j`, 64 to
    256 by the number of facts. The scale of a view may depend on the relation where five-fold
    cross-validation says that this pays. Test facts have no part in it.

    Args:
        model (torch.nn.Module or list): A trained model of this package, or several.
        data (Data): All facts with split masks.
        extra (list, optional): Views that need no training, by name or as objects, which are made
            of training facts here. If :obj:`None`, they are :obj:`"types"`, :obj:`"rules"` and, of
            a graph with features, :obj:`"features"`. (default: :obj:`None`)
        num_facts (int, optional): The number of validation facts to fit to, drawn at random if
            there are more. If :obj:`None`, it is between 2,048 and, where there are few entities to
            compare, 20,000. (default: :obj:`None`)
        seed (int, optional): The seed of the draws. (default: :obj:`0`)
        by (str, optional): What scales depend on, :obj:`"all"` for nothing or :obj:`"relation"`. If
            :obj:`None`, cross-validation tells. (default: :obj:`None`)

    Raises:
        ValueError: If the graph does not fit the models, there are no validation facts, or a score
            is NaN or infinite.
    """
    models = [model] if isinstance(model, Module) else list(model)
    for x in models:
        check_model(x)
        data = prepare(x, data)
    data = without_test(data)
    if extra is None:
        extra = ["types", "rules", *(["features"] if modalities(data)[0] else [])]
    views = [resolve("view", x).fit(data).to(data.edge_index.device) for x in extra]
    out = Ensemble([*models, *views])
    if num_facts is None:
        num_facts = _between(NUM_SCORES // (2 * out.num_nodes), *NUM_FACTS)
    votes = _collect(out, data, num_facts, seed)
    scale = votes.gap[votes.found].std(dim=0)
    is_idle = ~(scale > 0)
    scale = scale.masked_fill(is_idle, 1)
    votes = votes._replace(gap=votes.gap / scale)
    num_types, size = 2 * out.num_relations, int(votes.fact.max()) + 1
    weight, ratio, chosen = torch.ones_like(scale), scale.new_ones(num_types, 1), "none"
    if size < MIN_FACTS:
        warn(f"Views count the same, as {size} validation facts do not tell what they are worth")
        found = {chosen: _reciprocal_rank(votes, weight.expand(num_types, -1))}
    else:
        found = {
            x: _cross_validate(votes, num_types, x == "relation", seed)
            for x in ([by] if by else BY)
        }
        chosen = by or "all"
        if by is None:
            gain = found["relation"] - found["all"]
            # What takes more numbers needs to be better beyond doubt:
            chosen = BY[int(gain.mean() > 2 * gain.std() / len(gain) ** 0.5)]
        weight, ratio = _fit(votes, num_types, chosen == "relation")
        weight = weight.masked_fill(is_idle, 0)
    weight = weight * _sharpness(votes, weight * ratio)
    out.weight, out.scale = weight, (scale / ratio).expand(num_types, -1).contiguous()
    out.fitted = {"num_facts": size, "by": chosen, "mrr": float(found[chosen].mean())}
    remember(out, data)
    return out


def _collect(model: Ensemble, data: Data, num_facts: int, seed: int) -> Votes:
    # How the best false candidates of validation facts, of any view, compare with the true ones.
    head, rel, tail = split_facts(data, "val", num_facts, seed)
    known = TripletIndex.from_data(data)
    size = max(1, 2**22 // model.num_nodes)
    num_candidates = _between(NUM_PAIRS // max(1, head.numel()), *NUM_CANDIDATES)
    num_each = max(1, 2 * num_candidates // len(model.views))
    gaps, masks = [], []
    with inference(model) as model:
        scores = StreamedScores(model)
        batches = list(zip(*(x.split(size) for x in (head, rel, tail)), strict=True))
        for h, r, t in watched(batches, "Comparing views"):
            query = scores.query(h, r)
            by_view = model.view_similarity(query, scores.key)
            score = torch.stack(list(by_view.values()))  # [V, B, N]
            taken = torch.ones_like(score[0], dtype=torch.bool)
            taken[tuple(known(h, r))] = False
            taken.scatter_(1, t[:, None], False)
            votes = torch.zeros_like(score[0])
            for x in score:
                value, col = x.masked_fill(~taken, -torch.inf).topk(min(num_each, x.size(1)))
                place = torch.arange(col.size(1), 0, -1, device=col.device, dtype=votes.dtype)
                votes.scatter_reduce_(1, col, place.expand_as(value), "amax")
            votes = votes.masked_fill(~taken, -1)
            col = votes.topk(min(num_candidates, votes.size(1))).indices
            own = score.gather(2, t.expand(len(score), -1).unsqueeze(-1))
            gap = score.gather(2, col.expand(len(score), -1, -1)) - own
            found = taken.gather(1, col)
            gaps.append(gap.masked_fill(~found, 0).permute(1, 2, 0))
            masks.append(found)
    fact = torch.arange(head.numel(), device=head.device) % (head.numel() // 2)
    return Votes(torch.cat(gaps), torch.cat(masks), rel, fact)


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def _cross_validate(votes: Votes, num_types: int, by_relation: bool, seed: int) -> Tensor:
    # The reciprocal ranks of queries by weights that were fitted to those of other facts.
    generator, size = torch.Generator().manual_seed(seed), int(votes.fact.max()) + 1
    fold = torch.randperm(size, generator=generator).to(votes.fact.device)[votes.fact] % NUM_FOLDS
    out = torch.zeros_like(votes.gap[:, 0, 0])
    for i in watched(range(NUM_FOLDS), "Fitting weights"):
        weight, ratio = _fit(votes.some(fold != i), num_types, by_relation)
        out[fold == i] = _reciprocal_rank(votes.some(fold == i), weight * ratio)
    return out


def _fit(votes: Votes, num_types: int, by_relation: bool) -> tuple[Tensor, Tensor]:
    # The weights of views [V], and factors of each relation [2 * R, V].
    logit = votes.gap.new_zeros(votes.gap.size(2)).requires_grad_()
    offset = votes.gap.new_zeros(num_types, votes.gap.size(2)).requires_grad_()

    def loss() -> Tensor:
        weight = SHARPNESS * logit.softmax(dim=0)
        gap = _joined(votes, weight * offset.exp() if by_relation else weight)
        rank = 1 + (gap.sigmoid() * votes.found).sum(dim=1)
        prior = PRIOR * (offset.square().sum() + 0.01 * logit.square().sum()) / len(rank)
        return prior - rank.reciprocal().mean()

    minimise(loss, [logit, offset] if by_relation else [logit], MAX_ITER)
    return SHARPNESS * logit.detach().softmax(dim=0), offset.detach().exp()


def _sharpness(votes: Votes, weight: Tensor) -> Tensor:
    # The factor by which scores are logits: ranks do not tell it.
    gap = _joined(votes, weight)
    log_factor = gap.new_zeros(()).requires_grad_()
    own = gap.new_zeros(len(gap), 1)

    def loss() -> Tensor:
        logit = (log_factor.exp() * gap).masked_fill(~votes.found, -torch.inf)
        return torch.cat([own, logit], dim=1).logsumexp(dim=1).mean()

    minimise(loss, [log_factor], MAX_ITER)
    return log_factor.exp().detach()


def _joined(votes: Votes, weight: Tensor) -> Tensor:
    # By how much each candidate beats the true one [M, C], given weights [V] or [2 * R, V].
    if weight.dim() == 1:
        return votes.gap @ weight
    return (votes.gap @ weight[votes.rel_type].unsqueeze(-1)).squeeze(-1)


def _reciprocal_rank(votes: Votes, weight: Tensor) -> Tensor:
    gap = _joined(votes, weight)
    better, equal = (x.logical_and(votes.found).sum(dim=1) for x in (gap > 0, gap == 0))
    return 1 / (1 + better + equal / 2)


def minimise(loss: Callable[[], Tensor], params: list[Tensor], max_iter: int) -> None:
    r"""Changes parameters in place to those with the smallest loss."""
    optimizer = torch.optim.LBFGS(params, max_iter=max_iter, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
