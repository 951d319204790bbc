from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.index import spread
from torch_imf.io.progress import watched
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.views.base import View, keep, kept, told

#: A sum of powers is near to the largest one: of ten rules of one confidence, a third more.
POWER = 8
#: The most entities that a path reaches from a query; one that reaches more tells nothing.
MAX_REACH = 10_000
#: The most entries to look at for the rules of a relation, and the most constants to keep for it.
MAX_ENTRIES, MAX_CONSTANTS = 5_000_000, 20_000
#: The least confidence of a constant, and how much likelier it needs to make an answer.
MIN_CONFIDENCE, MIN_LIFT = 0.02, 1.5


class Rule(NamedTuple):
    r"""A rule and the training facts that it applies to: a fact of :obj:`relation` follows, with a
    :obj:`confidence` in :obj:`[0, 1]`, from one or two facts of the relations :obj:`body`. These
    lead along the entities :obj:`path`, which begins at the head and ends at the tail or, for a
    rule that is about one tail, at a constant. Relations from :math:`R` on are inverses.
    """

    relation: int
    body: tuple[int, ...]
    path: tuple[int, ...]
    confidence: float

    def words(self, nodes: Sequence[str], relations: Sequence[str]) -> str:
        r"""Tells the facts, given the names of entities and of base relations."""
        steps = zip(self.path, self.body, self.path[1:], strict=False)
        facts = [told(step, nodes, relations) for step in steps]
        # From the head of the base relation to its tail:
        return "  and  ".join(facts if self.relation < len(relations) else facts[::-1])


