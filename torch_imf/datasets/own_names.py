import re
from collections.abc import Iterable

import torch
from torch import Tensor

from torch_imf.data.names import UNKNOWN, NameIndex, normalize

AMBIGUOUS = -3
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)


class OwnNames(NameIndex):
    r"""An index that finds the entities of any graph by any name they go by:
    their identifiers as they are written, and then what
    :class:`~torch_imf.data.NameIndex` knows them by (their last part, if they
    are URIs), and their other names. Two URIs are the same if they differ in
    nothing but brackets and scheme. A name of several entities finds none of
    them, unless it is the identifier of one.

    Args:
        node_ids (list[str]): The identifier of each entity.
        aliases (iterable[tuple[str, str]], optional): Pairs of an identifier
            and another name of the same entity. (default: :obj:`()`)
    """

    def __init__(self, node_ids: list[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self.node_ids = node_ids
        exact = {node: row for row, node in enumerate(node_ids)}
        short = self._unique((normalize(node), row) for node, row in exact.items())
        other = self._unique((normalize(alias), exact[node]) for node, alias in aliases)
        self.rows = {**other, **short, **exact}

    def find(self, name: str) -> int:
        r"""Returns the row of a name, :obj:`-1` if it finds no entity."""
        name = name.strip()
        bare = name[1:-1] if name.startswith("<") and name.endswith(">") else name
        keys = [key for key in (name, bare, normalize(name)) if key in self.rows]
        row = self.rows[keys[0]] if keys else UNKNOWN
        if row < 0 or (keys[0] not in (name, bare) and not may_be(bare, self.node_ids[row])):
            return UNKNOWN
        return row

    def __call__(self, names: Iterable[str]) -> Tensor:
        return torch.tensor([self.find(name) for name in names], dtype=torch.long)

    @staticmethod
    def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
        out: dict[str, int] = {}
        for name, row in pairs:
            out[name] = row if out.get(name, row) == row else AMBIGUOUS
        return out


def may_be(name: str, node: str) -> bool:
    r"""Returns whether a name whose last part is that of an identifier may be
    the same, which two URIs with other bases are not.
    """
    node = node[1:-1] if node.startswith("<") and node.endswith(">") else node
    if not (SCHEME.match(name) and SCHEME.match(node)):
        return True
    return SCHEME.sub("", name, count=1) == SCHEME.sub("", node, count=1)
