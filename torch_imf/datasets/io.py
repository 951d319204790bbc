import gzip
import io
import math
import re
import tarfile
import zlib

from torch_imf.io.atomic import read_bytes

DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error)


def read_text(path: str) -> str:
    r"""Reads a UTF-8 file, with its line ends turned into :obj:`"\\n"`. One
    whose name ends in :obj:`.gz` is unpacked.

    Raises:
        ValueError: If the file is not valid UTF-8, or damaged.
    """
    content = read_bytes(path)
    if path.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except DAMAGED as e:
            raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    return decode(content, path)


def read_tar(path: str, names: list[str]) -> list[str]:
    r"""Reads text members of a tar archive in memory; nothing is extracted, so
    no name inside the archive can touch the file system.

    Raises:
        ValueError: If the archive lacks one of :obj:`names`, or is damaged.
    """
    texts = {}
    content = read_bytes(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and name in names:
                    file = archive.extractfile(member)
                    assert file is not None
                    texts[name] = decode(file.read(), f"{path}:{name}")
    except DAMAGED as e:
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e

    missing = [name for name in names if name not in texts]
    if len(missing) > 0:
        raise ValueError(f"'{path}' holds no {missing}")
    return [texts[name] for name in names]


def decode(content: bytes, file: str) -> str:
    r"""Decodes the content of a UTF-8 file, see :meth:`read_text`."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise ValueError(f"'{file}', line {line}: not valid UTF-8 ({e.reason})") from e


def split_rows(
    text: str,
    file: str,
    columns: int,
    header: bool = False,
    sep: str = "\t",
) -> list[list[str]]:
    r"""Splits the lines of a file of rows. Empty lines are skipped only at its
    end.

    Args:
        text (str): The content of the file.
        file (str): The name of the file, for error messages.
        columns (int): The number of fields in every line.
        header (bool, optional): Whether to leave the first line out.
            (default: :obj:`False`)
        sep (str, optional): What separates fields. (default: :obj:`"\\t"`)

    Raises:
        ValueError: If a line has another number of fields.
    """
    rows = [line.split(sep) for line in text.rstrip("\n").split("\n")] if text.strip() else []
    kind = "tabs" if sep == "\t" else repr(sep)
    for i, row in enumerate(rows):
        if len(row) != columns:
            raise ValueError(
                f"'{file}', line {i + 1}: expected {columns} fields separated by {kind} "
                f"(got {short(row)})"
            )
    return rows[1:] if header else rows


def read_pairs(path: str) -> dict[str, str]:
    r"""Reads a file of names and texts, one pair in each line.

    Raises:
        ValueError: If a line cannot be read.
    """
    return {name: text for name, text in split_rows(read_text(path), path, columns=2)}


def read_links(path: str) -> list[tuple[str, str]]:
    r"""Reads the links of MMKB, :obj:`<Freebase id> <SameAs> <name> .` in each
    line, as pairs of a name and a Freebase id. An entity may have several.

    Raises:
        ValueError: If a line cannot be read.
    """
    rows = split_rows(read_text(path), path, columns=4, sep=" ")
    return [(name, node) for node, _, name, _ in rows]


def read_literals(
    path: str,
    sep: str = "\t",
    header: bool = False,
) -> tuple[list[str], list[str], list[float]]:
    r"""Reads numeric literals: entity, attribute and value in each line. Dates
    count in years.

    Args:
        path (str): The path of the file.
        sep (str, optional): What separates them. (default: :obj:`"\\t"`)
        header (bool, optional): Whether to leave the first line out.
            (default: :obj:`False`)

    Raises:
        ValueError: If a line cannot be read, or a value is neither a finite
            number nor a date.
    """
    nodes, attributes, values = [], [], []
    rows = split_rows(read_text(path), path, 3, header, sep)
    for i, (node, attribute, text) in enumerate(rows, start=int(header)):
        value = to_number(text)
        if not math.isfinite(value):
            raise ValueError(
                f"'{path}', line {i + 1}: expected a number or a date (got {short(text)})"
            )
        nodes.append(node)
        attributes.append(attribute)
        values.append(value)
    return nodes, attributes, values


def to_number(text: str) -> float:
    r"""Returns a number, a date such as :obj:`"-63-9-23"` as a year with a
    fraction, and NaN for anything else.
    """
    date = re.fullmatch(r"(-?\d+)-(\d{1,2})-(\d{1,2})", text)
    if date is not None:  # Parts that are not known are zero.
        year, month, day = (int(part) for part in date.groups())
        return year + (max(month, 1) - 1) / 12 + (max(day, 1) - 1) / 365
    try:
        return float(text)
    except ValueError:
        return math.nan


def short(value: object) -> str:
    r"""Returns a quotation of a value that fits an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
