r"""The embeddings of a model as files that other tools read."""

import os
import os.path as osp
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import interpolate
from torch_geometric.data import Data

from torch_imf.answers.results import write_table
from torch_imf.data.graph import TYPES, prepare
from torch_imf.data.names import Lookup, NameIndex
from torch_imf.evaluation.ranking import check_whole, inference
from torch_imf.io import require, warn
from torch_imf.io.atomic import replacing
from torch_imf.io.images import find_images, read_images
from torch_imf.io.progress import ROWS, watched
from torch_imf.nn.models import Ensemble, MultimodalKGE

if TYPE_CHECKING:
    from typing import BinaryIO

#: Pixels of a side of the picture of an entity, and of what TensorBoard shows at most.
SPRITE, LARGEST = 32, 8192


@torch.no_grad()
def embeddings(model: Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Returns the embeddings of all entities and those of all base relations, of shape :obj:`[N,
    C]` and :obj:`[R, C']`, in each view that has any: :obj:`"struct"`, each modality, and
    :obj:`"fused"`. Views of rules, types and counts have none.
    """
    check_whole(model)
    nodes: dict[str, Tensor] = {}
    rels: dict[str, Tensor] = {}
    with inference(model) as scored:
        is_ensemble = isinstance(scored, Ensemble)
        members: Any = scored._members() if is_ensemble else [(scored, {})]
        for member, names in members:
            if not isinstance(member, MultimodalKGE):
                continue
            z = member.encode()
            device = next(iter(z.values())).device
            rel_type = torch.arange(member.num_relations, device=device)
            for view in (x for x in member.views if x in z):
                name = names.get(view, view)
                nodes[name] = z[view].detach().flatten(1).float().cpu()
                rel = member.relation(view, rel_type).detach()
                rels[name] = rel.flatten(1).float().cpu()
    return nodes, rels


def write_embeddings(
    model: Module,
    data: Data,
    folder: str | os.PathLike[str],
    to: str = "npy",
    views: Sequence[str] | None = None,
    images: str | None = None,
) -> list[str]:
    r"""Writes the embeddings of entities and relations to a folder, and returns the files.

    * :obj:`"npy"`: an array of NumPy for each view, and the identifiers, names and types of its
      rows in :obj:`entities.tsv` and :obj:`relations.tsv`
    * :obj:`"word2vec"`: text, as gensim's :obj:`KeyedVectors.load_word2vec_format` reads it, by
      identifier, with underscores for spaces
    * :obj:`"parquet"`: a table of identifier, name and, for each view, a list
    * :obj:`"faiss"`: an index of inner products of vectors of length one for each view, and tables
      as above
    * :obj:`"tensorboard"`: TensorBoard's projector, with pictures

    Args:
        model (torch.nn.Module): A model of this package, or an ensemble.
        data (Data): Its graph.
        folder (str): The folder.
        to (str, optional): One of the formats above. (default: :obj:`"npy"`)
        views (list[str], optional): The views, or all of them. (default: :obj:`None`)
        images (str, optional): The pictures of entities for TensorBoard, as :class:`KGDataset`
            takes them. (default: :obj:`None`)

    Raises:
        ValueError: If there is no such format or view, the format has no place for pictures, or
            the graph does not fit the model.
        ImportError: If a format needs a package that is not installed.
    """
    if to not in FORMATS:
        raise ValueError(f"Invalid 'to' argument (got '{to}', choose of {list(FORMATS)})")
    if images and to != "tensorboard":
        raise ValueError(f"The 'images' argument is for the format 'tensorboard' (got '{to}')")
    if to in PACKAGES:
        require(*PACKAGES[to])
    prepare(model, data)
    nodes, rels = embeddings(model)
    if unknown := [x for x in views or () if x not in nodes]:
        raise ValueError(f"There are no embeddings of '{unknown[0]}', but of {list(nodes)}")
    groups = []
    for kind, found in (("entities", nodes), ("relations", rels)):
        lookup = Lookup.of_entities(data) if kind == "entities" else Lookup.of_relations(data)
        types = data.get(TYPES) if kind == "entities" else None
        groups.append(Group(kind, {v: found[v] for v in views or found}, lookup, types))
    os.makedirs(folder, exist_ok=True)
    return list(FORMATS[to](os.fspath(folder), groups, images))


class Group:
    r"""Entities or relations: embeddings by view, identifiers, names, and perhaps types."""

    def __init__(
        self, kind: str, x: Mapping[str, Tensor], lookup: Lookup, types: Sequence | None = None
    ) -> None:
        self.kind, self.x, self.ids, self.names = kind, x, list(lookup.ids), list(lookup.names)
        self.types = None if types is None else [";".join(x) for x in types]

    @property
    def columns(self) -> dict[str, list[str]]:
        r"""What is known of each row beside its embeddings."""
        return {"id": self.ids, "name": self.names, **({"types": self.types} if self.types else {})}

    def path(self, folder: str, ending: str, view: str = "") -> str:
        r"""Returns the path of a file, of one view or all."""
        return osp.join(folder, "-".join([self.kind, *view.split()]) + ending)

    def write_names(self, folder: str) -> str:
        r"""Writes the table of what rows stand for, and returns its path."""
        path, columns = self.path(folder, ".tsv"), self.columns
        write_table(path, [list(columns), *zip(*columns.values(), strict=True)])
        return path


def _each(
    folder: str,
    groups: Sequence[Group],
    ending: str,
    write: "Callable[[Group, str, BinaryIO], None]",
) -> Iterator[str]:
    for group in groups:
        for view in group.x:
            path = group.path(folder, ending, view)
            with replacing(path) as file:
                write(group, view, file)
            yield path


def _npy(folder: str, groups: Sequence[Group], images: str | None) -> Iterator[str]:
    import numpy as np

    yield from _each(folder, groups, ".npy", lambda x, view, file: np.save(file, x.x[view].numpy()))
    yield from (group.write_names(folder) for group in groups)


def _word2vec(folder: str, groups: Sequence[Group], images: str | None) -> Iterator[str]:
    def write(group: Group, view: str, file: "BinaryIO") -> None:
        file.write(f"{len(group.ids)} {group.x[view].size(1)}\n".encode())
        rows = zip(group.ids, group.x[view].tolist(), strict=True)
        for name, row in watched(rows, "Writing", total=len(group.ids)):
            words = ["_".join(name.split()), *(f"{value:.6g}" for value in row)]
            file.write(f"{' '.join(words)}\n".encode())

    yield from _each(folder, groups, ".txt", write)


def _parquet(folder: str, groups: Sequence[Group], images: str | None) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow import parquet

    for group in groups:
        columns: dict[str, Any] = dict(group.columns)
        for view, x in group.x.items():
            columns[view] = pa.FixedSizeListArray.from_arrays(x.numpy().reshape(-1), x.size(1))
        path, table = group.path(folder, ".parquet"), pa.table(columns)
        with replacing(path) as file, parquet.ParquetWriter(file, table.schema) as writer:
            for rows in watched(table.to_batches(ROWS), "Writing"):
                writer.write_batch(rows)
        yield path


def _faiss(folder: str, groups: Sequence[Group], images: str | None) -> Iterator[str]:
    import faiss

    def write(group: Group, view: str, file: "BinaryIO") -> None:
        x = torch.nn.functional.normalize(group.x[view]).numpy()
        index = faiss.IndexFlatIP(x.shape[1])
        for begin in watched(range(0, len(x), ROWS), "Writing"):
            index.add(x[begin : begin + ROWS])
        file.write(faiss.serialize_index(index).tobytes())

    yield from _each(folder, groups, ".faiss", write)
    yield from (group.write_names(folder) for group in groups)


def _tensorboard(folder: str, groups: Sequence[Group], images: str | None) -> Iterator[str]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as board:
        for group in groups:
            columns = {k: [" ".join(x.split()) for x in y] for k, y in group.columns.items()}
            rows = list(map(list, zip(*columns.values(), strict=True)))
            sprite = sprites(group, images) if images and group.kind == "entities" else None
            for view, x in group.x.items():
                tag = f"{group.kind}-{view}".replace(" ", "-")
                board.add_embedding(x, rows, sprite, tag=tag, metadata_header=list(columns))
    yield osp.join(folder, "projector_config.pbtxt")


def sprites(group: Group, images: str) -> Tensor | None:
    r"""Returns small pictures of entities, of shape :obj:`[N, 3, S, S]`, grey for those without."""
    size = min(SPRITE, int(LARGEST / len(group.ids) ** 0.5))
    if size < 4:
        warn(f"No pictures of {len(group.ids):,} entities, which are too many for TensorBoard")
        return None
    out = torch.full((len(group.ids), 3, size, size), 0.8)
    found = find_images(images, NameIndex(group.ids, zip(group.ids, group.names, strict=True)))
    rows = [row for row, files in enumerate(found) if files]
    pictures = read_images([str((found[i] or [""])[0]) for i in rows])
    for row, x in zip(watched(rows, "Reading pictures"), pictures, strict=True):
        if isinstance(x, Tensor):
            out[row] = interpolate(x[None].float() / 255, (size, size), mode="area")[0]
    return out


FORMATS: dict[str, Callable[[str, Sequence[Group], str | None], Iterator[str]]] = {
    "npy": _npy,
    "word2vec": _word2vec,
    "parquet": _parquet,
    "faiss": _faiss,
    "tensorboard": _tensorboard,
}
PACKAGES = {
    "faiss": ("faiss", "Indices of FAISS", "faiss"),
    "tensorboard": ("tensorboard", "Files of TensorBoard", "tensorboard"),
}
