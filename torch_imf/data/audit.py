import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import MASKS, check_features, check_graph
from torch_imf.data.index import check_triples, distinct_facts, mark
from torch_imf.data.names import Lookup
from torch_imf.io.progress import watched

SPLITS = ("train", "val", "test")
NUM_NAMED = 3  # Relation pairs of each kind that a report names.


class RelationPair(NamedTuple):
    r"""Two relations that nearly say the same (:obj:`rel < other`), or one that nearly is its own
    inverse (:obj:`rel == other`). They have :obj:`num_facts` in common, which is a :obj:`share` of
    those of the larger one.
    """

    rel: int
    other: int
    share: float
    num_facts: int


@dataclass(frozen=True)
class SplitAudit:
    r"""The numbers of one split. A *row* is a line of the published file; several rows may hold the
    same *fact*.
    """

    rows: int
    facts: int  # Distinct ones, as all facts below.
    exclusive_facts: int  # In no other split.
    shared_rows: dict[str, int]  # By split: rows here whose fact is there too.
    shared_facts: dict[str, int]  # By split: facts in both.
    unseen_node_rows: int  # With an entity that is in no training fact.
    unseen_relation_rows: int  # Of a relation that no training fact has.
    loop_rows: int  # From an entity to itself.

    @property
    def duplicate_rows(self) -> int:
        r"""The number of rows that repeat an earlier one of the split."""
        return self.rows - self.facts


@dataclass(frozen=True)
class Audit:
    r"""What :meth:`audit` finds; :obj:`print` shows :meth:`findings`.

    Of test facts :math:`(h, r, t)`, some are :obj:`test_reversed` (there is a training fact
    :math:`(t, s, h)`), :obj:`test_linked` (there is one :math:`(h, s, t)` of another relation), or
    :obj:`test_implied` by training and the relations that repeat each other, of each kind or of
    :obj:`"any"`: :obj:`"inverse"`, :obj:`"duplicate"` and :obj:`"symmetric"` :obj:`pairs`.
    """

    num_nodes: int
    num_isolated_nodes: int  # In no fact.
    num_relations: int
    num_rows: int
    num_facts: int
    splits: dict[str, SplitAudit]
    test_reversed: int
    test_linked: int
    pairs: dict[str, list[RelationPair]]  # Those with most facts in common first.
    test_implied: dict[str, int]
    rel_names: list[str] = field(repr=False)

    @property
    def problems(self) -> list[str]:
        r"""A sentence for everything that :meth:`~torch_imf.data.clean_split` repairs: splits that
        repeat facts, or share them.
        """
        out = []
        for name, split in self.splits.items():
            if split.duplicate_rows > 0:
                out.append(f"{split.duplicate_rows:,} of {split.rows:,} {name} rows are repeated.")
        for name, other in (("val", "train"), ("test", "train"), ("val", "test")):
            split = self.splits[name]
            if split.shared_facts[other] > 0:
                rows = f"{split.shared_rows[other]:,} of {split.rows:,} {name} rows"
                facts = f"{split.shared_facts[other]:,} distinct facts"
                out.append(f"{rows} ({facts}) are in {other} as well.")
        val = self.splits["val"]
        if val.exclusive_facts < val.facts:
            out.append(f"{val.exclusive_facts:,} of {val.facts:,} val facts are in no other split.")
        return out

    @property
    def is_clean(self) -> bool:
        r"""Whether no split repeats a fact or shares one with another."""
        return len(self.problems) == 0

    def findings(self) -> list[str]:
        r"""Returns a line for each thing to know about the splits: leaks, entities and relations
        that training lacks, and facts that follow from others.
        """
        repair = "Pass 'scheme=\"clean\"' to repair this."
        out = [*self.problems, "No fact is in two splits." if self.is_clean else repair]
        if self.num_isolated_nodes > 0:
            out.append(
                f"{self.num_isolated_nodes:,} of {self.num_nodes:,} entities are in no fact."
            )
        unseen = [
            f"{split.unseen_node_rows:,} of {split.rows:,} {name} facts have an entity that "
            f"training lacks, {split.unseen_relation_rows:,} a relation."
            for name, split in self.splits.items()
            if name != "train" and (split.unseen_node_rows or split.unseen_relation_rows)
        ]
        out += unseen or ["All entities and relations of val and test are in train."]
        implied, size = self.test_implied["any"], self.splits["test"].facts
        out.append(
            f"{implied:,} of {size:,} test facts follow from train by inverse, duplicate or "
            f"symmetric relations{':' if any(self.pairs.values()) else '.'}"
        )
        for kind, pairs in self.pairs.items():
            for pair in pairs[:NUM_NAMED]:
                names = dict.fromkeys(self.rel_names[rel] for rel in (pair.rel, pair.other))
                out.append(f"  {kind}: {' | '.join(names)} ({pair.share:.0%})")
            if len(pairs) > NUM_NAMED:
                out.append(f"  {kind}: {len(pairs) - NUM_NAMED:,} more")
        return out

    def __str__(self) -> str:
        return "\n".join(self.findings())


