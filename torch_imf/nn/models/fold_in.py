import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.evaluation.ranking import inference
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.models.base import MultimodalKGE, rows

#: The entities to compare with, the queries of others not to answer in a step, and the steps.
NUM_CANDIDATES, NUM_QUERIES, NUM_STEPS = 1024, 6000, 7
#: The most new entities to fit at once.
NUM_ROWS = 512
#: The strength of the regression, for features of length one, and how much its outcome counts.
RIDGE, PRIOR = 0.1, 0.15


@torch.no_grad()
def stand_in(model: MultimodalKGE, first: int, known: Tensor) -> None:
    r"""Gives new entities, those from :obj:`first` on, the structural embeddings that their
    features let expect: by a ridge regression from the features, as the model projects them, of the
    entities that have :obj:`known` facts :obj:`[3, E]`.
    """
    weight: Any = model.node_emb.weight
    weight[first:] = torch.cat(_projected(model), dim=1)[first:] @ regression(model, known)


@torch.no_grad()
def regression(model: MultimodalKGE, known: Tensor) -> Tensor:
    r"""Returns the matrix by which :meth:`stand_in` gives structural embeddings."""
    weight: Any = model.node_emb.weight
    node = known[0].unique()
    parts = [x[node] for x in _projected(model)]
    scale = torch.cat([x.norm(dim=-1).mean().expand(x.size(1)) for x in parts])
    x = torch.cat(parts, dim=1) / scale
    eye = torch.eye(x.size(1), device=x.device)
    lin = torch.linalg.solve(x.t() @ x + RIDGE * eye, x.t() @ weight[node])
    return lin / scale.unsqueeze(1)


def _projected(model: MultimodalKGE) -> list[Tensor]:
    # What structural embeddings are told from, side by side.
    ones = model.node_emb.weight.new_ones(model.num_nodes, 1)
    return [ones, *(module() for module in model.features.values())]


@torch.no_grad()
def newcomer(
    model: MultimodalKGE, x_dict: Tensors, mask_dict: Tensors, lin: Tensor | None
) -> MultimodalKGE:
    r"""Returns a model of one new entity alone, given its raw features :obj:`[1, D]`, which of them
    there are, and the :meth:`regression` of a model that has structure.
    """
    out = model.part(torch.arange(0, device=model.node_emb.weight.device))
    out.extend(1, x_dict, mask_dict)
    if lin is not None:
        out.node_emb.weight.copy_(torch.cat(_projected(out), dim=1) @ lin)
    return out


@torch.no_grad()
def fold_in(model: MultimodalKGE, first: int, facts: Tensor, known: Tensor) -> None:
    r"""Fits the structural embeddings of new entities, those from :obj:`first` on, to their facts,
    with all else fixed. The loss is the softmax cross-entropy of their facts on both sides, and of
    the facts of others, in whose denominators they are, with a Gaussian prior around where they
    start (:meth:`stand_in`), by some steps of Adagrad. (For bilinear scorers, a regression of
    scores has a closed form, and ranked far worse.)

    Args:
        model (MultimodalKGE): The model, which has rows for all entities.
        first (int): The first new entity.
        facts (torch.Tensor): Their training facts :obj:`[3, F]`, in both directions.
        known (torch.Tensor): Those of the others :obj:`[3, E]`, in both directions.
    """
    weight: Any = model.node_emb.weight
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(first, generator=generator)[:NUM_CANDIDATES].to(weight.device)
    shift = math.log(first / drawn.numel())
    var = weight[:first].var(dim=0).clamp(min=1e-6)
    with inference(model) as scored:
        key = scored.key(scored.encode(drawn))

    def norms(query: Tensors) -> Tensors:
        # The logarithms of the denominators of queries.
        pairs = ((v, scorer.similarity(query[v], key[v])) for v, scorer in model.scorers.items())
        return {v: (score + shift).logsumexp(dim=1) for v, score in pairs}

    def pairs(query: Tensors, key: Tensors) -> Tensors:
        keys = {v: x.unsqueeze(1) for v, x in key.items()}
        items = model.scorers.items()
        return {v: scorer.similarity(query[v], keys[v]).squeeze(1) for v, scorer in items}

    # Others at each step, as the few of one would be learned by heart:
    some = torch.randperm(known.size(1), generator=generator)[: NUM_QUERIES * NUM_STEPS]
    parts = [x.to(weight.device) for x in some.chunk(-(-some.numel() // NUM_QUERIES) or 1)]
    others = []
    with inference(model) as scored:
        for index in parts:
            head_index, rel_type, tail_index = known[:, index]
            query = scored.query(scored.encode(head_index), rel_type)
            true = pairs(query, scored.key(scored.encode(tail_index)))
            norm = {v: x.logaddexp(true[v]).unsqueeze(1) for v, x in norms(query).items()}
            others.append((query, norm, known.size(1) / max(index.numel(), 1)))
    position = torch.full((len(weight),), -1, device=weight.device)
    for index in facts[0][facts[0] >= first].unique().split(NUM_ROWS):
        position.fill_(-1)[index] = torch.arange(index.numel(), device=index.device)
        head_index, rel_type, tail_index = facts[:, position[facts[0]] >= 0]
        row, other = position[head_index], position[tail_index]
        is_fixed = other < 0  # What the other entity is, and the query from it.
        with inference(model) as scored:
            tail = scored.encode(tail_index)
            inverse = (rel_type[is_fixed] + model.num_relations) % (2 * model.num_relations)
            back = scored.query({v: x[is_fixed] for v, x in tail.items()}, inverse)
            back_norm = norms(back)
        # Facts of one head and relation share a query:
        asked, inverse_of = torch.stack([row, rel_type]).unique(dim=1, return_inverse=True)
        part = model.part(index)
        param: Any = part.node_emb.weight
        start = param.detach().clone()

        optimizer = torch.optim.Adagrad([param.requires_grad_()], lr=float(var.mean().sqrt()))
        for step in range(NUM_STEPS):
            query, norm, share = others[step % len(others)]
            with torch.enable_grad(), torch.autocast(param.device.type, enabled=False):
                z = part.encode()
                now = {v: tail[v].where(is_fixed.unsqueeze(1), x[other]) for v, x in z.items()}
                own_query, own_key = part.query(rows(z, asked[0]), asked[1]), part.key(z)
                forward = pairs(rows(own_query, inverse_of), part.key(now))
                backward = pairs(back, {v: x[row[is_fixed]] for v, x in own_key.items()})
                loss = PRIOR / 2 * ((param - start).square() / var).sum()
                for v, x in norms(own_query).items():
                    score = model.scorers[v].similarity(query[v], own_key[v])
                    loss = loss + F.softplus(x[inverse_of] - forward[v]).sum()
                    loss = loss + F.softplus(back_norm[v] - backward[v]).sum()
                    loss = loss + share * F.softplus(score - norm[v]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        weight[index] = param.detach()
