from collections.abc import Iterator, Sequence

import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.sampler import BaseSampler, NeighborSampler

from torch_imf.data import NegativeLoader, TripletIndex
from torch_imf.sampler import UniformSampler


class StructuralLoader:
    r"""A mini-batch loader for the
    :class:`~torch_imf.nn.StructuralEncoder`: facts in random order, each
    with negatives that are no facts of the graph.

    It yields the arguments of the encoder's :obj:`loss`, tuples
    :obj:`(head_index, rel_type, tail_index, neg_index)` of shapes :obj:`[B]`,
    :obj:`[B]`, :obj:`[B]` and :obj:`[B, K]`. If neighbors are sampled, the
    graph of the batch follows, :obj:`(edge_index, edge_type, n_id)`, and
    entities are positions in :obj:`n_id`. A negative of :obj:`-1` is none.

    Args:
        data (Data): The training facts in both directions:
            :obj:`edge_index`, :obj:`edge_type` and :obj:`num_nodes`.
        batch_size (int, optional): Number of facts per batch.
            (default: :obj:`1024`)
        shuffle (bool, optional): If set to :obj:`True`, visits the facts in a
            new random order each epoch. (default: :obj:`False`)
        num_negatives (int, optional): Number of negatives per fact.
            (default: :obj:`1`)
        num_neighbors (list[int], optional): The number of neighbors to sample
            per entity in each layer (:obj:`-1` for all), by
            :class:`~torch_geometric.loader.LinkNeighborLoader`. If
            :obj:`None`, no graph is yielded. (default: :obj:`None`)
        neighbor_sampler (BaseSampler, optional): What samples neighbors. If
            :obj:`None`, :class:`~torch_geometric.sampler.NeighborSampler`,
            which needs :obj:`pyg-lib` or :obj:`torch-sparse`.
            (default: :obj:`None`)

    Raises:
        ValueError: If there are no facts or :obj:`batch_size` is below one.
        ImportError: If neither :obj:`pyg-lib` nor :obj:`torch-sparse` is
            there to sample neighbors.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int = 1024,
        shuffle: bool = False,
        num_negatives: int = 1,
        num_neighbors: list[int] | None = None,
        neighbor_sampler: BaseSampler | None = None,
    ) -> None:
        self.device = data.edge_index.device
        self.batch_size = batch_size
        self.num_neighbors = num_neighbors
        if num_neighbors is not None:
            data = data.cpu()  # Where neighbors are sampled.
            neighbor_sampler = neighbor_sampler or _neighbor_sampler(data, num_neighbors)
        self.data = data
        self.neighbor_sampler = neighbor_sampler
        fact = data.edge_index[0], data.edge_type, data.edge_index[1]
        sampler = UniformSampler(int(data.num_nodes or 0), TripletIndex(*fact), num_negatives)
        self.loader = NegativeLoader(*fact, sampler, batch_size, shuffle)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        yield from self.loader if self.num_neighbors is None else self._sample(list(self.loader))

    def _sample(self, batches: Sequence[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
        # The pairs of each head with its tail and its negatives (the tail again where there is
        # none), fact by fact:
        head_index, _, tail_index, neg_index = map(torch.cat, zip(*batches, strict=True))
        tail = tail_index.unsqueeze(1)
        key_index = torch.cat([tail, neg_index.where(neg_index >= 0, tail)], dim=1)  # [E, 1 + K]
        pair_index = torch.stack([head_index.unsqueeze(1).expand_as(key_index), key_index])
        loader = LinkNeighborLoader(
            self.data,
            self.num_neighbors,
            edge_label_index=pair_index.view(2, -1),
            neighbor_sampler=self.neighbor_sampler,
            batch_size=self.batch_size * key_index.size(1),
        )
        for batch, (_, rel_type, _, neg_index) in zip(loader, batches, strict=True):
            batch, is_none = batch.to(self.device), (neg_index < 0).to(self.device)
            head_index, key_index = batch.edge_label_index.view(2, rel_type.numel(), -1)
            fact = head_index[:, 0], rel_type.to(self.device), key_index[:, 0]
            neg_index = key_index[:, 1:].masked_fill(is_none, -1)
            yield *fact, neg_index, batch.edge_index, batch.edge_type, batch.n_id

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.data.num_edges}, batch_size={self.batch_size}, "
            f"num_neighbors={self.num_neighbors})"
        )


def _neighbor_sampler(data: Data, num_neighbors: list[int]) -> NeighborSampler:
    backends = torch_geometric.typing
    if not (backends.WITH_PYG_LIB or backends.WITH_TORCH_SPARSE):
        raise ImportError(
            "'num_neighbors' needs 'pyg-lib' or 'torch-sparse' to sample neighbors: install one "
            "that fits your version of PyTorch, or leave 'num_neighbors' out"
        )
    return NeighborSampler(data, num_neighbors)
