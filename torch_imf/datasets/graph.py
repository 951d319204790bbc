import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.data.graph import MASKS, check_graph, check_range, nonzero_rows


def build_graph(
    splits: list[Tensor],
    node_ids: list[str],
    node_names: list[str],
    rel_ids: list[str],
    rel_names: list[str] | None = None,
) -> Data:
    r"""Puts the facts of all splits into one graph.

    Args:
        splits (list[torch.Tensor]): Head, relation and tail ids of the
            training, validation and test facts, of shape :obj:`[3, E]` each.
        node_ids (list[str]): The identifier of each entity.
        node_names (list[str]): The name of each entity.
        rel_ids (list[str]): The identifier of each relation.
        rel_names (list[str], optional): The name of each relation, the same
            by default. (default: :obj:`None`)
    """
    head_index, rel_type, tail_index = torch.cat(splits, dim=1)
    split = torch.tensor([triple.size(1) for triple in splits])
    split = torch.arange(len(splits)).repeat_interleave(split)
    return Data(
        edge_index=torch.stack([head_index, tail_index]),
        edge_type=rel_type.contiguous(),
        train_mask=split == 0,
        val_mask=split == 1,
        test_mask=split == 2,
        num_nodes=len(node_ids),
        num_relations=len(rel_ids),
        node_ids=node_ids,
        node_names=node_names,
        rel_ids=rel_ids,
        rel_names=rel_ids if rel_names is None else rel_names,
    )


def validate(data: Data) -> None:
    r"""Raises a :class:`ValueError` that says what is wrong with the data of
    a :class:`KGDataset`, if anything is.

    Args:
        data (Data): The graph to look at.
    """
    check_graph(data)
    for name in MASKS:
        if not data[name].any():
            raise ValueError(f"The split of '{name}' is empty")

    splits = torch.stack([data.train_mask, data.val_mask, data.test_mask]).sum(dim=0)
    if not (splits == 1).all():
        edge = int((splits != 1).nonzero()[0])
        raise ValueError(f"Fact {edge} is in {int(splits[edge])} splits rather than in one")

    check_range("edge_type", data.edge_type, data.num_relations, "relations")
    for name, size in [
        ("node_ids", data.num_nodes),
        ("node_names", data.num_nodes),
        ("rel_ids", data.num_relations),
        ("rel_names", data.num_relations),
    ]:
        if len(data[name]) != size:
            raise ValueError(f"'{name}' needs {size} entries (got {len(data[name])})")
    for name in ("node_ids", "rel_ids"):
        if len(set(data[name])) != len(data[name]):
            raise ValueError(f"'{name}' holds an identifier twice")

    for modality, x in modalities(data)[0].items():
        if x.dtype != torch.float32:
            raise ValueError(f"'x_{modality}' needs to be of type float32 (got {x.dtype})")
        if f"{modality}_mask" not in data:
            raise ValueError(f"'x_{modality}' has no '{modality}_mask'")
        rows = nonzero_rows(x)[~data[f"{modality}_mask"]]
        if rows.any():
            raise ValueError(f"'x_{modality}' is not zero in {int(rows.sum())} masked rows")
