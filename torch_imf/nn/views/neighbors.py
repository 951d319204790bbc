from collections.abc import Sequence
from math import isqrt
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import modalities
from torch_imf.io.progress import watched
from torch_imf.nn.functional.gather import by_blocks
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.views.base import View, told

#: How many numbers to keep for the maps of all relations, and to hold at once for the votes.
MAX_NUMBERS = 2**24
#: The power of a cosine that is the weight of a vote.
POWER = 3


class Similar(NamedTuple):
    r"""A training fact whose head is like another entity, that of a query, in a modality, by a
    cosine.
    """

    modality: str
    head: int
    relation: int
    tail: int
    similarity: float
    node: int
    confidence: None = None

    def words(self, nodes: Sequence[str], relations: Sequence[str]) -> str:
        r"""Tells it, given the names of entities and of base relations."""
        fact = told((self.head, self.relation, self.tail), nodes, relations)
        like = f"is like {nodes[self.node]} in {self.modality} ({self.similarity:.2f})"
        return f"{fact}: {nodes[self.head]} {like}"


class FeatureView(View):
    r"""What features tell by themselves: those of the answers of a relation, and those of the heads
    that have it. For each modality, with features :math:`\mathbf{x}` that are centred, reduced to
    principal components and of unit length, there are two scores:

    .. math::
        y_{near} = \cos (\mathbf{x}_h \mathbf{W}_r + \mathbf{b}_r, \mathbf{x}_t), \qquad
        y_{votes} = \frac{\sum_{h'} \cos(\mathbf{x}_h, \mathbf{x}_{h'})^3 \,
        [(h', r, t) \in \mathcal{T}]}{\sum_{h'} \cos(\mathbf{x}_h, \mathbf{x}_{h'})^3}

    The map :math:`\mathbf{W}_r` is a ridge regression from heads to tails in training facts,
    towards a multiple of the identity (their mean cosine), and :math:`\mathbf{b}_r` is the mean of
    tails. The heads :math:`h'` that vote are those with the relation that are most similar to the
    one of the query. What lacks a modality, and relations without facts, score zero. New entities
    (:meth:`torch_imf.add_entities`) have no vote, and are voted for by none.

    Args:
        num_channels (int, optional): The most components of a modality. Graphs of thousands of
            relations have less. (default: :obj:`128`)
        num_neighbors (int, optional): The most heads that vote. (default: :obj:`64`)
        ridge (float, optional): The strength of the regression, as of so many facts, positive.
            (default: :obj:`10.`)
    """

    aliases: ClassVar[dict] = {"features": {}}
    x: Tensor  # [M, N, D], zero where an entity lacks a modality.
    lin: Tensor  # [M, 2 * R, D, D]
    bias: Tensor  # [M, 2 * R, D]
    facts: Tensor  # [3, E], in the order of relations.

    def __init__(
        self, num_channels: int = 128, num_neighbors: int = 64, ridge: float = 10.0
    ) -> None:
        super().__init__()
        if ridge <= 0:
            raise ValueError(f"'ridge' needs to be positive (got {ridge})")
        self.num_channels, self.num_neighbors, self.ridge = num_channels, num_neighbors, ridge
        self.modalities: list[str] = []
        for name in ("x", "lin", "bias"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("facts", torch.empty(0, dtype=torch.long))

    @property
    def scores(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{kind} {name}" for name in self.modalities for kind in ("near", "votes"))

    def fit_facts(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, data: Data
    ) -> None:
        x_dict, mask_dict = modalities(data)
        if not x_dict:
            raise ValueError("A FeatureView needs a graph with features, an 'x_<name>'")
        self.modalities = list(x_dict)
        num_types = 2 * self.num_relations
        size = max(1, isqrt(MAX_NUMBERS // (num_types * len(x_dict))))
        size = min(self.num_channels, size)
        parts = []
        for name, x in x_dict.items():
            self.register_buffer(f"center_{name}", x[mask_dict[name]].cpu().float().mean(dim=0))
            unit = self._directions(name, x.cpu(), mask_dict[name].cpu())
            if len(unit) < unit.size(1):  # Where `eigh` may not converge, and takes long.
                vectors = torch.linalg.svd(unit, full_matrices=False).Vh.t().flip(1)
            else:
                _, vectors = torch.linalg.eigh(unit.t() @ unit)  # In ascending order.
            self.register_buffer(f"basis_{name}", vectors[:, -size:])
            parts.append(self._components(name, unit, size))
        self.x = torch.stack(parts)
        order = rel_type.argsort(stable=True)
        self.facts = torch.stack([head_index, rel_type, tail_index])[:, order]
        self.lin = self.x.new_zeros(len(x_dict), num_types, size, size)
        self.bias = self.x.new_zeros(len(x_dict), num_types, size)
        for rel in watched(rel_type.unique().tolist(), "Comparing features"):
            head, tail = self._facts(rel)
            for i, x in enumerate(self.x):
                has_both = (x[head].any(dim=-1) & x[tail].any(dim=-1)).nonzero().view(-1)
                if has_both.numel() > 0:
                    self.lin[i, rel], self.bias[i, rel] = self._regress(
                        x[head[has_both]], x[tail[has_both]]
                    )

    def extend_facts(
        self, num_nodes: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor
    ) -> None:
        self.x = torch.cat([self.x, self._made(x_dict, mask_dict)], dim=1)

    def describe(self, x_dict: Tensors, mask_dict: Tensors) -> None:
        self.x = torch.cat([self.x[:, :-1], self._made(x_dict, mask_dict)], dim=1)

    def in_channels(self) -> dict[str, int]:
        r"""Returns the size of the raw features of each modality."""
        return {name: getattr(self, f"center_{name}").numel() for name in self.modalities}

    def forward(self, head_index: Tensor, rel_type: Tensor) -> Tensors:
        size = len(self.modalities), head_index.numel(), self.num_nodes
        near, votes = (self.x.new_zeros(size) for _ in range(2))
        for rel in rel_type.unique().tolist():
            row = (rel_type == rel).nonzero().view(-1)
            for i, x in enumerate(self.x):
                own = row[x[head_index[row]].any(dim=-1)]
                query = x[head_index[own]] @ self.lin[i, rel] + self.bias[i, rel]
                query = F.normalize(query, dim=-1)
                near[i, own] = by_blocks(lambda q, x: q @ x.t(), query, x, self.blocks)
                votes[i, own] = self._votes(x, head_index[own], rel)
        both = zip(near, votes, strict=True)
        return dict(zip(self.scores, (y for pair in both for y in pair), strict=True))

    def masks(self) -> Tensors:
        masks = dict(zip(self.modalities, self.x.any(dim=-1), strict=True))
        return {score: masks[score.partition(" ")[2]] for score in self.scores}

    def forget(self, modality: str) -> None:
        if modality in self.modalities:
            self.x = self.x.clone()
            self.x[self.modalities.index(modality)] = 0

    def reasons(self, head: int, rel: int, tail: int, k: int = 5) -> list[Similar]:
        r"""Returns the training facts of the answer whose heads vote most, best first."""
        heads, tails = self._facts(rel)
        heads, out = heads[(tails == tail) & (heads != head)], []
        for name, x in zip(self.modalities, self.x, strict=True):
            value, best = (x[heads] @ x[head]).topk(min(k, len(heads)))
            pairs = zip(heads[best].tolist(), value.tolist(), strict=True)
            out += [Similar(name, h, rel, tail, cosine, head) for h, cosine in pairs if cosine > 0]
        return sorted(out, key=lambda x: -x.similarity)[:k]

    def get_extra_state(self) -> Tensor:
        names = list("\n".join(self.modalities).encode())
        return torch.tensor([self.num_nodes, self.num_relations, *names], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        super().set_extra_state(state[:2])
        self.modalities = bytes(state[2:].tolist()).decode().splitlines()

    def _made(self, x_dict: Tensors, mask_dict: Tensors) -> Tensor:
        # The components of other entities, [M, K, D].
        unit = {k: self._directions(k, x_dict[k], mask_dict[k]) for k in self.modalities}
        return torch.stack([self._components(k, x, self.x.size(2)) for k, x in unit.items()])

    def _directions(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        center = getattr(self, f"center_{name}")
        return F.normalize((x.to(center) - center).masked_fill(~mask.unsqueeze(-1), 0), dim=-1)

    def _components(self, name: str, unit: Tensor, size: int) -> Tensor:
        # Directions in principal components, [*, size], zero without features.
        x = F.normalize(unit @ getattr(self, f"basis_{name}"), dim=-1)
        return F.pad(x, (0, size - x.size(1)))

    def _facts(self, rel: int) -> tuple[Tensor, Tensor]:
        bounds = torch.tensor([rel, rel + 1], device=self.facts.device)
        start, end = torch.searchsorted(self.facts[1].contiguous(), bounds).tolist()
        return self.facts[0, start:end], self.facts[2, start:end]

    def _regress(self, head: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        bias, eye = tail.mean(dim=0), torch.eye(head.size(1))
        slope = (head * (tail - bias)).sum() / (len(head) + self.ridge)
        gram = head.t() @ head + self.ridge * eye
        rest = head.t() @ (tail - bias - slope * head)
        return slope * eye + torch.linalg.solve(gram, rest), bias

    def _votes(self, x: Tensor, head_index: Tensor, rel: int) -> Tensor:
        head, tail = self._facts(rel)
        node, group = head.unique(return_inverse=True)
        out = x.new_zeros(len(head_index), self.num_nodes)
        for row in torch.arange(len(out), device=x.device).split(
            max(1, MAX_NUMBERS // max(len(head), 1))
        ):
            cosine = x[head_index[row]] @ x[node].t()
            cosine = cosine.clamp(min=0).masked_fill(node == head_index[row, None], 0) ** POWER
            best = cosine.topk(min(self.num_neighbors, len(node)), dim=1)
            weight = torch.zeros_like(cosine).scatter_(1, best.indices, best.values)
            total = weight.sum(dim=1, keepdim=True).clamp(min=0.1)  # A few weak ones say little.
            out[row] = out[row].index_add_(1, tail, (weight / total)[:, group])
        return out
