r"""A graph as other libraries take it. Inverse triples are left out."""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Data, HeteroData

from torch_imf.data.graph import MASKS, TYPES, check_graph, modalities
from torch_imf.data.names import Lookup
from torch_imf.io.atomic import replacing
from torch_imf.io.progress import ROWS, watched

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

#: What splits are called in files.
FILES = {"train": "train.txt", "val": "valid.txt", "test": "test.txt"}


def to_frame(data: Data) -> "pd.DataFrame":
    r"""Returns the facts of a graph as a :class:`pandas.DataFrame`: head, relation and tail by
    identifier and by name, the types of head and tail where the graph knows any, and the
    :obj:`split`.

    :class:`~torch_imf.datasets.MultimodalKG` takes it, with its types and splits.
    """
    import pandas as pd

    check_graph(data)
    nodes, rels = Lookup.of_entities(data), Lookup.of_relations(data)
    base = data.edge_type < data.num_relations
    (head, tail), rel = data.edge_index[:, base].tolist(), data.edge_type[base].tolist()
    masks = torch.stack([data[name][base] for name in MASKS])
    number = torch.where(masks.any(dim=0), masks.int().argmax(dim=0), len(MASKS)).tolist()
    parts = ("head", head, nodes), ("relation", rel, rels), ("tail", tail, nodes)
    out = {}
    for name, index, lookup in parts:
        out[f"{name}_id"] = [lookup.ids[i] for i in index]
        out[f"{name}_name"] = [lookup.names[i] for i in index]
    if data.get(TYPES) is not None:
        words = [";".join(x) for x in data[TYPES]]
        out |= {f"{x}_types": [words[i] for i in y] for x, y in (("head", head), ("tail", tail))}
    names = [*FILES, ""]
    return pd.DataFrame({**out, "split": [names[i] for i in number]})


def to_networkx(data: Data) -> "nx.MultiDiGraph":
    r"""Returns a graph as a :class:`networkx.MultiDiGraph`: entities by identifier, with their
    :obj:`name` and :obj:`types`, and facts as edges with their :obj:`relation`, its name where that
    is another (:obj:`relation_name`), and :obj:`split`.

    :class:`~torch_imf.datasets.MultimodalKG` takes it, with its types and splits.
    """
    import networkx as nx

    out, nodes = nx.MultiDiGraph(), Lookup.of_entities(data)
    types = data.get(TYPES) or [()] * int(data.num_nodes)
    for node, name, kinds in zip(nodes.ids, nodes.names, types, strict=True):
        out.add_node(node, name=name, **({"types": ";".join(kinds)} if kinds else {}))
    frame = _facts(data, "relation", "relation_name")
    names = list(frame.columns[2:])
    for head, tail, *values in frame.itertuples(index=False):
        out.add_edge(head, tail, **dict(zip(names, values, strict=True)))
    return out


def to_hetero(data: Data) -> HeteroData:
    r"""Returns a graph as a :class:`~torch_geometric.data.HeteroData`. The type of an entity is the
    first of its types (:obj:`"entity"` if it has none), and that of an edge the types of its ends
    and its relation. Identifiers, names, features, masks and all types are kept for each.

    :meth:`~torch_imf.data.to_graph` takes it back, with entities in the order of their types.
    """
    check_graph(data)
    nodes, rels = Lookup.of_entities(data), Lookup.of_relations(data)
    types = data.get(TYPES) or [[]] * int(data.num_nodes)
    first = [x[0] if x else "entity" for x in types]
    names = sorted(set(first))
    kind = torch.tensor([names.index(x) for x in first], device=data.edge_index.device)
    place = torch.empty_like(kind)
    out = HeteroData()
    out.rel_ids, out.rel_names = list(rels.ids), list(rels.names)
    x_dict, mask_dict = modalities(data)
    for i, name in enumerate(names):
        rows = (kind == i).nonzero().view(-1)
        place[rows] = torch.arange(rows.numel(), device=rows.device)
        index, store = rows.tolist(), out[name]
        store.num_nodes = rows.numel()
        store.node_ids, store.node_names = ([x[j] for j in index] for x in (nodes.ids, nodes.names))
        store[TYPES] = [list(types[j]) for j in index]
        for modality, x in x_dict.items():
            store[f"x_{modality}"], store[f"{modality}_mask"] = x[index], mask_dict[modality][index]
    base = (data.edge_type < data.num_relations).nonzero().view(-1)
    (head, tail), rel = data.edge_index[:, base], data.edge_type[base]
    key = torch.stack([kind[head], rel, kind[tail]])
    found, group = key.unique(dim=1, return_inverse=True)
    for i, (h, r, t) in enumerate(found.t().tolist()):
        edge = group == i
        store = out[names[h], rels.ids[r], names[t]]
        store.edge_index = torch.stack([place[head[edge]], place[tail[edge]]])
        for mask in MASKS:
            store[mask] = data[mask][base[edge]]
    return out


def write_triples(data: Data, folder: str | os.PathLike[str]) -> None:
    r"""Writes the facts of each split to :obj:`train.txt`, :obj:`valid.txt` and :obj:`test.txt` in
    a folder: head, relation and tail by identifier, with tabs between, as PyKEEN
    (:obj:`TriplesFactory.from_path`), LibKGE and most others read them.
    """
    frame = to_frame(data)
    for split, name in FILES.items():
        part = frame[frame["split"] == split][["head_id", "relation_id", "tail_id"]]
        if torn := next((x for y in part for x in part[y] if "\t" in x or "\n" in x), None):
            raise ValueError(f"{torn!r} holds a tab or a line break, which these files cannot")
        rows = watched(part.itertuples(index=False), "Writing", total=len(part))
        _write(folder, name, ("\t".join(row) + "\n" for row in rows))


def write_neo4j(data: Data, folder: str | os.PathLike[str]) -> None:
    r"""Writes :obj:`nodes.csv` and :obj:`relationships.csv` in a folder, as :obj:`neo4j-admin
    database import full --nodes nodes.csv --relationships relationships.csv` takes them: entities
    with their names and, as labels, types, and facts with their split, and the names of their types
    where these are others (:obj:`type_name`).
    """
    import pandas as pd

    nodes = Lookup.of_entities(data)
    labels = [";".join(x) for x in data.get(TYPES) or [()] * int(data.num_nodes)]
    about = {":ID": nodes.ids, "name": nodes.names, ":LABEL": labels}
    _write(folder, "nodes.csv", _csv(pd.DataFrame(about)))
    frame = _facts(data, ":TYPE", "type_name")
    frame = frame.rename(columns={"head_id": ":START_ID", "tail_id": ":END_ID"})
    _write(folder, "relationships.csv", _csv(frame))


def _facts(data: Data, relation: str, name: str) -> "pd.DataFrame":
    # By identifier, with the names of relations where these are others, and the split.
    frame = to_frame(data).rename(columns={"relation_id": relation, "relation_name": name})
    names = [] if frame[relation].equals(frame[name]) else [name]
    return frame[["head_id", "tail_id", relation, *names, "split"]]


def _csv(frame: "pd.DataFrame") -> Iterator[str]:
    yield frame[:0].to_csv(index=False)
    for begin in watched(range(0, len(frame), ROWS), "Writing"):
        yield frame[begin : begin + ROWS].to_csv(index=False, header=False)


def _write(folder: str | os.PathLike[str], name: str, parts: Iterable[str]) -> None:
    with replacing(os.path.join(folder, name)) as file:
        file.writelines(part.encode() for part in parts)
