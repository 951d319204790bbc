import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import MASKS

NAMES = ("node_ids", "node_names", "rel_ids", "rel_names")


def graph_names(data: Data) -> dict[str, list[str]]:
    r"""Returns the names of entities and relations that a graph has.

    Raises:
        ValueError: If there is not one name each.
    """
    out = {name: list(data[name]) for name in NAMES if name in data}
    for name, values in out.items():
        size = data.num_nodes if name.startswith("node") else data.num_relations
        if len(values) != size or not all(isinstance(x, str) for x in values):
            raise ValueError(f"'{name}' needs to hold {size} strings (got {len(values)} values)")
    return out


def graph_facts(data: Data) -> dict[str, Tensor]:
    r"""Returns the facts of a graph and the masks of their splits."""
    ids = {"edge_index": data.edge_index, "edge_type": data.edge_type}
    masks = {name: data[name] for name in MASKS}
    return {
        name: (x.int() if name in ids else x).cpu().contiguous()
        for name, x in {**ids, **masks}.items()
    }


def make_graph(
    num_nodes: int, num_relations: int, facts: dict[str, Tensor], names: dict[str, list[str]]
) -> Data:
    r"""Makes a graph of its facts and names, without features."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown or not {"edge_index", "edge_type", *MASKS} == set(facts):
        raise ValueError(f"It holds {[*unknown, *sorted(facts)]}")
    ids: dict[str, Any] = {k: x if x.dtype == torch.bool else x.long() for k, x in facts.items()}
    data = Data(num_nodes=num_nodes, num_relations=num_relations, **ids, **names)
    graph_names(data)  # Raises, if they do not fit.
    return data


def graph_sizes(data: Data) -> dict[str, int]:
    r"""Returns the number of facts in each split, inverse triples left out."""
    base = data.edge_type < data.num_relations
    return {name.removesuffix("_mask"): int((data[name] & base).sum()) for name in MASKS}


def to_json(value: Any, name: str) -> bytes:
    r"""Returns a value as JSON. Tensors and arrays become numbers and lists of
    these, and keys become strings. Numbers that are not finite are refused, as
    JSON has none.

    Args:
        value (object): The value.
        name (str): Its name, for messages.

    Raises:
        ValueError: If it is not made of plain values. The message names the
            place.
    """
    try:
        return (json.dumps(plain(value, name), indent=1, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"'{name}' holds a string that is no valid text ({error})") from error


def plain(value: Any, name: str) -> Any:
    r"""Returns a value as JSON knows it, see :meth:`to_json`."""
    if isinstance(value, np.generic | np.ndarray | Tensor):
        value = value.tolist()  # A number if it has no dimension.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"'{name}' is {value}, which cannot be kept. Leave it out")
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [plain(x, f"{name}[{i}]") for i, x in enumerate(value)]
    if not isinstance(value, dict):
        raise ValueError(
            f"'{name}' needs to be a plain number or string, or a list or dictionary of these (got "
            f"{type(value)})"
        )
    out = {}
    for key, x in value.items():
        place = f"{name}[{key!r}]"
        if not isinstance(key, str | int | float | np.generic):
            raise ValueError(f"The key of '{place}' needs to be a string (got {type(key)})")
        if str(key) in out:
            raise ValueError(f"The key of '{place}' is there twice, as a string and otherwise")
        out[str(key)] = plain(x, place)
    return out
