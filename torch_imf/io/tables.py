r"""Tables of text: TSV, CSV, JSON, JSONL, Parquet and Excel, row by row, with errors that name file
and line.

Not by pandas, which fills rows that are too short, numbers lines without those inside of quotes,
takes the last of two JSON entries of one key, lets binary data pass, and is no faster.
"""

import codecs
import csv
import io
import json
import os.path as osp
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, cast

from torch_imf.io import check_regular, warn
from torch_imf.io.atomic import on_disk, open_file
from torch_imf.io.confined import confined
from torch_imf.io.progress import reading, watched

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEPARATORS = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}
WORDS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes", " ": "spaces"}
PARQUET = (".parquet", ".pq")
BINARY = (*PARQUET, ".xlsx")
JSON = (".json", ".jsonl", ".ndjson")
NEO4J = ("string", "int", "long", "float", "double", "boolean", "date")
FRAME = "DataFrame"  # Which has no path.
APOC = ("_id", "_labels", "_start", "_end", "_type")
GRAPHS = (".graphml",)
#: The attributes of nodes that are their types and names.
TYPES_OF_NODES, NAMES_OF_NODES = ("types", "labels", "type"), ("name", "label", "title")
#: The formats of tables.
TABLES = (*SEPARATORS, *JSON, *BINARY)

#: How many bytes a line may have (in a gzipped file, it can be without end), and how many
#: characters a JSON file, which is read as a whole.
LONGEST, LARGEST = 1 << 26, 1 << 30
UNDEFINED = {*b"\x81\x8d\x8f\x90\x9d"}  # In Windows-1252.
UNSEEN = "\ufeff\u200b"  # A byte-order mark within joined files, and a space of no width.
SURROGATE = re.compile("[\ud800-\udfff]")
#: How many rows, or characters of them, are at hand when it is decided what the columns are, and
#: how many lines when it is decided what separates them.
BLOCK, BLOCK_CHARS, SAMPLE = 4096, 1 << 22, 200
FACT_LISTS = ("facts", "triples", "links", "edges", "relationships", "rels")
WHOLE = re.compile(r"([+-]?[0-9]+(\.0*|(\.[0-9]*)?e\+[0-9]{1,2})?)?")


@dataclass(frozen=True)
class Column:
    r"""A column of a table, the words that name it, whether it needs to be there, whether its cells
    may be blank, and whether they are identifiers, see :meth:`as_ids`.
    """

    name: str
    words: tuple[str, ...] = ()
    required: bool = True
    blank: bool = False
    ids: bool = True


def read_table(
    path: str, columns: Sequence[Column], header: bool | None = None
) -> Iterator[tuple[int, list[str]]]:
    r"""Reads the rows of a table: TSV, CSV or JSONL, each of them gzipped or not, JSON (an object
    of entities and their values, or a list of objects), Parquet or Excel. White space around
    fields, empty lines, a byte-order mark and the normal form of Unicode do not matter. Text is
    separated by tabs, commas, semicolons or pipes. Between tabs, quotes are part of a field.

    A table without a header holds the required columns in their order. With one, columns are found
    by their names (whatever their case, and what separates their words), and others are left out
    with a warning.
    """
    table = Table(path, sum(column.required for column in columns), columns)
    layout = find_columns(table, columns, header)
    if table.note:
        warn(f"'{path}': this table is {table.note}")
    rows = [(line, fields) for line, row in table.rows if (fields := layout.pick(table, line, row))]
    for i, column in enumerate(columns):
        if column.ids:
            (values,) = as_ids(path, [fields[i] for _, fields in rows])
            for (_, fields), value in zip(rows, values, strict=True):
                fields[i] = value
    yield from rows


