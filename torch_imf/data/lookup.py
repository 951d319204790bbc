import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.names import normalize

#: Entities or relations, by name or identifier, or by number: one, or several.
Names = str | int | Sequence[str] | Sequence[int] | Tensor


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

    @classmethod
    def of_entities(cls, data: Data) -> "Lookup":
        r"""The entities of a graph, by :obj:`node_ids` and :obj:`node_names`."""
        return cls(*_labels(data, "node", int(data.num_nodes)), "entity")

    @classmethod
    def of_relations(cls, data: Data) -> "Lookup":
        r"""The relations of a graph, by :obj:`rel_ids` and :obj:`rel_names`."""
        return cls(*_labels(data, "rel", int(data.num_relations)), "relation")

    # Each is made once a name is not found before.

    @cached_property
    def _by_id(self) -> dict[str, list[int]]:
        return _positions(enumerate(self.ids))

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        return _positions(enumerate(self.names))

    @cached_property
    def _by_folded(self) -> dict[str, list[int]]:
        pairs = enumerate(zip(self.ids, self.names, strict=True))
        return _positions((i, key) for i, pair in pairs for key in dict.fromkeys(map(fold, pair)))

    def __call__(self, name: str) -> int:
        r"""Returns the row of a name.

        Raises:
            ValueError: If nobody has the name, which suggests the nearest
                ones, or several have it, which lists their identifiers.
        """
        found = self._by_id.get(name) or self._by_name.get(name) or self._by_folded.get(fold(name))
        if not found:
            raise ValueError(f"There is no {self.kind} '{name}'. {self._hint(name)}")
        if len(found) > 1:
            some = ", ".join(f"'{self.ids[i]}' ({self.names[i]})" for i in found[:5])
            raise ValueError(
                f"The {self.kind} '{name}' is ambiguous: {len(found)} have this name. Ask "
                f"for one by its identifier: {some}{', ...' if len(found) > 5 else ''}"
            )
        return found[0]

    def rows(self, argument: str, value: Names) -> Tensor:
        r"""Returns the rows of what is given by name or identifier, or by
        number, of shape :obj:`[B]`. Numbers are taken as they are.

        Args:
            argument (str): What it was given as, for errors.
            value (str or int or list or torch.Tensor): One, or several.

        Raises:
            ValueError: If a name is unknown or ambiguous, or :obj:`value`
                holds neither names nor numbers.
        """
        values: Any = [value] if isinstance(value, str) else value
        if isinstance(values, list | tuple) and any(isinstance(x, str) for x in values):
            if not all(isinstance(x, str) for x in values):
                raise ValueError(
                    f"'{argument}' needs to hold either names or numbers (got {values})"
                )
            values = [self(x) for x in values]
        try:
            out = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError) as e:
            raise ValueError(f"'{argument}' needs to be names or numbers (got {value!r})") from e
        if out.numel() == 0:
            raise ValueError(f"'{argument}' is empty")
        return out.view(-1)

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(fold(name), self._by_folded, n=3, cutoff=0.6)
        rows = [self._by_folded[key][0] for key in near]
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


def _positions(keys: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for i, key in keys:
        out.setdefault(key, []).append(i)
    return out


def _labels(data: Data, kind: str, size: int) -> tuple[list[str], list[str]]:
    # Identifiers and names, which stand in for each other; without both, numbers.
    numbers = [str(i) for i in range(size)]
    names = data.get(f"{kind}_names") or data.get(f"{kind}_ids") or numbers
    return data.get(f"{kind}_ids") or names, names
