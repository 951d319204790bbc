import json
from collections.abc import Iterator

from torch_imf.datasets.columns import Column
from torch_imf.datasets.io import short
from torch_imf.datasets.lines import LONGEST, read_lines, suffix, where
from torch_imf.datasets.tables import TABLES, read_table

NAMES = ("name", "label", "title")
TEXTS = ("text", "description", "abstract", "summary", "comment")
COLUMNS = (
    Column("entity", ("entity", "id", "node", "key", "uri", "iri", "entity_id", "node_id", *NAMES)),
    Column("text", TEXTS, blank=True),
    Column("name", NAMES, required=False),
)
JSON = (".json", ".jsonl", ".ndjson")
LARGEST = 16 * LONGEST  # Characters of a JSON file, which is read as a whole.

# What a text belongs to, its name and text (empty if there are none), and where that stands:
Description = tuple[str, str, str, str]


def read_descriptions(path: str, header: bool | None = None) -> Iterator[Description]:
    r"""Reads names and texts of entities.

    * A **table** (see :meth:`read_table`) has the columns :obj:`entity` and
      :obj:`text`, and perhaps :obj:`name`.
    * **JSONL** has an object of these in each line.
    * **JSON** is an object of entities and their texts, or of entities and
      objects of :obj:`text` and :obj:`name`, or a list of objects as in JSONL.

    Columns and keys may also be called :obj:`id`, :obj:`description` or
    :obj:`label`, and the like.

    Args:
        path (str): The path of the file.
        header (bool, optional): Whether a table has a header, see
            :meth:`read_table`. (default: :obj:`None`)

    Yields:
        The entity, its name and its text, which may be empty, and the place in
        the file.

    Raises:
        ValueError: If the file cannot be read.
    """
    kind = suffix(path)
    if kind in TABLES:
        for line, (node, text, name) in read_table(path, COLUMNS, header):
            yield node, name, text, where(path, line)
    elif kind == ".json":
        content = parse(read_whole(path), path)
        if isinstance(content, dict):
            for node, value in content.items():
                place = f"'{path}', entry {short(node)}"
                entry = value if isinstance(value, dict) else {"text": value}
                yield from from_object({**entry, "entity": node}, place)
        elif isinstance(content, list):
            for i, entry in enumerate(content, start=1):
                yield from from_object(entry, f"'{path}', entry {i}")
        else:
            raise ValueError(f"'{path}': expected an object of entities and texts, or a list")
    elif kind in JSON:
        for line, text in enumerate(read_lines(path), start=1):
            if text.strip():
                yield from from_object(parse(text, path, line), where(path, line))
    else:
        raise ValueError(f"'{path}' holds no texts, expected one of {[*TABLES, *JSON]}")


def read_whole(path: str) -> str:
    r"""Returns the content of a text file.

    Raises:
        ValueError: If it is too large for that.
    """
    lines, size = [], 0
    for line, text in enumerate(read_lines(path), start=1):
        size += len(text)
        if size > LARGEST:
            raise ValueError(
                f"{where(path, line)}: this JSON has more than {LARGEST:,} characters. Please save "
                f"it as JSONL, which is read line by line"
            )
        lines.append(text)
    return "".join(lines)


def parse(text: str, path: str, line: int = 1) -> object:
    r"""Returns the content of a JSON text that begins at a line of a file.

    Raises:
        ValueError: If it is no JSON, or an object holds a key twice.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        out: dict[str, object] = {}
        for key, value in pairs:
            if key in out:
                raise ValueError(f"{where(path, line)}: the key {short(key)} occurs twice")
            out[key] = value
        return out

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=to_integer)
    except json.JSONDecodeError as e:
        place = where(path, line + e.lineno - 1)
        raise ValueError(f"{place}: this is no JSON ({e.msg}, column {e.colno})") from e
    except RecursionError as e:
        raise ValueError(f"{where(path, line)}: this JSON is nested too deeply") from e


def to_integer(digits: str) -> int | float:
    r"""Returns an integer, or a float where Python refuses one for its length."""
    return int(digits) if len(digits) < 1000 else float(digits)


def from_object(entry: object, place: str) -> Iterator[Description]:
    r"""Returns the description that a JSON object holds."""
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected an object of 'entity' and 'text' (got {short(entry)})")
    fields = []
    for column in COLUMNS:
        key = next((word for word in column.words if word in entry), None)
        value = "" if key is None or entry[key] is None else entry[key]
        if not isinstance(value, str):
            raise ValueError(f"{place}: the {column.name} is no string (got {short(value)})")
        if column.required and (key is None or not (column.blank or value.strip())):
            raise ValueError(
                f"{place}: there is no {column.name} (got {short(entry)}), expected one of the "
                f"keys {list(column.words)}"
            )
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(f"{place}: the {column.name} holds half a character (a surrogate)")
        fields.append(value.strip())
    node, text, name = fields
    yield node, name, text, place