def read_columns(table: "Table", layout: "Layout") -> list["pa.DictionaryArray"]:
    r"""Returns the columns of a table, as :meth:`read_table` reads them, with each text once, as a
    rule (:meth:`coded`). What comes after the first rows of TSV, or of CSV without quotes, is read
    by :obj:`pyarrow`, and row by row only to name the line of an error.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def picked(rows: Iterable[tuple[int, list[str]]]) -> list[pa.ChunkedArray]:
        fields = (layout.pick(table, line, row) for line, row in rows)
        return to_columns(filter(None, fields), len(layout.columns))

    out = layout.read_rest(table, picked(table.block))
    out = list(map(coded, picked(table.rows))) if out is None else out
    is_float = [
        pc.any(pc.match_substring_regex(x.dictionary, r"\d(\.0*|e\+\d+)$")).as_py() for x in out[:3]
    ]
    for group in ((0, 2), (1,)):  # Heads and tails are entities.
        if any(is_float[i] for i in group):
            found = as_ids(table.path, *(out[i].dictionary.to_pylist() for i in group))
            for i, names in zip(group, found, strict=True):
                indices = out[i].indices
                out[i] = coded(
                    pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
                )
    return out


def coded(*columns: "pa.ChunkedArray | pa.Array") -> "pa.DictionaryArray":
    r"""Returns the values of columns, one column after the other, as numbers of distinct texts."""
    import pyarrow as pa

    chunks = [chunk for column in columns for chunk in getattr(column, "chunks", [column])]
    parts = [x if pa.types.is_dictionary(x.type) else x.dictionary_encode() for x in chunks]
    words = pa.chunked_array([x.dictionary for x in parts], pa.string())
    words = words.dictionary_encode().combine_chunks()
    indices, start = [pa.array([], pa.int32())], 0
    for x in parts:
        number = words.indices.slice(start, len(x.dictionary))
        indices.append(number.take(x.indices))
        start += len(x.dictionary)
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(indices), words.dictionary)


def as_ids(path: str, *columns: list[str]) -> list[list[str]]:
    r"""Returns the names of columns of the same identifiers. Where all are whole numbers, they are
    written as such: 2.0 is 2 (which :obj:`pandas` writes where a cell is missing), 1e+05 is 100000
    (as R has it). A column stays as it is if another one has such numbers among other names.
    """

    def is_whole(name: str) -> bool:
        return WHOLE.fullmatch(name) is not None and ("e" not in name or float(name).is_integer())

    whole = [all(map(is_whole, names)) for names in columns]
    others = [x for names, y in zip(columns, whole, strict=True) if not y for x in names]
    if any(whole) and (mixed := next((x for x in others if x and is_whole(x)), "")):
        warn(f"'{path}': {mixed!r} is among other names, so that numbers like 2.0 stay as they are")
        return list(columns)
    rounded = [x for names in columns for x in names if "e" in x and is_whole(x)]
    rounded = [x for x in rounded if all(whole) and abs(float(x)) > 2**53]
    if rounded:
        warn(f"'{path}': the digits of {rounded[0]} are not all there, save identifiers as text")
    return [
        [f"{float(x):.0f}" if "e" in x else x.partition(".")[0] for x in names] if y else names
        for names, y in zip(columns, whole, strict=True)
    ]


def to_columns(rows: Iterable[Sequence[str]], width: int = 3) -> list["pa.ChunkedArray"]:
    r"""Turns rows of a number of fields into columns."""
    import pyarrow as pa

    chunks: list[list[pa.Array]] = [[] for _ in range(width)]
    rows = iter(rows)
    # Fields one after the other, as Python's garbage collector visits rows again and again:
    while fields := list(chain.from_iterable(islice(rows, 1 << 16))):
        for i, column in enumerate(chunks):
            column.append(pa.array(fields[i::width], pa.string()))
    return [pa.chunked_array(column, pa.string()) for column in chunks]


def read_rows(path: str, width: int, sep: str = "\t", header: bool = False) -> list[list[str]]:
    r"""Returns the rows of a published file, its fields as they are."""
    rows = [line.rstrip("\r\n").split(sep) for line in read_lines(path)]
    while rows and rows[-1] == [""]:
        rows.pop()
    for line, row in enumerate(rows, start=1):
        if len(row) != width:
            raise ValueError(
                f"{where(path, line)}: expected {width} fields separated by {sep!r} (got "
                f"{short(row)})"
            )
    return rows[header:]


def read_lines(path: str, others: bool = False) -> Iterator[str]:
    r"""Streams the lines of a UTF-8 file with their ends, of a gzipped one if its name ends in
    :obj:`.gz`. With :obj:`others`, what Excel writes is read as well: UTF-16, and Windows-1252,
    which warnings tell.
    """
    encoding, is_ascii = "utf-8", True
    if is_wide := others and is_utf16(path):
        warn(f"'{path}': this is no UTF-8, and read as UTF-16")
    with readable(path), reading(path) as file:
        source = io.TextIOWrapper(file, "utf-16", newline="\n") if is_wide else file
        for line in count(1):
            content: Any = b""
            try:
                content = source.readline(LONGEST + 1)
                text = content if isinstance(content, str) else content.decode(encoding)
            except UnicodeDecodeError as e:
                is_other = others and is_ascii and isinstance(content, bytes)
                if not is_other or not content or UNDEFINED & {*content}:
                    raise ValueError(
                        f"'{path}', line {line}: not valid UTF-8, save it as such ({e.reason})"
                    ) from e
                encoding, text = "cp1252", bytes(content).decode("cp1252")
                warn(f"'{path}', line {line}: this is no UTF-8, and read as Windows-1252")
            if not content:
                return
            if len(content) > LONGEST:
                raise ValueError(
                    f"'{path}', line {line}: this line has more than {LONGEST:,} bytes"
                )
            if "\0" in text:
                raise ValueError(f"'{path}', line {line}: this is no text, but binary data")
            is_ascii = is_ascii and text.isascii()
            yield text.removeprefix("\ufeff") if line == 1 else text


def is_utf16(path: str) -> bool:
    r"""Returns whether a file begins as UTF-16 does. Refuses one gzipped by another name."""
    with readable(path), open_file(path, compression="infer") as file:
        begin = file.read(2)
    if begin == b"\x1f\x8b":
        raise ValueError(f"'{path}' is gzipped, and needs to be called so ('.gz' at the end)")
    return begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_plain(path: str) -> bool:
    r"""Returns whether each line of a CSV file is a row: it holds no quotes, and carriage returns
    only where lines end.
    """
    with readable(path), open_file(path, compression="infer") as file:
        while lines := file.read(1 << 20) + file.readline(LONGEST):
            if re.search(rb'"|\r(?!\n)', lines):
                return False
    return True


@contextmanager
def readable(path: str) -> Iterator[None]:
    r"""Says which file cannot be read, as a :class:`ValueError`: there is none, or it is damaged.
    Errors of the disk stay as they are.
    """
    check_regular(path)
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as e:
        raise ValueError(f"There is no file '{path}'") from e
    except (OSError, EOFError, zlib.error) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e


def suffix(path: str) -> str:
    r"""Returns how the name of a file ends, without :obj:`.gz`."""
    return osp.splitext(osp.basename(path).lower().removesuffix(".gz"))[1]


def where(path: str, line: int) -> str:
    r"""Returns a place in a file, as error messages begin with it."""
    kind = ".xlsx" if path == FRAME else suffix(path)
    return f"'{path}', {'row' if kind in BINARY else 'entry' if kind == '.json' else 'line'} {line}"


def short(value: object) -> str:
    r"""Returns a quotation of a value that fits an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# Formats ########################################################################################


