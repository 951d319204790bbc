from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.answers.predict import labels
from torch_imf.data import TripletIndex


@dataclass(frozen=True)
class Support:
    r"""A training fact that is like the explained one.

    Args:
        head (str): The name of its head.
        relation (str): The name of its relation.
        tail (str): The name of its tail.
        similarity (float): The mean cosine of both heads and of both tails, once
            the mean of all entities is taken off.
    """

    head: str
    relation: str
    tail: str
    similarity: float


def nearest_facts(data: Data, z: Tensor, h: int, r: int, t: int, k: int) -> list[Support]:
    r"""Returns the :obj:`k` training facts of relation :obj:`r` whose heads
    and tails are nearest to :obj:`h` and :obj:`t`, nearest first.

    Args:
        data (Data): The graph.
        z (torch.Tensor): The representations of all entities, of shape
            :obj:`[N, C]`.
        h (int): The head of the fact, which itself is left out.
        r (int): Its relation.
        t (int): Its tail.
        k (int): The number of facts.
    """
    mask = data.train_mask & (data.edge_type == r)
    head, tail = data.edge_index[:, mask]
    other = (head != h) | (tail != t)
    head, tail = head[other], tail[other]
    z = F.normalize(z.float() - z.float().mean(dim=0), dim=-1)  # What all share tells nothing.
    similarity = ((z @ z[h])[head] + (z @ z[t])[tail]) / 2
    value, pos = similarity.topk(min(k, similarity.numel()))
    node_names, rel_names = labels(data)
    rows = zip(head[pos].tolist(), tail[pos].tolist(), value.tolist(), strict=True)
    return [Support(node_names[i], rel_names[r], node_names[j], s) for i, j, s in rows]


def find_paths(data: Data, h: int, r: int, t: int, k: int) -> list[tuple[str, ...]]:
    r"""Returns up to :obj:`k` ways from :obj:`h` to :obj:`t` along training
    facts other than :obj:`(h, r, t)`: of one fact first, then of two, by way
    of the entities of fewest facts, as a hub says little.

    Args:
        data (Data): The graph.
        h (int): The head.
        r (int): The relation.
        t (int): The tail.
        k (int): The number of paths.
    """
    num_relations = int(data.num_relations)
    index = TripletIndex.from_data(data, data.train_mask)
    rels = torch.arange(2 * num_relations, device=data.edge_index.device)
    node_names, rel_names = labels(data)

    def label(rel: int) -> str:
        return rel_names[rel % num_relations] + ("" if rel < num_relations else "^-1")

    def links(node: int) -> tuple[Tensor, Tensor]:
        rel, other = index(torch.full_like(rels, node), rels)
        return rel, other

    first_rel, first = links(h)
    last_rel, last = links(t)
    last_rel = (last_rel + num_relations) % (2 * num_relations)  # As they lead to t.
    own = [r] if h != t else [r, r + num_relations]
    out: list[tuple[str, ...]] = [
        (node_names[h], label(rel), node_names[t])
        for rel in first_rel[first == t].tolist()
        if rel not in own
    ]
    middle = first[torch.isin(first, last) & (first != h) & (first != t)].unique()
    degree = torch.bincount(index.tail_index, minlength=int(data.num_nodes))
    for x in middle[degree[middle].argsort(stable=True)][:k].tolist():
        for a in first_rel[first == x].tolist():
            for b in last_rel[last == x].tolist():
                out.append((node_names[h], label(a), node_names[x], label(b), node_names[t]))
    return out[:k]
