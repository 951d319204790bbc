import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.index import both_sides, check_range

MASKS = ("train_mask", "val_mask", "test_mask")


def check_graph(data: Data) -> None:
    r"""Raises a :class:`ValueError` if the facts of a graph, with or without inverse triples, are
    absent, of a wrong shape or type, or out of range.
    """
    kinds = {"edge_index": torch.long, "edge_type": torch.long, **dict.fromkeys(MASKS, torch.bool)}
    absent = [name for name in [*kinds, "num_relations"] if data.get(name) is None]
    if absent:
        raise ValueError(
            f"The graph lacks {absent}. It needs 'edge_index', 'edge_type', 'num_relations' (of "
            f"base relations), and the masks over edges {list(MASKS)}"
        )
    size = list(data.edge_index.size()[-1:])
    for name, dtype in kinds.items():
        check_tensor(f"'{name}'", data[name], [2, *size] if name == "edge_index" else size, dtype)
    check_range("edge_index", data.edge_index, int(data.num_nodes))
    check_range("edge_type", data.edge_type, data.num_relations * (1 + has_inverse(data)))


def check_tensor(name: str, x: Tensor, size: list[int], dtype: torch.dtype) -> None:
    r"""Raises a :class:`ValueError` if a tensor is of another shape or type."""
    if list(x.size()) != size or x.dtype != dtype:
        raise ValueError(
            f"{name} needs to be a {dtype} tensor of shape {size} (got {x.dtype} of shape "
            f"{list(x.size())})"
        )


def has_inverse(data: Data) -> bool:
    r"""Tells whether :class:`~torch_imf.transforms.AddInverse` has been applied: half of the facts
    are of inverse relations.
    """
    num_inverse = int((data.edge_type >= data.num_relations).sum())
    half = 0 < 2 * num_inverse == data.edge_type.numel()
    return half and int(data.edge_type.max()) < 2 * data.num_relations


def prepare(model: torch.nn.Module, data: Data) -> Data:
    r"""Checks that a graph is sound and fits a model, and returns it with its facts on the device
    of the model. Its features stay where they are.
    """
    check_graph(data)
    for name, kind in (("num_nodes", "entities"), ("num_relations", "base relations")):
        expected: Any = getattr(model, name, data[name])
        if expected != data[name]:
            raise ValueError(
                f"The model expects {expected} {kind}, but the graph holds {data[name]}"
            )
    device = next(model.parameters(), data.edge_index).device
    return copy.copy(data).to(device, "edge_index", "edge_type", *MASKS)


def split_facts(
    data: Data, split: str, num_facts: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns the facts of a split (or so many of them at most, drawn at random), and then their
    inverses. Raises a :class:`ValueError` if there is no such split, or it is empty.
    """
    if split not in ("train", "val", "test"):
        raise ValueError(f"Invalid 'split' argument (got '{split}', choose 'train', 'val', 'test')")
    facts = (data[f"{split}_mask"] & (data.edge_type < data.num_relations)).nonzero().view(-1)
    if facts.numel() == 0:
        raise ValueError(f"The '{split}' split holds no facts")
    if num_facts is not None:
        # On the CPU, for the same draw on any device:
        perm = torch.randperm(facts.numel(), generator=torch.Generator().manual_seed(seed))
        facts = facts[perm[:num_facts].to(facts.device)]
    (head_index, tail_index), rel_type = data.edge_index[:, facts], data.edge_type[facts]
    return both_sides(head_index, rel_type, tail_index, data.num_relations)


def loop_relations(data: Data) -> Tensor:
    r"""Returns the base relations in which some training fact is a self-loop."""
    is_loop = data.train_mask & (data.edge_index[0] == data.edge_index[1])
    return (data.edge_type[is_loop] % int(data.num_relations)).unique()


def modalities(data: Data) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Collects the modality features of a graph: every :obj:`x_<name>` of :obj:`data`, with its
    :obj:`<name>_mask` (all :obj:`True` if absent). Returns the dictionaries :obj:`x_dict`
    (:obj:`[N, D]` each) and :obj:`mask_dict` (:obj:`[N]` each), in alphabetical order.

    Raises:
        ValueError: If features or masks are of a wrong shape, or not finite.
    """
    x_dict = {key[2:]: data[key] for key in sorted(data.keys()) if key.startswith("x_")}
    mask_dict = {name: modality_mask(data, name) for name in x_dict}
    check_features(x_dict, mask_dict, int(data.num_nodes))
    return x_dict, mask_dict


def modality_mask(data: Data, name: str) -> Tensor:
    r"""Returns which entities have a modality, all of them if there is no mask."""
    x, mask = data[f"x_{name}"], data.get(f"{name}_mask")
    return x.new_ones(x.size(0), dtype=torch.bool) if mask is None else mask


def check_features(
    x_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None, num_nodes: int
) -> None:
    r"""Raises a :class:`ValueError` if features or masks do not fit a graph."""
    for name, x in x_dict.items():
        if x.dim() != 2 or x.size(0) != num_nodes or not x.is_floating_point():
            raise ValueError(
                f"Features of modality '{name}' need to be floats of shape [{num_nodes}, *] "
                f"(got shape {list(x.size())} of {x.dtype})"
            )
        bad = (~finite_rows(x)).nonzero().view(-1).tolist()
        if bad:
            raise ValueError(
                f"Features of modality '{name}' hold NaN or infinite values in {len(bad)} rows "
                f"(first: {bad[0]}). Mask such rows as missing and set them to zero"
            )
    for name, mask in (mask_dict or {}).items():
        if name not in x_dict:
            raise ValueError(f"Mask of unknown modality '{name}' (known: {sorted(x_dict)})")
        check_tensor(f"The mask of modality '{name}'", mask, [num_nodes], torch.bool)


def finite_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix are finite, a few at a time to spare memory."""
    return torch.cat([part.isfinite().all(dim=-1) for part in x.split(1024)])


def nonzero_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix are not all zero."""
    return torch.cat([(part != 0).any(dim=-1) for part in x.split(1024)])