class Table:
    r"""The rows of a table with the numbers of their lines, of which the first are at hand to
    decide what the columns are. Where a format has names of columns, they are the row 0.

    Args:
        source (str or pandas.DataFrame): The file, or the table itself.
        width (int): How many columns there are at least.
        columns (list[Column], optional): The columns, if entries of JSON are to be read as theirs.
    """

    def __init__(
        self, source: "str | pd.DataFrame", width: int, columns: Sequence[Column] | None = None
    ) -> None:
        self.path = source if isinstance(source, str) else FRAME
        self.delimiter = ""
        self.note = ""
        self.is_tsv = self.is_utf16 = False
        self.is_json = columns is not None and suffix(self.path) in JSON
        self.rest = self._read(source, width, columns)
        self.block: list[tuple[int, list[str]]] = []
        size = 0
        for line, row in self.rest:
            self.block.append((line, row))
            size += sum(map(len, row))
            if len(self.block) == BLOCK or size > BLOCK_CHARS:
                break
        self.line = self.block[-1][0] if self.block else 0
        self.is_named = [line for line, _ in self.block[:1]] == [0]

    @property
    def rows(self) -> Iterator[tuple[int, list[str]]]:
        r"""All rows, once."""
        return chain(self.block, self.rest)

    def _read(
        self, source: "str | pd.DataFrame", width: int, columns: Sequence[Column] | None
    ) -> Iterator[tuple[int, list[str]]]:
        if not isinstance(source, str):
            return _frame_rows(source)
        kind = suffix(source)
        if kind in GRAPHS:
            return _graph_rows(source)
        if kind not in TABLES:
            raise ValueError(
                f"'{source}' is no table, expected one of {list(TABLES)} (text also as .gz)"
            )
        if kind in JSON:
            return _json_rows(source, _json_entries(source, columns), columns)
        if kind in BINARY:
            return _pandas_rows(source)
        lines = read_lines(source, others=True)
        sample = list(islice(lines, SAMPLE))
        self.delimiter = SEPARATORS[kind]
        if mark := re.fullmatch(r"sep=([,;|\t])\s*", "".join(sample[:1])):  # Excel's own.
            self.delimiter, sample[0] = mark[1], "\n"
        elif found := find_delimiter(sample, self.delimiter, width):
            self.delimiter = found
        if self.delimiter != SEPARATORS[kind]:
            self.note = f"separated by {WORDS[self.delimiter]}"
        self.is_utf16 = is_utf16(source)
        if self.is_utf16:
            self.note += f"{self.note and ', '}in UTF-16"
        lines = chain(sample, lines)
        self.is_tsv = self.delimiter == "\t" and kind != ".csv"
        if self.is_tsv:
            return ((i, x.rstrip("\r\n").split("\t")) for i, x in enumerate(lines, 1) if x.strip())
        if self.delimiter == " ":
            return ((i, x.split()) for i, x in enumerate(lines, 1) if x.strip())
        rows = _csv_rows(source, lines, self.delimiter)
        begin = list(islice(rows, 1))
        if columns is None and begin and {*begin[0][1]} >= {*APOC}:
            self.delimiter = ""  # As its lines are no rows any more.
            return _json_rows(source, _apoc_entries(begin[0][1], rows), None)
        return chain(begin, rows)


