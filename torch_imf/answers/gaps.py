r"""The chance that a fact is true, from the probability that it is the answer that a query misses,
and from how often queries like this one miss any.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.answers.calibration import Calibration
from torch_imf.answers.completion import best_facts
from torch_imf.data import TripletIndex
from torch_imf.data.graph import split_facts
from torch_imf.training.weights import minimise

if TYPE_CHECKING:
    from torch_imf.answers.predictor import Predictor

#: How many queries of a relation count as much as those of all relations together.
SHRINKAGE = 5.0
#: The number of the best candidates that the chance is fitted to, and then its scale and bias.
NUM_FACTS, NUM_BEST = 2000, 200


class Gaps:
    r"""How often a query :math:`(h, r)` misses an answer, by its relation and by what is known: a
    film that has a director misses none, and a person with a child often another one. Its entity
    does not fit the relation (see :meth:`find_domains`), or it does, and has no answer yet, one,
    or more. The shares are those of queries with an answer in validation, as far as training facts
    are known; few queries of a relation are drawn to the mean of all.

    Args:
        data (Data): All facts with split masks.
        domains (tuple[torch.Tensor]): The entities that fit each relation and inverse.
        known (TripletIndex): The facts that are known to whoever asks.
    """

    def __init__(self, data: Data, domains: tuple[Tensor, ...], known: TripletIndex) -> None:
        self.num_nodes, self.known = int(data.num_nodes), known
        self.fits = torch.cat([x + rel * self.num_nodes for rel, x in enumerate(domains)])
        train = TripletIndex.from_data(data, data.train_mask)
        head, rel, tail = split_facts(data, "val")
        new = ~train.contains(head, rel, tail)
        queries = torch.stack([head[new], rel[new]]).unique(dim=1), train.queries()
        kinds = [4 * rel + self._kind(train, node, rel) for node, rel in queries]
        hits, size = (x.bincount(minlength=4 * len(domains)).view(-1, 4).double() for x in kinds)
        num_fitting = size.new_tensor([x.numel() for x in domains])
        size[:, 0] = self.num_nodes - num_fitting
        size[:, 1] = num_fitting - size[:, 2:].sum(dim=1)
        mean = (hits.sum(dim=0) + 0.5) / (size.sum(dim=0) + 1)
        share = (hits + SHRINKAGE * mean) / (size + SHRINKAGE)
        # Queries that miss a test fact are no evidence that queries miss nothing. They are not
        # looked at, but their number is that of the others, times how many test facts there are:
        self.ratio = float(data.test_mask.sum() / data.val_mask.sum())
        share = share / (1 - self.ratio * share).clamp(min=1e-6)
        self.log_share = share.clamp(max=1).log()  # [2R, 4]

    def __call__(self, node: Tensor, rel: Tensor, without: Tensor | int = 0) -> Tensor:
        r"""Returns the logarithm of the share of queries like these that miss an answer. Arguments
        broadcast. Of known answers, some (:obj:`without`) are left out of the count.
        """
        return self.log_share[rel, self._kind(self.known, node, rel, without)]

    def _kind(
        self, known: TripletIndex, node: Tensor, rel: Tensor, without: Tensor | int = 0
    ) -> Tensor:
        pos, found = known.find(node, rel)
        count = known.count(pos, found) - without
        key = rel * self.num_nodes + node
        slot = torch.searchsorted(self.fits, key).clamp(max=self.fits.numel() - 1)
        return torch.where(count > 0, 1 + count.clamp(max=2), (self.fits[slot] == key).long())


def fit_chance(predictor: "Predictor", calibration: Calibration) -> Calibration:
    r"""Returns a calibration that also tells the chance that a candidate is a fact: a logistic
    regression of which of the best candidates, as :meth:`Predictor.complete` lists them if it knows
    training facts only, are validation facts. They are listed twice, as what is fitted to the first
    list changes the order; and once more, for a scale and a bias of the log-odds by the best ones
    alone, which are the ones that are read, and come true more often than the many after them tell.
    """
    data, num_relations = predictor.data, predictor.num_relations
    train, val = (TripletIndex.from_data(data, x) for x in (data.train_mask, data.val_mask))
    gaps, every = Gaps(data, predictor.domains, train), list(range(num_relations))
    init = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.double, device=predictor.device)
    weight = init.new_tensor([1.0, 1.0, 1.0, 1e-3])  # That of the distance to it.

    def listed(num_facts: int) -> Tensor:
        return best_facts(predictor, num_facts, every, calibration, train, gaps)

    def fitted(best: Tensor, init: Tensor, weight: Tensor, logit: Callable[..., Tensor]) -> Tensor:
        head, rel, tail = best[3:].long()
        x = torch.stack([F.logsigmoid(best[1]), gaps(head, rel), gaps(tail, rel + num_relations)])
        # What a query misses may be a test fact, which is not looked at, in place of another:
        in_val = 1 / (1 + gaps.ratio * x[1:].amax(dim=0).exp())
        is_fact, param = val.contains(head, rel, tail).double(), init.clone().requires_grad_()

        def loss() -> Tensor:
            p = (logit(param, x).sigmoid() * in_val).clamp(1e-12, 1 - 1e-12)
            nll = F.binary_cross_entropy(p, is_fact, reduction="sum")
            return nll + (weight * (param - init).square()).sum()

        minimise(loss, [param], max_iter=100)
        return param.detach()

    param, best = init, init.new_empty(6, 0)
    for _ in range(2):
        calibration = dataclasses.replace(calibration, chance=_values(param))
        best = torch.cat([best, listed(NUM_FACTS)], dim=1)
        param = fitted(best, init, weight, lambda p, x: p[0].exp() * x[0] + p[1:3] @ x[1:] + p[3])
    calibration = dataclasses.replace(calibration, chance=_values(param))
    best, none = listed(NUM_BEST), torch.zeros_like(init[:2])
    scale, bias = fitted(best, none, none + 2, lambda p, _: p[0].exp() * best[0] + p[1]).tolist()
    chance = [math.exp(scale) * x for x in _values(param)]
    return dataclasses.replace(calibration, chance=(*chance[:3], chance[3] + bias))


def _values(param: Tensor) -> tuple[float, ...]:
    return float(param[0].exp()), *param[1:].tolist()
