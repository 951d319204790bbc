r"""Numbers as people write them: with units, with separators of thousands or decimal commas, as
dates, and as typed literals of RDF.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime

from torch_imf.io import some
from torch_imf.io.tables import short

DATE = re.compile(
    r"\+?(-\d{1,12}|\d{4,12})-(\d\d?)(?:-(\d\d?)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?)?(?:[Zz]|([+-]\d\d):?(\d\d))?)?"
)
DOTTED = re.compile(r"^(\d\d?)\.(\d\d?)\.(\d{4})$")
TYPED = re.compile(r'"([^"]*)"(?:\^\^(\S+)|@[\w-]+)?')
# A sign, digits with points, commas, apostrophes and spaces, and a unit before or after them, which
# is neither an exponent nor an era:
QUANTITY = re.compile(
    r"(?=.{1,64}\Z)([$€£¥₹]|EUR|USD|GBP|CHF|JPY|CNY|INR)?\s*([+-]?)(\d(?:[\d.,'’\s]*\d)?|[.,]\d+)"
    r"\s*((?!e\d|e[+-]|b\.?c)(?:[^\W\d_]|[%‰°$€£¥₹])\D*[23²³]?)?",
    re.IGNORECASE,
)
DECIMAL = re.compile(r"[+-]?\d*\.\d+")
MISSING = {"", "na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "-", "--", "–", "—", "?", r"\n"}


def to_number(text: str) -> float:
    r"""Returns a number, or a date or a time as a year with a fraction, and NaN for anything else.

    Dates are those of ISO 8601, with or without a day (:obj:`"1952-03"`) or a time, whose years
    have four digits or more, or are negative, and whose days and months are zero if they are not
    known (:obj:`"-63-9-0"`), or day, month and year with points (:obj:`"25.05.1979"`). All may be
    quoted as in RDF (:obj:`'"1952"^^<http://www.w3.org/2001/XMLSchema#gYear>'`).
    """
    typed = TYPED.fullmatch(text.strip())
    text = (typed[1] if typed else text).strip().replace("\u2212", "-")
    match = DATE.fullmatch(DOTTED.sub(r"\3-\2-\1", text))
    try:
        if match is None:
            return float(text)
        parts = [int(part or 0) for i, part in enumerate(match.groups()) if i != 5]
        year, month, day, hour, minute, zone, zone_minute = parts
        if match[3] is None and (month == 0 or len(match[1].lstrip("-")) < 4):
            return math.nan
        # Raises if there is no such time; the leap years of a calendar repeat every 400 years:
        second, month, day = float(match[6] or 0), max(month, 1), max(day, 1)
        datetime(2000 + year % 400, month, day, hour, minute, int(second))
        zone_minute = -zone_minute if (match[7] or "").startswith("-") else zone_minute
        days = day - 1 + (hour - zone + (minute - zone_minute + second / 60) / 60) / 24
        return year + (month - 1) / 12 + days / 365
    except ValueError:
        return math.nan


def unit_of(text: str) -> str | None:
    r"""Returns the unit of a number, a date or a quantity, :obj:`None` for any other text."""
    if math.isfinite(to_number(text)):
        typed = TYPED.fullmatch(text.strip())
        return datatype_unit(typed[2] or "") if typed else ""
    match = QUANTITY.fullmatch(text)
    return _unit(match[1], match[4]) if match else None


def datatype_unit(datatype: str) -> str:
    r"""Returns the unit that a datatype of RDF stands for, nothing for those of XML Schema."""
    is_plain = re.match(r"<?(xsd:|.*XMLSchema#)", datatype)
    return "" if is_plain else re.split("[/#:]", datatype.strip("<>"))[-1]


def to_numbers(
    cells: Sequence[str], attributes: Sequence[str], units: Sequence[str]
) -> tuple[list[float], list[str]]:
    r"""Returns the value of each cell of a table, NaN for one that is no number, and notes on how
    they were read.

    The unit of a number, in its cell or beside it, is left out if it is that of all numbers of an
    attribute. Whether a comma is a decimal mark or separates thousands is told by the other numbers
    of the attribute, or else by those of the table; if none tells, it separates thousands.

    Raises:
        ValueError: If an attribute has several units, or both decimal points and decimal commas.
    """
    values = [to_number(cell) for cell in cells]
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(attributes):
        rows.setdefault(name, []).append(i)
    texts = [cell.strip().replace("\u2212", "-") for cell in cells]
    # Those that are more than digits, and no date:
    found = {
        i: match
        for i, (text, value) in enumerate(zip(texts, values, strict=True))
        if not math.isfinite(value) or DECIMAL.fullmatch(text)
        if (match := QUANTITY.fullmatch(text))
    }
    proof = {i: mark for i, match in found.items() if (mark := _proves(match[3]))}
    overall = set(proof.values())
    notes: dict[str, dict[str, str]] = {}  # By what was done: an example of each attribute.
    for name, of_name in rows.items():
        marks = {proof[i]: cells[i] for i in of_name if i in proof}
        if len(marks) > 1:
            both = some(list(marks.values()))
            raise ValueError(f"{short(name)} has decimal points and decimal commas (as {both})")
        mark = next(iter(marks or (overall if len(overall) == 1 else ".")))
        units_of: dict[str, str] = {}
        for i in of_name:
            match = found.get(i)
            if match is not None:
                values[i] = _parse(match[2] + match[3], mark)
            if math.isfinite(values[i]):
                inner = (match[1], match[4]) if match else ()
                unit = _unit(*inner, "" if match else unit_of(cells[i]), units[i])
                units_of.setdefault(unit, f"{cells[i]} {units[i]}".strip())
            is_special = match and re.search(r"[^\d.]" if mark == "." else r"\D", match[3])
            if match and is_special and math.isfinite(values[i]):
                how = "decimal commas" if mark == "," else "thousands set apart"
                notes.setdefault(f"numbers have {how}", {}).setdefault(name, f"{name} {match[3]}")
        if len(units_of) > 1:
            raise ValueError(
                f"The numbers of {short(name)} have several units, or some have none (as "
                f"{some(list(units_of.values()))}). Please convert them to one"
            )
        for unit in filter(None, units_of):
            notes.setdefault("units are left out", {})[name] = f"{name} {unit}"
    return values, [f"{note}, as in {some(list(found.values()))}" for note, found in notes.items()]


def _unit(*parts: str | None) -> str:
    # What is measured, in the singular.
    unit = " ".join(part.strip() for part in parts if part and part.strip())
    return unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit


def _proves(digits: str) -> str:
    # The decimal mark that a number must have been written with, if it could not be the other one.
    can_be = [mark for mark in ".," if math.isfinite(_parse(digits, mark))]
    return can_be[0] if len(can_be) == 1 else ""


def _parse(digits: str, mark: str) -> float:
    # A number with a decimal mark, and perhaps another one between groups of three digits.
    other = "," if mark == "." else "."
    groups = rf"[+-]?(?:[1-9]\d{{0,2}}([{other}'’\s])\d{{3}}(?:\1\d{{3}})*|\d*)"
    whole, _, rest = digits.partition(mark)
    if not re.fullmatch(groups, whole) or not re.fullmatch(r"\d*", rest):
        return math.nan
    return float(f"{re.sub(r'[^0-9+-]', '', whole)}.{rest or 0}")
