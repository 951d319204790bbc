import json
import os
import os.path as osp
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from torch_imf.data.names import UNKNOWN, NameIndex, read_ids
from torch_imf.encoders.base import Encoder
from torch_imf.io.atomic import on_disk, url_to_fs
from torch_imf.io.features import FORMATS, Features, basename, format_of, read
from torch_imf.io.hash import hash_content, hash_file
from torch_imf.io.mapped import zeros

IMAGE = re.compile(r"(.+)\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg)", re.IGNORECASE)


class FeatureFile(Encoder):
    r"""Ready-made features of entities, read from files as their authors publish them. Nothing that
    a file may ask for is run.

    Some files hold a matrix with **rows** in the order of the entities: :obj:`.pth`, :obj:`.pt`,
    :obj:`.npy`, :obj:`.npz` and :obj:`.safetensors` files of one array, and :obj:`.pkl` files of an
    array or a list of vectors (AdaMF, IMF, MoMoK). Others hold features by **name**, which may be
    any that :class:`~torch_imf.data.NameIndex` knows: :obj:`.h5` files (MMKB, MMRNS), :obj:`.npz`
    files of two arrays :obj:`entity` and :obj:`feature`, and dictionaries in the other formats.
    Names may also be those of images (RSME, MoSE): of :obj:`m.0xyz/1.jpg`, that of the file, with
    and without its extension, or its folder, whichever is known first. Rows without names are
    refused for entities whose order nobody has chosen, as those of
    :class:`~torch_imf.datasets.MultimodalKG`, unless these are called :obj:`0`, :obj:`1` and so on.

    Several features of an entity are averaged. Those that are all zero count as missing.

    Args:
        *paths (str): The file, on disk or any file system of :obj:`fsspec`, or several with parts
            of one table by name. The features of an entity are those of the first file that has
            any.
        ids (list[str] or str, optional): The names of the rows, in their order, or the path of a
            file of them: a name per line, or names and ids as in :obj:`entity2id.txt`. (default:
            :obj:`None`)
        strict (bool, optional): If set to :obj:`False`, leaves out names that belong to no entity.
            Those of other graphs are always left out. (default: :obj:`True`)

    Shapes:
        - **input:** a :class:`~torch_imf.data.NameIndex` of :math:`N` entities, or a list of their
          identifiers
        - **output:** features :math:`(N, D)` and mask :math:`(N)`; rows of entities without
          features are zero and :obj:`False`

    Raises:
        ValueError: If a file is missing or of an unknown format.
    """

    def __init__(
        self,
        *paths: str | os.PathLike[str],
        ids: Sequence[str] | str | os.PathLike[str] | None = None,
        strict: bool = True,
    ) -> None:
        if len(paths) == 0:
            raise ValueError("'FeatureFile' needs the path of a file of features")
        if len(paths) > 1 and ids is not None:
            raise ValueError(f"'ids' can name the rows of one file only (got {len(paths)} files)")

        self.paths = [osp.expanduser(os.fspath(path)) for path in paths]
        for path in self.paths:
            if format_of(path) not in FORMATS:
                raise ValueError(
                    f"Cannot tell the format of the features '{path}' from its name, expected one "
                    f"of {list(FORMATS)}"
                )
            filesystem, name = url_to_fs(path)
            if not filesystem.isfile(name):
                raise ValueError(f"There is no file of features '{path}'")
        if isinstance(ids, str | os.PathLike):
            ids = read_ids(os.fspath(ids))
        self.ids = None if ids is None else list(ids)
        self.strict = strict
        self._hashes: dict[str, str] = {}

    def transform(self, names: NameIndex | Sequence[str]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of entities and which of them have any. Raises a
        :class:`ValueError` if a file is damaged, holds anything but features of one size, or does
        not fit the entities.
        """
        index = names if isinstance(names, NameIndex) else NameIndex(list(names))
        x = torch.empty(0)
        mask = torch.zeros(len(index), dtype=torch.bool)
        for path in self.paths:
            with read(path) as features:
                rows = self._find_rows(features, index, path)
                rows[mask[rows.clamp(min=0)] & (rows >= 0)] = UNKNOWN  # An earlier file has them.
                x, found = _add_rows(x, len(index), features, rows, path)
            mask |= found
        return x, mask

    def _find_rows(self, features: Features, index: NameIndex, path: str) -> Tensor:
        # The entity of each row, of which there need to be some.
        size, names = features.num_rows, features.names
        wrong = f"The features '{path}'"
        if names is not None and self.ids is not None:
            raise ValueError(f"{wrong} have names of their own, leave 'ids' out")
        if self.ids is not None and len(self.ids) != size:
            raise ValueError(f"{wrong} have {size:,} rows, but 'ids' has {len(self.ids):,} names")
        names = self.ids if names is None else names
        if names is None:
            if len(self.paths) > 1:
                raise ValueError(f"{wrong} are no part of a table, as they have no names")
            if size != len(index):
                raise ValueError(
                    f"{wrong} have {size:,} rows for {len(index):,} entities. Pass the names of "
                    f"the rows in their order as 'ids' (a list, or the path of a file such as "
                    f"'entity2id.txt')"
                )
            if not index.has_own_order:
                raise ValueError(
                    f"{wrong} have no names, and entities are in the order of theirs "
                    f"({index.node_ids[:3]}), which need not be that of the rows. Pass "
                    f"FeatureFile(path, ids=...) the names of the rows in their order, or save "
                    f"them beside the matrix, as 'entity' and 'feature' of an '.npz' file"
                )
            return torch.arange(size)

        rows = index(names)
        for i in (rows == UNKNOWN).nonzero().view(-1).tolist():
            found = index(_image_names(names[i]))
            rows[i] = next((row for row in found.tolist() if row != UNKNOWN), UNKNOWN)
        if not (rows >= 0).any():
            raise ValueError(
                f"None of the {size:,} names of the features '{path}' belongs to one of the "
                f"{len(index):,} entities (a name is '{names[0]}', an entity '{index.node_ids[0]}')"
            )
        unknown = [names[i] for i in (rows == UNKNOWN).nonzero().view(-1).tolist()]
        if self.strict and len(unknown) > 0:
            raise ValueError(
                f"{wrong} do not fit the graph: {len(unknown):,} of its {size:,} names belong to "
                f"no entity (first: {unknown[:10]}); pass FeatureFile(path, strict=False) to leave "
                f"them out"
            )
        return rows

    def _hash(self, path: str) -> str:
        if "://" not in path or path not in self._hashes:  # Those elsewhere are copied once.
            with on_disk(path) as file:
                self._hashes[path] = hash_file(file)[:16]
        return self._hashes[path]

    def __repr__(self) -> str:
        names = ", ".join(f"'{basename(path)}'" for path in self.paths)
        hashes = "+".join(map(self._hash, self.paths))
        ids = "" if self.ids is None else f", ids={hash_content(json.dumps(self.ids))[:16]}"
        strict = "" if self.strict else ", strict=False"
        return f"{self.__class__.__name__}({names}, sha256={hashes}{ids}{strict})"


def _image_names(name: str) -> list[str]:
    # The names that the entity of an image may have.
    match = IMAGE.fullmatch(name)
    if match is None:
        return []
    folder, file = osp.split(match[1])
    return [name for name in (match[1], folder, osp.basename(folder), file) if name]


def _add_rows(
    x: Tensor, num_nodes: int, features: Features, rows: Tensor, path: str
) -> tuple[Tensor, Tensor]:
    # Adds the mean of the features of each entity to its row, and tells which entities have any.
    count = torch.zeros(num_nodes, dtype=torch.long)
    start = 0
    for block in features.blocks:
        if x.numel() == 0:
            x = zeros(num_nodes, block.size(1))
        if block.size(1) != x.size(1):
            name = f"row {start}" if features.names is None else f"'{features.names[start]}'"
            raise ValueError(
                f"The features '{path}' are not of one size: {name} has {block.size(1):,} values, "
                f"those before have {x.size(1):,}"
            )
        row = rows[start : start + block.size(0)]
        keep = (row >= 0) & (block != 0).any(dim=-1)
        row = row[keep]
        x.index_add_(0, row, block[keep])
        count.index_add_(0, row, torch.ones_like(row))
        start += block.size(0)
    return x.div_(count.clamp(min=1).view(-1, 1)), count > 0