def find_delimiter(sample: Sequence[str], default: str, width: int) -> str | None:
    r"""Returns what separates all lines of a sample into the same number of fields, which is not
    less than a width, or most of them. Spaces separate nothing but numbers, as OpenKE has them.
    """
    lines = [line for line in sample if line.strip()]
    lines = lines[1:] if len(lines) > 1 and lines[0].strip().isdecimal() else lines
    if lines and all(re.fullmatch(r"\s*\d+ +\d+ +\d+\s*", line) for line in lines):
        return " "
    shares = {}
    for delimiter in sorted("\t,;|", key=lambda x: x != default):
        rows = [line.split("\t") for line in lines]
        if delimiter != "\t" or default == ",":
            with suppress(csv.Error):  # Of an open quote, say.
                rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
        rows = rows[:-1] if len(sample) == SAMPLE else rows  # The last one may go on.
        (size, number), *_ = Counter(map(len, rows)).most_common(1) or [(0, 0)]
        if size >= width:
            shares[delimiter] = number / len(rows)
    # Names have commas, but no tabs:
    constant = [x for x in sorted(shares, key=lambda x: x != "\t") if shares[x] == 1]
    return next(iter([*constant, *(x for x in shares if x == default)]), max(shares, default=None))


def _csv_rows(path: str, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    # Texts may be longer than the module allows:
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=delimiter)
    line = 1
    try:
        for row in reader:
            if "".join(row).strip():
                yield line, row
            line = reader.line_num + 1
    except csv.Error as e:
        reason = "a carriage return is no end of a line" if "new-line character" in str(e) else e
        raise ValueError(
            f"{where(path, line)}: the row that begins here is no CSV ({reason})"
        ) from e


def _pandas_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    # The names of the columns of a Parquet file come first, in row 0.
    read = "torch_imf.io.frames:read_frame"
    with readable(path), on_disk(path) as file:
        chunks = confined(read, file, path, told=f"'{path}'", instead="save it as TSV")
        size, *sheets = cast("list[str]", next(chunks))
        if sheets[1:]:
            warn(f"'{path}': the first sheet is read, and {sheets[1:]} are left out")
        start = int(bool(sheets))
        with watched(what="Reading", total=int(size) or None) as bar:
            for chunk in cast("Iterator[list[list[str]] | int]", chunks):
                if isinstance(chunk, int):
                    bar.update(chunk)
                    continue
                bar.update(0 if sheets else len(chunk))
                numbered = enumerate(chunk, start=start)
                yield from ((i, row) for i, row in numbered if i == 0 or "".join(row).strip())
                start += len(chunk)


