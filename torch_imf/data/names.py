import re
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from torch_imf.io.atomic import read_bytes

ELSEWHERE = -2
UNKNOWN = -1

# HDF5 takes the slashes of a name for folders, and loses those that are doubled or come first:
URI = re.compile(r"https?:/+[^/]+/(?:resource|entity|ontology|ns)/(?=.)", re.IGNORECASE)
FREEBASE = re.compile(r"/?([mg])/(\w+)", re.ASCII)


class NameIndex:
    r"""An index that finds the entities of a graph by any name they go by.

    Files of features, images and literals name entities in their own way: by
    URI with or without brackets (:obj:`<http://dbpedia.org/resource/Paris>`),
    by its last part (:obj:`Paris`), by Freebase id (:obj:`/m/05qtj`,
    :obj:`m.05qtj`), or by a key that another file links to the entity
    (:obj:`DBIMG00042`). Names are compared after :meth:`normalize`.

    Args:
        node_ids (list[str]): The identifier of each entity.
        aliases (iterable[tuple[str, str]], optional): Pairs of an identifier
            and another name of the same entity. An identifier takes precedence
            over another entity's alias, and an alias over later ones. An
            identifier that is not in :obj:`node_ids` is one of another graph
            (*e.g.*, an entity of FB15K that FB15K-237 leaves out), and so are
            its other names that nobody has here. (default: :obj:`()`)

    Raises:
        ValueError: If two entities have the same identifier.
    """

    def __init__(self, node_ids: list[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self.node_ids = node_ids
        self.rows = {normalize(node): row for row, node in enumerate(node_ids)}
        if len(self.rows) < len(node_ids):
            name, _ = Counter(map(normalize, node_ids)).most_common(1)[0]
            raise ValueError(
                f"{len(node_ids) - len(self.rows)} entities have an identifier that another one "
                f"has, such as {name}"
            )
        own = dict(self.rows)
        for node, alias in aliases:
            row = own.get(normalize(node), ELSEWHERE)
            for name in (normalize(alias), normalize(node)):
                if self.rows.get(name, ELSEWHERE) == ELSEWHERE:
                    self.rows[name] = row

    def __call__(self, names: Iterable[str]) -> Tensor:
        r"""Returns the row of each name, of shape :obj:`[len(names)]`:
        :obj:`-1` for a name that nobody has, and :obj:`-2` for one of an
        entity that is not in this graph.
        """
        rows = [self.rows.get(normalize(name), UNKNOWN) for name in names]
        return torch.tensor(rows, dtype=torch.long)

    def example(self) -> str:
        r"""Returns how a file of the first entity may be named."""
        return normalize(self.node_ids[0])

    def __len__(self) -> int:
        return len(self.node_ids)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)}, names={len(self.rows)})"


def normalize(name: str) -> str:
    r"""Returns a name without what differs between files: brackets, the base
    of a URI, and the slashes of a Freebase id.
    """
    name = name.strip()
    if name.startswith("<") and name.endswith(">"):
        name = name[1:-1]
    name = URI.sub("", name, count=1) if URI.match(name) else name
    match = FREEBASE.fullmatch(name)
    return f"{match[1]}.{match[2]}" if match else name


def read_ids(path: str) -> list[str]:
    r"""Reads a list of names: one per line, or names and ids, in any order
    and with or without their number at the top.
    """
    try:
        lines = [x.strip() for x in read_bytes(path).decode("utf-8-sig").split("\n") if x.strip()]
    except FileNotFoundError as error:
        raise ValueError(f"There is no file of ids '{path}'") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"The ids '{path}' are no text in UTF-8 ({error})") from error
    pairs = [line.rsplit(None, 1) for line in lines]
    names = {int(x[1]): x[0] for x in pairs if len(x) == 2 and x[1].isdecimal()}
    counted = len(lines) > 1 and lines[0].isdecimal() and len(names) > 0
    num_names = len(lines) - counted
    if counted and int(lines[0]) != num_names:
        raise ValueError(
            f"'{path}' holds {num_names} names rather than the {lines[0]} it announces"
        )
    numbered = sorted(names) == list(range(num_names))
    if counted and not numbered:
        raise ValueError(f"The ids '{path}' are not the numbers from 0 to {num_names - 1}")
    # Without a count, other numbers are those of names (Apollo 11):
    out = [names[i] for i in range(num_names)] if numbered else lines
    if len(set(out)) < len(out):
        raise ValueError(f"The ids '{path}' hold a name twice")
    return out
