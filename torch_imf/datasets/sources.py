import os.path as osp
from dataclasses import dataclass
from functools import cache

from torch_imf.datasets.io import read_text, split_rows

TABLE = osp.join(osp.dirname(osp.realpath(__file__)), "files", "sources.tsv")


@dataclass(frozen=True)
class RawFile:
    r"""A raw file of a dataset: where it is found, and how it is known to be
    the right one.

    Args:
        name (str): Its path in a mirror, :obj:`"<Dataset>/<source>/<file>"`.
        checksum (str): Its SHA-256 (64 digits), or its hash in a Git
            repository (40 digits).
        url (str, optional): Its address upstream, or :obj:`None` if only a
            mirror or a person can provide it. (default: :obj:`None`)
        by_hand (str, optional): Where a person finds it if there is no
            address. (default: :obj:`None`)
    """

    name: str
    checksum: str
    url: str | None = None
    by_hand: str | None = None

    @property
    def path(self) -> str:
        r"""Its path in the folder of raw files, :obj:`"<source>/<file>"`."""
        return self.name.partition("/")[2]

    @property
    def origin(self) -> str:
        r"""Where a person would look for it."""
        return self.url or self.by_hand or f"$TORCH_IMF_MIRROR/{self.name}"


def raw_files(*names: str) -> list[RawFile]:
    r"""Returns raw files that the table :obj:`files/sources.tsv` lists.

    Args:
        *names: Their paths in a mirror. :obj:`"DB15K/IMF/{val,test}.txt"`
            stands for two of them.
    """
    out = []
    for name in names:
        start, brace, rest = name.partition("{")
        inner, _, end = rest.partition("}")
        out += [f"{start}{part}{end}" for part in inner.split(",")] if brace else [name]
    return [sources()[name] for name in out]


@cache
def sources() -> dict[str, RawFile]:
    r"""Returns all raw files by name."""
    rows = split_rows(read_text(TABLE), TABLE, columns=4, header=True)
    return {
        name: RawFile(name, digest, url or None, hand or None) for name, digest, url, hand in rows
    }