def _frame_rows(frame: "pd.DataFrame") -> Iterator[tuple[int, list[str]]]:
    frame = frame.reset_index() if any(frame.index.names) else frame
    # Numbers are no names of columns.
    if not all(isinstance(name, int) for name in frame.columns):
        yield 0, list(map(str, frame.columns))
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    yield from enumerate(([_cell(x) for x in row] for row in cells), start=1)


def _graph_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    import networkx as nx

    with readable(path), reading(path) as file:
        try:
            graph = nx.read_graphml(file, force_multigraph=True)
        except OSError:
            raise
        except Exception as e:  # A damaged file can make a reader raise anything.
            raise ValueError(f"'{path}' cannot be read as GraphML ({e})") from e
    yield from graph_rows(graph, path)


def graph_rows(graph: Any, path: str = "") -> Iterator[tuple[int, list[str]]]:
    r"""Yields the edges of a graph of NetworkX as rows of a table, each with its number, names of
    the columns first. Where edges have no attributes, their keys may tell relations.
    """
    what, edges = f"'{path}'" if path else "The graph", list(graph.edges(data=True))
    if not graph.is_directed():
        warn(f"{what} is undirected: the end that an edge names first is taken for the head")
    if not any(values for *_, values in edges):
        keyed = list(graph.edges) if graph.is_multigraph() else []
        edges = [(head, tail, {"relation": key}) for head, tail, key in keyed]
        # Numbers are made up by NetworkX, and an id of each edge by others:
        found = {key for *_, key in keyed}
        is_id = bool(path) and len(found) == len(keyed)
        if is_id or not found or not all(isinstance(key, str) for key in found):
            raise ValueError(
                f"{what} has no edges that tell their relation. Give them an attribute 'relation'"
            )
    _tell_left({key for _, values in graph.nodes(data=True) for key in values})
    keys = list(dict.fromkeys(key for *_, values in edges for key in values))
    about = {node: _about(values) for node, values in graph.nodes(data=True)}
    yield 0, [*(f"{end}_{x}" for x in ("id", "name", "types") for end in ("head", "tail")), *keys]
    for i, (head, tail, values) in enumerate(edges, start=1):
        pairs = zip(about[head], about[tail], strict=True)
        yield i, list(map(_cell, [head, tail, *chain(*pairs), *(values.get(x) for x in keys)]))


def _tell_left(attributes: Iterable[str]) -> None:
    if left := sorted({*map(str, attributes)} - {*TYPES_OF_NODES, *NAMES_OF_NODES}):
        warn(
            f"The attributes {left} of nodes are left out: give them as tables of texts or numbers"
        )


def _about(values: Mapping[str, Any]) -> tuple[str, str]:
    # The name and the types of a node, as its attributes tell them.
    types = next((values[x] for x in TYPES_OF_NODES if values.get(x)), "")
    name = next((values[x] for x in NAMES_OF_NODES if values.get(x)), "")
    return str(name), ";".join(types) if isinstance(types, list | tuple) else str(types)


def _apoc_entries(
    header: list[str], rows: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, object]]:
    # A table of nodes and relationships by APOC, as it writes them in JSON.
    for line, row in rows:
        cells = dict(zip(header, row, strict=False))
        node, labels, start, end, label = (cells.pop(name, "") for name in APOC)
        properties = {name: x for name, x in cells.items() if x and node}
        about = {"id": node, "labels": labels.split(":")[1:], "properties": properties}
        ends = {"start": start, "end": end, "label": label}
        yield line, {"type": "node", **about} if node else {"type": "relationship", **ends}


