import difflib
from collections.abc import Sequence

from torch_geometric.data import Data

from torch_imf.data.names import normalize


class Lookup:
    r"""Finds what a person means by a name: the row of the entity, or of the
    relation, that goes by it.

    An identifier comes first, then a name as it is written, then either one in
    other letters (:obj:`"united states"` for :obj:`"United_States"`).

    Args:
        ids (list[str]): The identifiers.
        names (list[str]): The names, of the same length; several may be the
            same.
        kind (str): What they are, for errors: :obj:`"entity"` or
            :obj:`"relation"`.
    """

    def __init__(self, ids: Sequence[str], names: Sequence[str], kind: str) -> None:
        self.ids, self.names, self.kind = ids, names, kind
        self.rows: list[dict[str, list[int]]] = [{}, {}, {}]
        for i, (own_id, name) in enumerate(zip(ids, names, strict=True)):
            for rows, key in zip(self.rows, (own_id, name, fold(name)), strict=True):
                rows.setdefault(key, []).append(i)
            if fold(own_id) != fold(name):
                self.rows[2].setdefault(fold(own_id), []).append(i)

    @classmethod
    def of_entities(cls, data: Data) -> "Lookup":
        r"""The entities of a graph, by :obj:`node_ids` and :obj:`node_names`."""
        return cls(*_labels(data, "node", int(data.num_nodes)), "entity")

    @classmethod
    def of_relations(cls, data: Data) -> "Lookup":
        r"""The relations of a graph, by :obj:`rel_ids` and :obj:`rel_names`."""
        return cls(*_labels(data, "rel", int(data.num_relations)), "relation")

    def __call__(self, name: str) -> int:
        r"""Returns the row of a name.

        Raises:
            ValueError: If nobody has the name, which suggests the nearest
                ones, or several have it, which lists their identifiers.
        """
        for rows, key in zip(self.rows, (name, name, fold(name)), strict=True):
            found = rows.get(key, [])
            if len(found) == 1:
                return found[0]
            if len(found) > 1:
                some = ", ".join(f"'{self.ids[i]}' ({self.names[i]})" for i in found[:5])
                raise ValueError(
                    f"The {self.kind} '{name}' is ambiguous: {len(found)} have this name. Ask "
                    f"for one by its identifier: {some}{', ...' if len(found) > 5 else ''}"
                )
        raise ValueError(f"There is no {self.kind} '{name}'. {self._hint(name)}")

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(fold(name), self.rows[2], n=3, cutoff=0.6)
        rows = [self.rows[2][key][0] for key in near]
        if rows:
            return "Did you mean " + ", ".join(f"'{self.names[i]}'" for i in rows) + "?"
        some = ", ".join(f"'{x}'" for x in self.names[:3])
        return f"Names are like {some}" if some else "There are none"

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)}, kind='{self.kind}')"


def fold(name: str) -> str:
    r"""Returns a name without what people leave out: capitals, underscores,
    double spaces, and what :meth:`~torch_imf.data.names.normalize` takes off.
    """
    return " ".join(normalize(name).replace("_", " ").casefold().split())


def _labels(data: Data, kind: str, size: int) -> tuple[list[str], list[str]]:
    # Identifiers and names, which stand in for each other; without both, numbers.
    numbers = [str(i) for i in range(size)]
    names = data.get(f"{kind}_names") or data.get(f"{kind}_ids") or numbers
    return data.get(f"{kind}_ids") or names, names
