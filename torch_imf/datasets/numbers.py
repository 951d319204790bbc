r"""Tables of numbers of one's own: how they are laid out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from torch_imf.data.names import NameIndex
from torch_imf.io import some, warn
from torch_imf.io.quantities import MISSING, unit_of
from torch_imf.io.tables import JSON, PARQUET, Column, Table, short, simplify, suffix, where

ENTITY = (
    *("entity", "entité", "entität", "entidad", "entidade", "entità", "entiteit", "entitet"),
    *("byt", "сущность", "实体", "エンティティ", "개체"),
)
ATTRIBUTE = tuple("attribut eigenschaft propriété propiedad proprietà 属性 свойство 속성".split())
VALUE = tuple("valeur wert valor valore waarde wartość значение 值 数值 값".split())
LONG = (
    Column("entity", (*ENTITY, "id", "node", "uri", "subject", "head", "name")),
    Column("attribute", ("attribute", "property", "relation", "predicate", "key", *ATTRIBUTE)),
    Column("value", ("value", "number", "literal", "object", "tail", *VALUE), blank=True),
    Column("unit", ("unit", "units", "unit_of_measure"), required=False),
)
#: How many rows tell the layout of a table.
SAMPLE = 200


class Layout(NamedTuple):
    r"""The columns of a table of numbers, whether it begins with a header, and the names of its
    attributes if each of them has a column behind that of entities.
    """

    columns: Sequence[Column]
    header: bool | None = None
    attributes: Sequence[str] | None = None


def find_layout(path: str, index: NameIndex, header: bool | None = None) -> Layout:
    r"""Finds out whether a table holds entity, attribute and value (and unit) in each row, or an
    entity and a value of each attribute, by its first rows: by words that name these columns, by
    the column that holds entities of the graph, and by those that hold numbers.

    Raises:
        ValueError: If that cannot be told.
    """
    header = True if suffix(path) in PARQUET else header
    sample = [] if suffix(path) in JSON else Table(path, 2, LONG).block[:SAMPLE]
    if not sample:
        return Layout(LONG, header)
    line, first = sample[0][0], [field.strip() for field in sample[0][1]]
    names, width = list(map(simplify, first)), len(first)
    if header is not False and all({*names} & {*column.words} for column in LONG[:3]):
        return Layout(LONG, header)
    unit = (replace(LONG[3], required=True, blank=True),) if width == 4 else ()
    rows = [[field.strip() for field in row] for _, row in sample[1:] if len(row) == width]
    if header is False or not rows:
        return Layout((*LONG[:3], *unit), header)

    columns = list(zip(*rows, strict=True))
    hits = [int((index(column) >= 0).sum()) for column in columns]
    # Where entities are numbers, other columns can be in the graph as well:
    node = max(
        range(width),
        key=lambda i: (2 * hits[i] >= max(hits) > 0 and names[i] in LONG[0].words, hits[i]),
    )
    numeric = [i for i, column in enumerate(columns) if i != node and _holds_numbers(column)]
    is_pair = node == 0 and width in (3, 4) and 1 not in numeric
    repeats = len({first[node], *columns[node]}) <= len(rows)
    # Cells of a header are no entity, occur nowhere below, and are no numbers (but may be years):
    of_header = index.find(first[node]) < 0 and len(numeric) > 0
    of_header &= not any(name in column for name, column in zip(first, columns, strict=True))
    of_header &= names[node] in LONG[0].words or all(unit_of(first[i]) is None for i in numeric)
    if header is None and not of_header:
        if not is_pair and not (width == 3 and repeats):
            raise ValueError(
                f"{where(path, line)}: expected entity, attribute and value, or a header that "
                f"names the columns of a wide table, as in 'entity, year, runtime' (got "
                f"{short(first)})"
            )
        return Layout((*LONG[:3], *unit), header)
    if is_pair and (repeats or len(set(columns[1])) == 1):
        warn(f"'{path}': the first row, {short(first)}, is taken for a header")
        return Layout((*LONG[:3], *unit), True)
    if rivals := [first[i] for i in numeric if 2 * hits[i] >= hits[node]]:
        if names[node] not in LONG[0].words:
            raise ValueError(
                f"{where(path, line)}: any of {[first[node], *rivals]} may be the column of "
                f"entities. Please call it 'entity'"
            )
    # An index has no name, and an address begins with a number, but the rest is no unit:
    attributes = [first[i] for i in numeric if first[i] and _holds_numbers(columns[i], True)]
    others = [name for i, name in enumerate(first) if i != node and name not in attributes]
    if is_pair or not attributes or len({*attributes, ""}) <= len(attributes):
        raise ValueError(
            f"{where(path, line)}: {short(first)} may be the header of a table of entities and "
            f"their numbers, or of entity, attribute and value. Please call three columns entity, "
            f"attribute and value, or give each column of numbers a name of its own, and leave out "
            f"those of none ({others})"
        )
    warn(f"'{path}': each attribute has a column ({some(attributes)})")
    words = (Column("entity", (first[node],)), *(Column(x, (x,), blank=True) for x in attributes))
    return Layout(words, True, attributes)


def _holds_numbers(cells: Sequence[str], of_one_unit: bool = False) -> bool:
    units = Counter(unit_of(cell) for cell in cells if cell.lower() not in MISSING)
    numbers = [number for unit, number in units.items() if unit is not None]
    return 2 * (max(numbers, default=0) if of_one_unit else sum(numbers)) >= units.total()
