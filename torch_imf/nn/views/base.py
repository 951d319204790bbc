from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import check_graph, remember, split_facts
from torch_imf.nn.fusion.base import Tensors
from torch_imf.registry import Recorded


class View(Recorded, torch.nn.Module):
    r"""An abstract base class of views that need no training: made of training facts and features
    alone, they score all entities for a query, beside the views of a model
    (:class:`~torch_imf.nn.Ensemble`).

    A sub-class names its :attr:`scores` and implements :meth:`fit_facts` and :meth:`forward`. What
    it keeps are buffers, which are saved with a model.
    """

    #: The names of what :meth:`forward` returns. Each has a weight of its own.
    scores: tuple[str, ...] = ()
    num_nodes: int = 0
    num_relations: int = 0
    #: How many entities came at a time, once some were added.
    blocks: Tensor | None

    def __init__(self) -> None:
        super().__init__()  # So that a class without arguments of its own is recorded, too.
        self.register_buffer("blocks", None)

    def fit(self, data: Data) -> "View":
        r"""Makes the view of the training facts of a graph, and returns it. Raises a
        :class:`ValueError` if there are none, or the graph is not sound.
        """
        check_graph(data)
        head_index, rel_type, tail_index = (x.cpu() for x in split_facts(data, "train"))
        self.num_nodes, self.num_relations = int(data.num_nodes), int(data.num_relations)
        self.blocks = None
        remember(self, data)
        with torch.no_grad():
            self.fit_facts(head_index, rel_type, tail_index, data)
        return self

    def fit_facts(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, data: Data
    ) -> None:
        r"""Makes the view of training facts :obj:`[E]` in both directions, on the CPU, and of the
        features of a graph.
        """
        raise NotImplementedError

    def extend(self, size: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor) -> None:
        r"""Adds so many entities at the end, given their raw features and training facts :obj:`[3,
        F]` in both directions. Scores among the others stay as they are. Of a view that cannot,
        this raises a :class:`ValueError`.
        """
        sizes = [self.num_nodes] if self.blocks is None else self.blocks.tolist()
        self.extend_facts(self.num_nodes + size, x_dict, mask_dict, facts)
        self.blocks = torch.tensor([*sizes, size], device=facts.device)
        self.num_nodes += size

    def extend_facts(
        self, num_nodes: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor
    ) -> None:
        r"""Lets the view know of new entities, whose number makes up :obj:`num_nodes` with that of
        the others.
        """
        raise ValueError(
            f"A '{type(self).__name__}' takes no new entities: it has no 'extend_facts'"
        )

    def describe(self, x_dict: Tensors, mask_dict: Tensors) -> None:
        r"""Gives the last entity, a new one without facts, other raw features :obj:`[1, D]`."""

    def forward(self, head_index: Tensor, rel_type: Tensor) -> Tensors:
        r"""Scores all entities as tail of queries :obj:`[B]`, as :obj:`[B, N]` for each name of
        :attr:`scores`. A view that has nothing to say scores zero.
        """
        raise NotImplementedError

    def masks(self) -> Tensors:
        r"""Which entities :obj:`[N]` have the modality of each score that is made of one."""
        return {}

    def forget(self, modality: str) -> None:
        r"""Leaves out a modality, as if no entity had it."""

    def reasons(self, head: int, rel: int, tail: int, k: int = 5) -> "Sequence[Evidence]":
        r"""Returns what speaks for a fact, best first, if the view can tell."""
        return []

    def get_extra_state(self) -> Tensor:
        r"""Returns what is saved beside the buffers, the sizes of the graph first."""
        return torch.tensor([self.num_nodes, self.num_relations], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        r"""Takes what has been saved."""
        self.num_nodes, self.num_relations = state.tolist()

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # How much a view keeps is up to the facts that it was made of.
        for key, x in state.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and "." not in name and name != "_extra_state":
                old = self._buffers.get(name)
                device = x.device if old is None else old.device
                self._buffers[name] = torch.empty_like(x, device=device)
        super()._load_from_state_dict(state, prefix, *args)


class Evidence(Protocol):
    r"""What speaks for a fact, with a :obj:`confidence` in :obj:`[0, 1]` if it can be told."""

    @property
    def confidence(self) -> float | None: ...

    def words(self, nodes: Sequence[str], relations: Sequence[str]) -> str:
        r"""Tells it, given the names of entities and of base relations."""
        ...


def told(fact: Sequence[int], nodes: Sequence[str], relations: Sequence[str]) -> str:
    r"""Tells a fact of a relation or an inverse, given the names of entities and of base relations:
    from the head of the base relation to its tail.
    """
    head, rel, tail = fact
    is_inverse, rel = divmod(rel, len(relations))
    head, tail = (tail, head) if is_inverse else (head, tail)
    return f"{nodes[head]}  {relations[rel]}  {nodes[tail]}"


def keep(module: torch.nn.Module, name: str, matrix: Any) -> None:
    r"""Keeps a sparse matrix of SciPy as buffers of a module."""
    matrix = matrix.tocsr()
    matrix.sort_indices()
    parts = {"ptr": matrix.indptr, "col": matrix.indices, "value": matrix.data}
    for part, x in parts.items():
        dtype = np.float32 if part == "value" else np.int64
        module.register_buffer(f"{name}_{part}", torch.from_numpy(x.astype(dtype)))


def kept(module: torch.nn.Module, name: str, num_cols: int) -> Any:
    r"""Returns a sparse matrix that a module keeps, of shape :obj:`[*, num_cols]`."""
    from scipy.sparse import csr_array

    ptr, col, value = (
        getattr(module, f"{name}_{part}").cpu().numpy() for part in ("ptr", "col", "value")
    )
    return csr_array((value, col, ptr), shape=(len(ptr) - 1, num_cols))
