from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from torch_imf.answers.calibration import Calibration
from torch_imf.data import TripletIndex
from torch_imf.evaluation.ranking import check_finite, inference
from torch_imf.io.progress import watched

if TYPE_CHECKING:
    from torch_imf.answers.gaps import Gaps
    from torch_imf.answers.predictor import Predictor

#: The number of scores to hold at once, unless a single query has more.
MAX_SCORES = 2**22


def find_domains(train: TripletIndex, num_nodes: int, num_relations: int) -> tuple[Tensor, ...]:
    r"""Returns the entities that fit each relation as its head, in order: those that are head of it
    in a training fact, and those that are head of another relation most heads of which are heads of
    it, too. A person with a profession fits :obj:`born_in` if most of those with a profession have
    a place of birth. This is a sharp form of the candidates in `"Are We Wasting Time? A Fast,
    Accurate Performance Evaluation Framework for Knowledge Graph Link Predictors"
    <https://arxiv.org/abs/2402.00053>`_.

    Tails of a relation are heads of its inverse. On FB15K-237, 0.2 % of all triples fit, and 91 %
    of the test facts; entities that are seen on this side of the relation give 68 %.
    """
    from scipy.sparse import csr_array

    pairs = tuple(x.cpu().numpy() for x in train.queries())
    is_head = csr_array((np.ones(len(pairs[0])), pairs), shape=(num_nodes, 2 * num_relations))
    both = (is_head.T @ is_head).tocoo()  # How many entities are heads of two relations.
    most = 2 * both.data > is_head.sum(axis=0)[both.row]
    implied = csr_array((both.data[most], (both.row[most], both.col[most])), shape=both.shape)
    fits = (is_head @ implied).tocsc().sorted_indices()
    node = torch.from_numpy(fits.indices).to(train.key.device, torch.long)
    return node.split(np.diff(fits.indptr).tolist())


def best_facts(
    predictor: "Predictor",
    k: int,
    rels: list[int],
    calibration: Calibration,
    known: TripletIndex,
    gaps: "Gaps | None",
    everyone: bool = False,
    progress: bool = False,
) -> Tensor:
    r"""Returns the log-odds of the most likely facts that are not known, those if their query
    misses an answer, their scores, heads, relations and tails, of shape :obj:`[6, k]`. Scores of
    all entities have a share in a probability, but only lower it, so that queries are scored
    against all entities where tails that fit may be enough.
    """
    best = torch.empty(6, 0, dtype=torch.double, device=predictor.device)
    gap_of = gaps or (lambda node, rel_type: torch.zeros_like(node, dtype=torch.double))
    heads = tails = torch.arange(predictor.num_nodes, device=predictor.device)
    for rel in watched(rels, "Completing", progress):
        if not everyone:
            heads, tails = (predictor.domains[x] for x in (rel, rel + predictor.num_relations))
        if min(heads.numel(), tails.numel()) == 0:
            continue
        key = {view: x[tails] for view, x in predictor.scores.key.items()}
        tail_gap = gap_of(tails, torch.full_like(tails, rel + predictor.num_relations))
        for head in heads.split(max(1, MAX_SCORES // max(tails.numel(), 1024))):
            rel_type = torch.full_like(head, rel)
            with inference(predictor.model):
                score = predictor.model.similarity(predictor.scores.query(head, rel_type), key)
            gap = gap_of(head, rel_type).unsqueeze(-1)
            bound = calibration.chance_logit(calibration.logit(check_finite(score)), gap, tail_gap)
            bound = _new(predictor, known, bound, head, rel_type, tails).amax(dim=1)
            for i in bound.argsort(descending=True).split(predictor.batch_size):
                floor = float(best[0, -1]) if best.size(1) == k else -torch.inf
                i = i[bound[i] > floor]
                if i.numel() == 0:
                    break
                score = predictor.score(head[i], rel_type[i])[0]
                given = calibration.logit(score)[:, tails]
                logit = calibration.chance_logit(given, gap[i], tail_gap)
                logit = _new(predictor, known, logit, head[i], rel_type[i], tails).view(-1)
                pos = (logit > floor).nonzero().view(-1)
                pos = pos[logit[pos].topk(min(k, pos.numel())).indices]
                row, tail = pos // tails.numel(), tails[pos % tails.numel()]
                found = [logit[pos], given.view(-1)[pos], score[row, tail]]
                found += [head[i[row]], rel_type[i[row]], tail]
                best = torch.cat([best, torch.stack([x.double() for x in found])], dim=1)
                best = best[:, best[0].argsort(descending=True, stable=True)[:k]]
    return best


def _new(
    predictor: "Predictor",
    known: TripletIndex,
    logit: Tensor,
    head: Tensor,
    rel_type: Tensor,
    tails: Tensor,
) -> Tensor:
    # The log-odds of tails, but for known ones and the head itself.
    row, col = known(head, rel_type)
    if not predictor.has_loops[rel_type[0]]:
        row = torch.cat([row, torch.arange(head.numel(), device=row.device)])
        col = torch.cat([col, head])
    column = torch.full((predictor.num_nodes,), -1, device=col.device)
    column[tails] = torch.arange(tails.numel(), device=col.device)
    row, col = row[column[col] >= 0], column[col][column[col] >= 0]
    return logit.index_put((row, col), logit.new_tensor(-torch.inf))