def audit(data: Data, threshold: float = 0.8, min_facts: int = 5) -> Audit:
    r"""Looks for what makes the splits of a graph unfit to compare models on: rows that repeat a
    fact, held-out facts that training sees, and held-out facts that follow from training because
    one relation repeats another, as in :obj:`print(audit(dataset[0]))`.

    Relations repeat each other if the pairs of entities :math:`P_r = \{ (h, t) : (h, r, t) \}, h
    \neq t`, that they link are nearly the same, in either direction:

    .. math::
        \textrm{inverse:} \quad \frac{|P_r \cap P_s^{-1}|}{\max(|P_r|, |P_s|)}
        \qquad \textrm{duplicate:} \quad
        \frac{|P_r \cap P_s|}{\max(|P_r|, |P_s|)} \qquad
        \textrm{symmetric:} \quad \frac{|P_r \cap P_r^{-1}|}{|P_r|}

    The threshold is that of the `"Realistic Re-evaluation of Knowledge Graph Completion Methods"
    <https://arxiv.org/abs/2003.08001>`_ paper.

    Args:
        data (Data): The graph. Inverse triples, if any, are left out.
        threshold (float, optional): The share of facts in common, in all splits, from which on
            relations repeat each other. (default: :obj:`0.8`)
        min_facts (int, optional): The facts that both need. (default: :obj:`5`)

    Raises:
        ValueError: If the graph is not sound.
    """
    from scipy.sparse import csr_array, tril, triu

    check_graph(data)
    data = copy.copy(data).to("cpu", "edge_index", "edge_type", *MASKS)
    num_nodes, num_relations = int(data.num_nodes), int(data.num_relations)
    base = data.edge_type < num_relations
    bar = watched(None, "Looking at splits", total=6)
    fact, fact_index = distinct_facts(
        data.edge_index[:, base], data.edge_type[base], num_nodes, num_relations
    )
    bar.update()
    rows = {name: fact_index[data[m][base]] for name, m in zip(SPLITS, MASKS, strict=True)}
    has = {name: mark(index, fact.size(1)) for name, index in rows.items()}
    count = torch.stack(list(has.values())).sum(dim=0)  # Splits that hold a fact.
    train = fact[:, has["train"]]
    seen = mark(train[[0, 2]].view(-1), num_nodes)
    unseen_node = ~(seen[fact[0]] & seen[fact[2]])
    unseen_relation = ~mark(train[1], num_relations)[fact[1]]
    loop = fact[0] == fact[2]
    splits = {
        name: SplitAudit(
            rows=index.numel(),
            facts=int(has[name].sum()),
            exclusive_facts=int((has[name] & (count == 1)).sum()),
            shared_rows={s: int(has[s][index].sum()) for s in SPLITS if s != name},
            shared_facts={s: int((has[s] & has[name]).sum()) for s in SPLITS if s != name},
            unseen_node_rows=int(unseen_node[index].sum()),
            unseen_relation_rows=int(unseen_relation[index].sum()),
            loop_rows=int(loop[index].sum()),
        )
        for name, index in rows.items()
    }

    # How often training links the entities of a test fact, in its direction and in the other one:
    bar.update()
    head, rel, tail = fact.numpy()
    both = np.minimum(head, tail) * num_nodes + np.maximum(head, tail)  # Sorted once, not twice.
    pair = 2 * np.unique(both, return_inverse=True)[1]
    pair, back = pair + (head > tail), pair + (head < tail)
    in_train, in_test, is_link = has["train"].numpy(), has["test"].numpy(), ~loop.numpy()
    num_links = np.bincount(pair[in_train], minlength=2 * rel.size)
    own = in_train[in_test]  # The own link of a leaked fact is none by another relation.

    def links(pair: np.ndarray, mask: np.ndarray) -> csr_array:
        # Which relations link each pair of entities, of shape [P, R].
        shape = (2 * rel.size, num_relations)
        return csr_array((np.ones_like(rel[mask]), (pair[mask], rel[mask])), shape)

    known, forth = links(pair, in_train & is_link), links(pair, is_link)
    both_ways = forth.T @ links(back, is_link)  # The number of facts in common, of shape [R, R].
    common = {"inverse": triu(both_ways, 1), "duplicate": triu(forth.T @ forth, 1)}
    common["symmetric"] = triu(tril(both_ways))
    bar.update()
    size, pairs, implied = forth.sum(axis=0), {}, {}
    for kind, matrix in common.items():
        found = matrix.tocoo()
        smaller, larger = np.sort([size[found.row], size[found.col]], axis=0)
        keep = (found.data / larger >= threshold) & (found.data > 0) & (smaller >= min_facts)
        row, col, num_facts = found.row[keep], found.col[keep], found.data[keep]
        columns = (row, col, num_facts / larger[keep], num_facts)
        table = [RelationPair(*x) for x in zip(*(x.tolist() for x in columns), strict=True)]
        pairs[kind] = sorted(table, key=lambda pair: (-pair.num_facts, pair.rel, pair.other))
        follows = csr_array((np.ones_like(row), (row, col)), (num_relations, num_relations))
        here = (pair if kind == "duplicate" else back)[in_test]
        is_implied = known[here].multiply((follows + follows.T)[rel[in_test]])
        implied[kind] = is_implied.sum(axis=1) > 0
        bar.update()
    bar.close()
    implied["any"] = np.any(list(implied.values()), axis=0)
    return Audit(
        num_nodes=num_nodes,
        num_isolated_nodes=num_nodes - int(mark(fact[[0, 2]].view(-1), num_nodes).sum()),
        num_relations=num_relations,
        num_rows=sum(split.rows for split in splits.values()),
        num_facts=int((count > 0).sum()),
        splits=splits,
        test_reversed=int((num_links[back[in_test]] > 0).sum()),
        test_linked=int((num_links[pair[in_test]] > own).sum()),
        pairs=pairs,
        test_implied={kind: int(mask.sum()) for kind, mask in implied.items()},
        rel_names=Lookup.of_relations(data).labels,
    )