def _json_rows(
    path: str, entries: Iterator[tuple[int, object]], columns: Sequence[Column] | None
) -> Iterator[tuple[int, list[str]]]:
    if columns is not None:
        for line, entry in entries:
            yield line, _from_object(entry, where(path, line), columns)
        return
    block = list(islice(entries, BLOCK))
    first = block[0][1] if block else None
    if isinstance(first, dict) and "id" in first and first.get("type") in ("node", "relationship"):
        entries = _relationships(chain(block, entries))
        block = list(islice(entries, BLOCK))
    keys = list(dict.fromkeys(key for _, x in block if isinstance(x, dict) for key in x))
    if keys:
        yield 0, keys
    for line, entry in chain(block, entries):
        if keys and isinstance(entry, dict):
            yield line, [_cell(entry.get(x)) for x in keys]
        elif not keys and isinstance(entry, list):
            yield line, list(map(_cell, entry))
        else:
            raise ValueError(
                f"{where(path, line)}: expected an object with keys, or a list of three names, as "
                f"in all lines (got {short(entry)})"
            )


def _relationships(entries: Iterable[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    # As APOC exports a graph of Neo4j, nodes first.
    about: dict[object, tuple[str, str]] = {}
    attributes: set[str] = set()
    for line, entry in entries:
        if not isinstance(entry, dict):
            continue
        ends: dict[str, Any] = {"": entry} if entry.get("type") == "node" else {}
        if entry.get("type") == "relationship":
            ends = {"head": entry.get("start"), "tail": entry.get("end")}
        row = {"relation": entry.get("label")}
        for end, node in ends.items():
            node = node if isinstance(node, dict) else {"id": node}
            labels = {"labels": node.get("labels")}
            attributes |= {*(node.get("properties") or {})}
            found = _about({**(node.get("properties") or {}), **labels, "type": ""})
            name, types = map(max, found, about.get(node.get("id"), found))
            about[node.get("id")] = name, types
            row |= {f"{end}_id": node.get("id"), f"{end}_name": name, f"{end}_types": types}
        if "head" in ends:
            yield line, row
    _tell_left(attributes)


def _with_nodes(facts: list[Any] | None, nodes: Sequence[Any]) -> list[Any] | None:
    # With the names and types of the nodes that stand beside facts, as NetworkX and APOC have them.
    if not facts or not all(isinstance(x, dict) and "id" in x for x in nodes):
        return facts
    if isinstance(facts[0], dict) and facts[0].get("type") == "relationship":
        return [*nodes, *facts]
    about = {str(x["id"]): _about(x) for x in nodes}
    _tell_left({key for x in nodes for key in x} - {"id"})
    for fact in facts:
        for end in ("source", "target"):
            if isinstance(fact, dict) and str(fact.get(end)) in about:
                values = about[str(fact[end])]
                fact |= dict(zip((f"{end}_name", f"{end}_types"), values, strict=True))
    return facts


def _json_entries(path: str, columns: Sequence[Column] | None) -> Iterator[tuple[int, object]]:
    rest = enumerate(read_lines(path, others=True), start=1)
    begin = list(islice(rest, 2))
    lines = chain(begin, rest)
    # APOC calls lines of objects '.json', too:
    if suffix(path) != ".json" or re.match(r"\{.*\}\s*\n\{", "".join(x for _, x in begin)):
        for line, text in lines:
            if text.strip():
                yield line, _parse(text, path, line)
        return
    file = io.StringIO()
    for line, text in lines:
        file.write(text)
        if file.tell() > LARGEST:
            raise ValueError(
                f"'{path}', line {line}: this JSON has more than {LARGEST:,} characters, save it "
                f"as JSONL"
            )
    content = _parse(file.getvalue(), path)
    if isinstance(content, dict) and not columns:  # Around the facts.
        lists = {key: x for key, x in content.items() if isinstance(x, list)}
        if len({"train", "valid", "val", "validation", "dev", "test"} & {*lists}) > 1:
            raise ValueError(f"'{path}': save each of the splits {[*lists]} in a file of its own")
        key = next((x for x in (*FACT_LISTS, *lists) if x in lists and x != "nodes"), "")
        if left := [x for x in lists if x not in (key, "nodes")]:
            warn(f"'{path}': the facts are those of '{key}', and {left} are left out")
        content = _with_nodes(lists.get(key), lists.get("nodes", ()))
    elif isinstance(content, dict) and columns:
        key, value = columns[0].name, columns[1].name
        values = [x if isinstance(x, dict) else {value: x} for x in content.values()]
        content = [{**x, key: name} for name, x in zip(content, values, strict=True)]
    if not isinstance(content, list):
        kind = (
            "a list of facts" if columns is None else "an object of entities, or a list of objects"
        )
        raise ValueError(f"'{path}': expected {kind}")
    yield from enumerate(content, start=1)


def _parse(text: str, path: str, line: int = 1) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"'{path}', line {line}: the key {short(twice)} occurs twice")
        return dict(pairs)

    def refuse(name: str) -> object:
        raise ValueError(f"'{path}', line {line}: {name} is no JSON, and no name")

    try:
        # Python refuses integers of thousands of digits:
        return json.loads(text, object_pairs_hook=unique, parse_int=str, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError) as e:  # Nested too deeply.
        line += getattr(e, "lineno", 1) - 1
        reason = f"column {e.colno}: {e.msg}" if isinstance(e, json.JSONDecodeError) else e
        raise ValueError(
            f"'{path}', line {line}: this is no JSON that can be read ({reason})"
        ) from e


def _from_object(entry: object, place: str, columns: Sequence[Column]) -> list[str]:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected an object with keys (got {short(entry)})")
    fields = []
    for column in columns:
        key = next((word for word in column.words if word in entry), None)
        if key is None and column.required:
            raise ValueError(
                f"{place}: there is no {column.name} (got {short(entry)}), expected one of the "
                f"keys {list(column.words)}"
            )
        value = None if key is None else entry[key]
        if column.name == "type" and isinstance(value, list):
            value = ";".join(map(str, value))
        fields.append(_cell(value))
    return fields


def _cell(value: object) -> str:
    # What is no text begins with what no text holds, and is refused if it is asked for.
    if isinstance(value, bool | dict | list) or SURROGATE.search(str(value)):
        return f"\0{short(value)}"
    return "" if value is None else str(value)


@dataclass
class Layout:
    r"""Where the columns of a table are: the place of each, :obj:`None` for one that is not there,
    how many fields a row has, and what to do if one has others.
    """

    columns: Sequence[Column]
    index: list[int | None]
    width: int
    hint: str = ""

    def pick(self, table: Table, line: int, row: list[str]) -> list[str] | None:
        r"""Returns the fields of a row, :obj:`None` if a table of many columns has none of them."""
        self.check(table, line, row)
        fields = ["" if i is None else normalized(row[i]) for i in self.index]
        if not any(fields) and self.width > len({*self.index} - {None}):
            return None
        for field, column in zip(fields, self.columns, strict=True):
            if field == "" and column.required and not column.blank:
                raise ValueError(f"{where(table.path, line)}: the {column.name} is empty")
            if field[:1] == "\0":
                place = where(table.path, line)
                raise ValueError(f"{place}: the {column.name} is no text (got {field[1:]})")
        return fields

    def check(self, table: Table, line: int, row: list[str]) -> None:
        r"""Raises a :class:`ValueError` if a row has another number of fields."""
        if len(row) != self.width:
            kind = WORDS.get(table.delimiter, "")
            quoted = table.delimiter == "\t" and any(x.count('"') % 2 for x in row)
            hint = ". Quotes are part of names in TSV, save cells with line breaks as CSV"
            raise ValueError(
                f"{where(table.path, line)}: expected {self.width} fields"
                f"{kind and ' separated by '}{kind} ({required(self.columns)}), got {len(row)}: "
                f"{short(row)}{hint * quoted}{self.hint}"
            )

    def read_rest(
        self, table: Table, first: list["pa.ChunkedArray"]
    ) -> list["pa.DictionaryArray"] | None:
        r"""Returns the columns of text without quotes, given those of its first rows, :obj:`None`
        if these are all, or others need to be read row by row.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv

        has_lines = table.delimiter and table.delimiter != " " and not table.is_utf16
        if not has_lines or len(table.block) < BLOCK // 2:
            return None
        if not (table.is_tsv or is_plain(table.path)):
            return None
        names = list(map(str, range(self.width)))
        types = dict.fromkeys(names, pa.string())
        types |= {
            str(i): pa.dictionary(pa.int32(), pa.string()) for i in self.index if i is not None
        }
        with readable(table.path), reading(table.path) as file:
            for _ in range(table.line):
                file.readline()
            try:
                found = csv.read_csv(
                    file,
                    csv.ReadOptions(column_names=names, block_size=1 << 24),
                    csv.ParseOptions(delimiter=table.delimiter, quote_char=False),
                    csv.ConvertOptions(column_types=types),
                )
            except pa.ArrowInvalid:
                return None
        out = []
        for i, begin, column in zip(self.index, first, self.columns, strict=True):
            rest = pa.repeat("", len(found)) if i is None else found.column(str(i))
            x = coded(begin, rest)
            seen = pc.utf8_trim(pc.utf8_trim_whitespace(x.dictionary), UNSEEN)
            seen = pc.utf8_trim_whitespace(seen)
            # Not by `utf8_normalize`, which does not compose in every version of pyarrow:
            others = pc.invert(pc.string_is_ascii(seen))
            words = [unicodedata.normalize("NFC", name) for name in seen.filter(others).to_pylist()]
            seen = pc.replace_with_mask(seen, others, pa.array(words, pa.string()))
            is_empty = column.required and not column.blank and pc.any(pc.equal(seen, "")).as_py()
            if is_empty or pc.any(pc.match_substring(seen, "\0")).as_py():
                return None
            out.append(pa.DictionaryArray.from_arrays(x.indices, seen))
        return out


def normalized(text: str) -> str:
    r"""Returns a text without white space and :obj:`UNSEEN` around it, in the one normal form of
    Unicode that names have here.
    """
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text.strip(UNSEEN).strip())


def required(columns: Sequence[Column]) -> str:
    r"""Returns the names of the columns that a table needs."""
    return ", ".join(column.name for column in columns if column.required)


def find_columns(table: Table, columns: Sequence[Column], header: bool | None) -> Layout:
    r"""Returns where the columns of a table are, by the words in its first row if that is a header,
    which is taken off.
    """
    number = count()
    index = [next(number) if column.required else None for column in columns]
    if table.is_json or not table.block:  # Whose rows have the fields of all columns.
        return Layout(columns, list(range(len(columns))), len(columns))
    (line, row), place = table.block[0], where(table.path, table.block[0][0])
    header = True if suffix(table.path) in PARQUET else header
    check_quotes(table)
    names = list(map(simplify, row))
    words = [list(map(simplify, column.words)) for column in columns]
    found = [next((names.index(x) for x in group if x in names), None) for group in words]
    pairs = zip(found, columns, strict=True)
    if header is not False and all(i is not None or not column.required for i, column in pairs):
        for name in (x for x in names if names.count(x) > 1 and x in chain(*words)):
            raise ValueError(f"{place}: the header has '{name}' twice (got {short(row)})")
        if others := [field for i, field in enumerate(row) if i not in found]:
            warn(f"'{table.path}': the columns {others} are left out")
        del table.block[0]
        return Layout(columns, found, len(row))
    known = [name in chain(*words) and len(name) > 1 for name in names]  # Letters may be all.
    if any(known) and header is not False:
        message = (
            f"{place}: {short(row)} names columns, but not all of {required(columns)}. If it is a "
            f"header, name these; if not, pass 'header=False'"
        )
        if all(known):
            raise ValueError(message)
        warn(message)
    width = next(number)
    if header:
        Layout(columns, index, width).check(table, line, row)
        del table.block[0]
    return Layout(columns, index, width)


def check_quotes(table: Table) -> None:
    r"""Warns if quotes that the first row begins with are part of its fields."""
    (line, row), *_ = table.block
    quotes = {x[:1] if x[:1] == x[-1:] else "" for x in map(str.strip, row)}
    if quotes == {"'"} or (table.delimiter == "\t" and '"' in quotes):
        end = "in TSV, not in CSV" if '"' in quotes else "(but double ones in CSV)"
        place = where(table.path, line)
        warn(f"{place}: {short(row)} is in quotes, which are part of names {end}")


def simplify(field: str) -> str:
    r"""Returns the name of a column without case and what separates words. Neo4j writes
    :obj:`personId:ID(Person)`, :obj:`:LABEL` and :obj:`name:string`.
    """
    name, _, kind = re.sub(r"\(.*\)$", "", field.strip()).rpartition(":")
    if kind in ("ID", "LABEL"):
        return "id" if kind == "ID" else "labels"
    field = name if name and kind.lower().removesuffix("[]") in NEO4J else field
    return re.sub(r"[\W_]+", "", field).lower() or field.strip()