class RuleView(View):
    r"""Horn rules that are mined from training facts, as in `"Anytime Bottom-Up Rule Learning for
    Knowledge Graph Completion" <https://www.ijcai.org/proceedings/2019/435>`_:

    .. math::
        r(x, y) \leftarrow b(x, y), \qquad
        r(x, y) \leftarrow b_1(x, z) \wedge b_2(z, y), \qquad
        r(x, c) \leftarrow b(x, d), \qquad
        r(c, y) \leftarrow b(y, d)

    The confidence of a rule is the share of its conclusions that are training facts, among heads
    that have the relation at all, with a few more failures (:obj:`smoothing`). The last kind, by
    what is known of a candidate, has that of the same rule read from its tail, :math:`r^{-1}(y, c)
    \leftarrow b(y, d)`. Rules that conclude the same fact are joined in four ways, each a score
    with a weight of its own:

    .. math::
        y_{paths} = - \sum_i \log(1 - c_i), \qquad
        y_{best} = \max_{i} c_i, \qquad
        y_{constants} = \max_{j} c_j, \qquad
        y_{candidates} = \max_{k} c_k

    over paths :math:`i`, as if they were independent (noisy-or) and by the best one, and over rules
    with a constant, on what is known of the query (:math:`j`) and of the candidate (:math:`k`);
    maxima are soft. Everything is counted by sparse products, and bounded: a relation is mined from
    :obj:`num_facts` of its facts, and each path is measured on :obj:`num_heads` of its heads, drawn
    at random if there are more.

    Rules apply to the facts of new entities (:meth:`torch_imf.add_entities`), but no path between
    two others leads by a new one, so that scores among these stay as they are (unless a path is
    close to the 10,000 entities beyond which it tells nothing).

    Args:
        max_rules (int, optional): The most paths to keep for a relation. (default: :obj:`100`)
        min_confidence (float, optional): The least confidence of a path, in :obj:`(0, 1)`.
            (default: :obj:`0.01`)
        min_support (int, optional): How many facts a rule needs to be right about. (default:
            :obj:`2`)
        smoothing (float, optional): How many failures are added, not negative. (default:
            :obj:`2.`)
        num_facts (int, optional): The facts of a relation to find paths from. (default:
            :obj:`1000`)
        num_heads (int, optional): The heads of a relation to measure a path on. (default:
            :obj:`200`)
        seed (int, optional): The seed of the draws. (default: :obj:`0`)
    """

    aliases: ClassVar[dict] = {"rules": {}}
    scores = ("paths", "best path", "constants", "candidates")
    facts: Tensor  # [3, E]
    rules: Tensor  # [3, P], the relation and those of the body, of which the second may be -1.
    confidence: Tensor  # [P]
    constant: Tensor  # [K], numbers of a relation, that of the body, and a constant.

    def __init__(
        self,
        max_rules: int = 100,
        min_confidence: float = 0.01,
        min_support: int = 2,
        smoothing: float = 2.0,
        num_facts: int = 1000,
        num_heads: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < min_confidence < 1 or min_support < 1 or smoothing < 0:
            needs = "'min_confidence' is in (0, 1), 'min_support' positive, 'smoothing' from 0 on"
            raise ValueError(f"{needs} (got {(min_confidence, min_support, smoothing)})")
        self.max_rules, self.min_confidence = max_rules, min_confidence
        self.min_support, self.smoothing = min_support, smoothing
        self.num_facts, self.num_heads, self.seed = num_facts, num_heads, seed
        for name in ("facts", "rules", "constant"):
            self.register_buffer(name, torch.empty(0, dtype=torch.long))
        self.register_buffer("confidence", torch.empty(0))
        keep(self, "tail", _sparse((np.empty(0), np.empty(0), np.empty(0)), (0, 0)))

    def fit_facts(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, data: Data
    ) -> None:
        self.facts = torch.stack([head_index, rel_type, tail_index])
        self._forget()
        rng = np.random.default_rng(self.seed)
        paths, constants = [], []
        order = rel_type.argsort(stable=True)
        rels, count = rel_type.unique(return_counts=True)
        parts = (x[order].split(count.tolist()) for x in (head_index, tail_index))
        found = list(zip(rels.tolist(), *parts, strict=True))
        for rel, head, tail in watched(found, "Mining rules"):
            head, tail = head.numpy(), tail.numpy()
            paths.append(self._mine_paths(head, rel, tail, rng))
            constants.append(self._mine_constants(head, rel, rng))
        rules, confidence = (np.concatenate(x, axis=-1) for x in zip(*paths, strict=True))
        self.rules, self.confidence = torch.from_numpy(rules), torch.from_numpy(confidence).float()
        key, tail, value = (np.concatenate(x) for x in zip(*constants, strict=True))
        key, row = np.unique(key, return_inverse=True)
        self.constant = torch.from_numpy(key)
        keep(self, "tail", _sparse((value, row, tail), (len(key), self.num_nodes)))

    def forward(self, head_index: Tensor, rel_type: Tensor) -> Tensors:
        head, rel = head_index.cpu().numpy(), rel_type.cpu().numpy()
        row, rule = self._applied(rel)
        reached = self._reach(head[row], *self.rules[1:].cpu().numpy()[:, rule])
        confidence, size = self.confidence.cpu().numpy()[rule], (len(head), len(row))

        def join(weight: np.ndarray) -> np.ndarray:
            return (_sparse((weight, row, np.arange(len(row))), size) @ reached).toarray()

        found = (
            join(-np.log1p(-confidence)),
            join(confidence**POWER) ** (1 / POWER),
            (self._constants(head, rel) @ self._powers[0]).toarray() ** (1 / POWER),
            self._candidates(head, rel).toarray() ** (1 / POWER),
        )
        each = (torch.from_numpy(x).float().to(head_index.device) for x in found)
        return dict(zip(self.scores, each, strict=True))

    def extend_facts(
        self, num_nodes: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor
    ) -> None:
        self.facts = torch.cat([self.facts, facts], dim=1)
        self._forget()
        pair, constant = self.constant // self.num_nodes, self.constant % self.num_nodes
        self.constant = pair * num_nodes + constant  # In the same order.

    def reasons(self, head: int, rel: int, tail: int, k: int = 5) -> list[Rule]:
        r"""Returns the rules from which a fact follows, the most confident ones first."""
        query = np.array([head]), np.array([rel])
        row, rule = self._applied(query[1])
        bodies = self.rules[1:].cpu().numpy()[:, rule]
        holds = self._reach(query[0][row], *bodies)[:, [tail]].toarray()[:, 0] > 0
        confidence = self.confidence.cpu().numpy()[rule[holds]].tolist()
        found = zip(bodies.T[holds].tolist(), confidence, strict=True)
        out = []
        for (first, second), share in found:
            middle = () if second < 0 else (self._middle(head, first, second, tail),)
            body = (first, second)[: 1 + len(middle)]
            out.append(Rule(rel, body, (head, *middle, tail), share))
        out += self._rules_of_constants(head, rel, tail)
        out += self._rules_of_constants(tail, self._inverse(rel), head)
        return sorted(out, key=lambda x: -x.confidence)[:k]

    def _rules_of_constants(self, head: int, rel: int, tail: int) -> list[Rule]:
        key = self._constants(np.array([head]), np.array([rel])).indices
        value = kept(self, "tail", self.num_nodes)[key][:, [tail]].toarray()[:, 0]
        found = value.nonzero()[0]
        pairs = zip(*self._pairs(key[found]), value[found].tolist(), strict=True)
        return [Rule(rel, (int(b),), (head, int(d)), share) for b, d, share in pairs]

    def set_extra_state(self, state: Tensor) -> None:
        super().set_extra_state(state)
        self._forget()
        kept(self, "tail", self.num_nodes).check_format()  # Its products write where columns say.

    # Mining ######################################################################################

    def _mine_paths(
        self, head: np.ndarray, rel: int, tail: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        # Those that lead from head to tail in some facts, and their confidence on some heads.
        node = _draw(np.unique(head), self.num_heads, rng)
        known = self._tails(node, np.full_like(node, rel))
        fact = _draw(np.arange(len(head)), self.num_facts, rng)
        bodies = self._bodies(head[fact], rel, tail[fact])
        # A path to more entities than this cannot be of enough confidence:
        way, _, _, count = self._ways(*_product(node, bodies))
        mean = torch.bincount(way % max(bodies.shape[1], 1), count, bodies.shape[1]) / len(node)
        bodies = bodies[:, mean.numpy() * self.min_confidence <= 2 * known.nnz / len(node)]
        start, *body = _product(node, bodies)
        reached = self._reach(start, *body)
        row, i = np.divmod(np.arange(len(start)), max(bodies.shape[1], 1))
        hits = reached.multiply(known[row]).sum(axis=1)
        hits = np.bincount(i, hits, minlength=bodies.shape[1])
        size = np.bincount(i, np.diff(reached.indptr), minlength=bodies.shape[1])
        confidence = hits / (size + self.smoothing).clip(min=1)
        good = (confidence >= self.min_confidence) & (hits >= self.min_support)
        best = np.argsort(-confidence[good], kind="stable")[: self.max_rules]
        bodies, confidence = bodies[:, good][:, best], confidence[good][best]
        # Nothing is certain, and the logarithm of zero is infinite:
        return np.stack([np.full(len(best), rel), *bodies]), confidence.clip(max=0.999)

    def _bodies(self, head: np.ndarray, rel: int, tail: np.ndarray) -> np.ndarray:
        # The paths between heads and tails, [2, P], those of most of them first.
        size = self._degree(head) + self._degree(tail)
        some = np.cumsum(size) <= MAX_ENTRIES
        head, tail = head[some], tail[some]
        (row, b1, mid), (other_row, b2, other_mid) = self._edges(head), self._edges(tail)
        direct = (mid == tail[row]) & (b1 != rel)
        count = np.bincount(b1[direct], minlength=2 * self.num_relations)
        one = (count >= self.min_support).nonzero()[0]
        is_way, is_other = (
            (x != head[i]) & (x != tail[i]) for i, x in ((row, mid), (other_row, other_mid))
        )
        key, b1 = (row * self.num_nodes + mid)[is_way], b1[is_way]
        other_key, b2 = (other_row * self.num_nodes + other_mid)[is_other], b2[is_other]
        every = np.sort(np.concatenate([_distinct(key), _distinct(other_key)]))
        both = every[1:][every[1:] == every[:-1]]
        found, col = _find(both, key)
        other_found, other_row = _find(both, other_key)
        rows, cols = (b1[found], col[found]), (other_row[other_found], b2[other_found])
        num_types = 2 * self.num_relations
        first = _sparse((np.ones(len(rows[0])), *rows), (num_types, len(both)))
        second = _sparse((np.ones(len(cols[0])), *cols), (len(both), num_types))
        two = (first @ second).tocoo()
        order = np.argsort(-two.data, kind="stable")
        order = order[two.data[order] >= self.min_support][: 2 * self.max_rules]
        # The last one leads to the tail, and so is the inverse of one that begins there:
        paths = np.stack([two.row[order], self._inverse(two.col[order])])
        return np.concatenate([np.stack([one, np.full_like(one, -1)]), paths], axis=1)

    def _mine_constants(
        self, head: np.ndarray, rel: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Which facts of heads go along with which answers.
        node = rng.permutation(np.unique(head))
        known = self._tails(node, np.full_like(node, rel))
        some = np.cumsum(np.diff(known.indptr) * self._degree(node)) <= MAX_ENTRIES
        node, known = node[some], known[some]
        row, b, constant = self._edges(node)
        pair, col = np.unique(b * self.num_nodes + constant, return_inverse=True)
        has = _sparse((np.ones(len(row)), row, col), (len(node), len(pair)))
        both = (has.T @ known).tocoo()
        confidence = both.data / (has.sum(axis=0)[both.row] + self.smoothing)
        prior = known.sum(axis=0)[both.col] / max(len(node), 1)
        good = (confidence >= np.maximum(MIN_CONFIDENCE, MIN_LIFT * prior)) & (
            (both.data >= self.min_support) & (pair[both.row] != rel * self.num_nodes + both.col)
        )
        best = good.nonzero()[0]
        best = best[np.argsort(-confidence[best], kind="stable")][:MAX_CONSTANTS]
        key = rel * (2 * self.num_relations * self.num_nodes) + pair[both.row[best]]
        return key, both.col[best], confidence[best]

    # Facts and paths as sparse matrices ##########################################################

    @cached_property
    def index(self) -> TripletIndex:
        return TripletIndex(*self.facts.cpu())

    @cached_property
    def _powers(self) -> tuple[Any, Any]:
        # What constants conclude, and with what confidence, by constant [K, N] and by tail [N, K].
        tail = kept(self, "tail", self.num_nodes)
        tail.data = tail.data**POWER
        return tail, tail.T.tocsr()

    def _forget(self) -> None:
        # What was made of other facts.
        for name in ("index", "_powers"):
            self.__dict__.pop(name, None)

    def _inverse(self, rel: Any) -> Any:
        return (rel + self.num_relations) % (2 * self.num_relations)

    def _tails(self, head: np.ndarray, rel: np.ndarray) -> Any:
        # The tails of queries, as a matrix [B, N].
        row, col = self.index(torch.from_numpy(head), torch.from_numpy(rel)).numpy()
        return _sparse((np.ones(len(row)), row, col), (len(head), self.num_nodes))

    def _bounds(self, head: np.ndarray) -> tuple[Tensor, Tensor]:
        # Facts are sorted by head and relation.
        node = torch.from_numpy(head)
        size = self.index.num_relations
        first, last = (torch.searchsorted(self.index.key, x * size) for x in (node, node + 1))
        return first, last

    def _degree(self, head: np.ndarray) -> np.ndarray:
        first, last = self._bounds(head)
        return (self.index.ptr[last] - self.index.ptr[first]).numpy()

    def _edges(self, head: np.ndarray) -> tuple[np.ndarray, ...]:
        # All facts of heads: the position of the head, the relation, and the tail.
        first, last = self._bounds(head)
        row, pos = spread(first, last - first)
        query, tail = self.index.tails(pos)
        return row[query].numpy(), self.index.queries(pos)[1][query].numpy(), tail.numpy()

    def _applied(self, rel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The rules of queries: the position of the query, and the number of the rule.
        of_rule, rel_type = self.rules[0].cpu().contiguous(), torch.from_numpy(rel)
        start, end = (torch.searchsorted(of_rule, x) for x in (rel_type, rel_type + 1))
        row, rule = spread(start, end - start)
        return row.numpy(), rule.numpy()

    def _ways(
        self, head: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # What the first fact of each path leads to: the position of the path, the entity, where the
        # second fact is in the index (-1 if there is none to come), and how many there are of it.
        start, first_rel, second_rel = map(torch.from_numpy, (head, first, second))
        pos, found = self.index.find(start, first_rel)
        row, mid = self.index.tails(pos, found & (self.index.count(pos) <= MAX_REACH))
        pos, found = self.index.find(mid, second_rel[row])
        count = self.index.count(pos, found)
        is_last = second_rel[row] < 0
        return row, mid, pos.masked_fill(is_last, -1), count.masked_fill(is_last, 1)

    def _reach(self, head: np.ndarray, first: np.ndarray, second: np.ndarray) -> Any:
        # Which entities paths reach from heads, as a matrix [B, N], but for the head itself.
        row, mid, pos, count = self._ways(head, first, second)
        few = torch.bincount(row, count, minlength=len(head))[row] <= MAX_REACH
        one, two = (few & (pos < 0)), (few & (pos >= 0) & (count > 0))
        way, tail = self.index.tails(pos[two])
        mid, by = torch.cat([mid[one], mid[two][way]]), row[two][way]
        row, col = torch.cat([row[one], by]), torch.cat([mid[: int(one.sum())], tail])
        start = torch.from_numpy(head)[row]
        other = (col != start) & ~self._is_newer(mid, start, col)
        parts = np.ones(int(other.sum())), row[other].numpy(), col[other].numpy()
        out = _sparse(parts, (len(head), self.num_nodes))
        out.data[:] = 1  # However many ways there are.
        return out

    def _is_newer(self, mid: Tensor, head: Tensor, tail: Tensor) -> Tensor:
        # Which entities were added after both of two others.
        if self.blocks is None:
            return torch.zeros_like(mid, dtype=torch.bool)
        bounds = self.blocks.cpu().cumsum(0)[:-1]
        mid, head, tail = (torch.bucketize(x, bounds, right=True) for x in (mid, head, tail))
        return mid > torch.maximum(head, tail)

    def _middle(self, head: int, first: int, second: int, tail: int) -> int:
        # The entity that a path leads by, that of fewest facts, as a hub says little.
        ends = (np.array([head, tail]), np.array([first, self._inverse(second)]))
        tails = self._tails(*ends)
        both = np.intersect1d(tails[[0]].indices, tails[[1]].indices)
        newer = self._is_newer(torch.from_numpy(both), torch.tensor(head), torch.tensor(tail))
        both = both[~newer.numpy()]
        return int(both[self._degree(both).argmin()])

    def _constants(self, head: np.ndarray, rel: np.ndarray) -> Any:
        # Which constants of rules queries have, as a matrix [B, K].
        row, b, constant = self._edges(head)
        key = (rel[row] * (2 * self.num_relations) + b) * self.num_nodes + constant
        known = self.constant.cpu().numpy()
        found, col = _find(known, key)
        return _sparse((np.ones(found.sum()), row[found], col[found]), (len(head), len(known)))

    def _candidates(self, head: np.ndarray, rel: np.ndarray) -> Any:
        # What is concluded of candidates by their own facts, as a matrix [B, N].
        rules = self._powers[1][head].tocoo()
        num_pairs = 2 * self.num_relations * self.num_nodes
        of_rule = self.constant.cpu().numpy()[rules.col] // num_pairs
        found = of_rule == self._inverse(rel)[rules.row]
        key, col = np.unique(rules.col[found], return_inverse=True)
        b, constant = self._pairs(key)
        having = self._tails(constant, self._inverse(b))
        parts = rules.data[found], rules.row[found], col
        return _sparse(parts, (len(head), len(key))) @ having

    def _pairs(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The fact of some constants: its relation, and the entity that it leads to.
        pair = self.constant.cpu().numpy()[key] % (2 * self.num_relations * self.num_nodes)
        return np.divmod(pair, self.num_nodes)


def _sparse(parts: tuple[Any, Any, Any], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    value, row, col = parts
    return csr_array((value, (row, col)), shape=shape, dtype=np.float32)


def _distinct(x: np.ndarray) -> np.ndarray:
    # `numpy.unique` hashes, which takes ten times as long.
    x = np.sort(x)
    return x[np.r_[True, x[1:] != x[:-1]]] if len(x) else x


def _find(known: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Which values are among sorted ones, and where.
    pos = np.searchsorted(known, x).clip(max=max(len(known) - 1, 0))
    return known[pos] == x if len(known) else np.zeros(len(x), dtype=bool), pos


def _draw(x: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return x if len(x) <= size else rng.choice(x, size, replace=False)


def _product(node: np.ndarray, bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Every head with every path.
    first, second = np.tile(bodies, len(node))
    return np.repeat(node, bodies.shape[1]), first, second