def mean_rank_percentile(
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    x: Tensor,
    mask: Tensor,
    num_relations: int,
    batch_size: int = 1024,
) -> Tensor:
    r"""Computes how well features tell the tails of each relation: the mean rank percentile (MRP)
    of the `"Is Visual Context Really Helpful for Knowledge Graph? A Representation Learning
    Perspective" <https://dl.acm.org/doi/10.1145/3474085.3475470>`_ paper.

    For each fact, the tails of all given facts are ranked by the cosine of their (centred) features
    with those of the head, and the rank of the true tail is divided by their number. The closer to
    zero, the more the features help; chance is about one half.

    Args:
        head_index (torch.Tensor): The heads of facts, of shape :obj:`[E]`, of training facts if a
            model is to be judged by others.
        rel_type (torch.Tensor): Their relations, of shape :obj:`[E]`.
        tail_index (torch.Tensor): Their tails, of shape :obj:`[E]`.
        x (torch.Tensor): The features of a modality, of shape :obj:`[N, D]`.
        mask (torch.Tensor): Which entities have it, of shape :obj:`[N]`.
        num_relations (int): The number of relations.
        batch_size (int, optional): Facts to rank at once. (default: :obj:`1024`)

    Returns:
        The mean over the facts of each relation whose entities both have the modality, of shape
        :obj:`[R]`; one for a relation without such facts.

    Raises:
        ValueError: If an id is out of range, or features are not sound.
    """
    check_triples(head_index, rel_type, tail_index, x.size(0), num_relations)
    check_features({"x": x}, {"x": mask}, x.size(0))
    keep = mask[head_index] & mask[tail_index]
    head_index, perm = head_index[keep].sort()
    rel_type, tail_index = rel_type[keep][perm], tail_index[keep][perm]
    total, count = x.new_zeros(2, num_relations, dtype=torch.double)
    if head_index.numel() == 0:
        return torch.ones_like(total, dtype=torch.float)

    x = F.normalize(x.float() - x[mask].float().mean(dim=0), dim=-1)
    candidates, target = tail_index.unique(return_inverse=True)
    key = x[candidates].t()
    batches = (index.split(batch_size) for index in (head_index, rel_type, target))
    for head, rel, tail in zip(*batches, strict=True):
        head, row = head.unique(return_inverse=True)  # Few, as facts are sorted by head.
        score = (x[head] @ key)[row]  # [B, M]
        true = score.gather(1, tail.unsqueeze(1))
        rank = 0.5 + (score > true).sum(dim=1) + (score == true).sum(dim=1) / 2
        total.index_add_(0, rel, rank.double() / candidates.numel())
        count.index_add_(0, rel, torch.ones_like(rank, dtype=torch.double))
    return (total / count.clamp(min=1)).where(count > 0, 1.0).float()
