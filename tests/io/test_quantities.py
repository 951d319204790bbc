import math

import pytest

from torch_imf.io.quantities import to_number, to_numbers


@pytest.mark.parametrize(
    "text, value",
    [
        ("1.5", 1.5),
        ("1961-8-4", 1961 + 7 / 12 + 3 / 365),
        ("1961-00-00", 1961.0),  # Parts that are not known.
        ("0800-12-25", 800 + 11 / 12 + 24 / 365),
        ("-63-9-23", -63 + 8 / 12 + 22 / 365),  # Later in the year is later.
        ("-0004-02-29", -4 + 1 / 12 + 28 / 365),
        ("2020-01-02T12:00Z", 2020 + 1.5 / 365),
        ("2020-01-02 03:04:05.5+02:00", 2020 + (1 + 3845.5 / 86_400) / 365),
        *((x, math.nan) for x in ("2020-13-45", "2021-02-29", "1999-13", "soon", "", "12:30")),
        *((x, math.nan) for x in ("2020-01-02T25:00", "2020-13-01T03:04:05Z")),
        ("+1879-03-14T00:00:00Z", 1879 + 2 / 12 + 13 / 365),  # As of Wikidata,
        ("+1879-03-00T00:00:00Z", 1879 + 2 / 12),  # which may know no day,
        ("-0428-00-00T00:00:00Z", -428.0),  # nor a month.
        ("1879-11", 1879 + 10 / 12),
        ("14.03.1879", 1879 + 2 / 12 + 13 / 365),
        ("1879-03-14Z", 1879 + 2 / 12 + 13 / 365),
        ('"1879"^^<http://www.w3.org/2001/XMLSchema#gYear>', 1879.0),
        ('"-2.5e3"^^xsd:double', -2500.0),
        ('"1879-03-14"^^xsd:date', 1879 + 2 / 12 + 13 / 365),
        ("\u22125", -5.0),  # A minus sign.
        *((x, math.nan) for x in ("1879-14-03", "14-03-79", "11-12-10", "79-3-14", "03.14.1879")),
        *((x, math.nan) for x in ("3-16-148410-0", "978-3-16-148410-0", "1879-00", "1-2", "true")),
        *((f"{year}-01-01", math.nan) for year in ("9" * 400, "-" + "9" * 5000)),
    ],
)
def test_to_number(text, value):
    assert to_number(text) == pytest.approx(value, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "cells, values, notes",
    [
        (["7", "2.5", "1e3"], [7, 2.5, 1000], []),
        (["2,5", "1.048,5", "7"], [2.5, 1048.5, 7], ["decimal commas, as in 'x 2,5'"]),
        (["1,048.5", "12,345,678"], [1048.5, 12345678], ["thousands set apart"]),
        (["3,048", "7,125"], [3048, 7125], ["thousands set apart, as in 'x 3,048'"]),
        (["3,048", "0,125"], [3.048, 0.125], ["decimal commas"]),
        (["3.048", "0.125"], [3.048, 0.125], []),
        (["3.048", "1.024.000"], [3048, 1024000], ["decimal commas"]),
        (["1 048", "12'345"], [1048, 12345], ["thousands set apart"]),
        (["95 min", "102 min"], [95, 102], ["units are left out, as in 'x min'"]),
        (["1 hour", "3 hours"], [1, 3], ["as in 'x hour'"]),
        (["12%", "7,5 %"], [12, 7.5], ["decimal commas", "as in 'x %'"]),
        (["$1,200", "$15"], [1200, 15], ["thousands set apart", "as in 'x $'"]),
        (["30 km2", "1.5km2"], [30, 1.5], ["as in 'x km2'"]),
        (["6 ft 2 in", "44 BC", "1.2.3", "1,2,3", "10:30", "5-7"], [math.nan] * 6, []),
        (["1879", "14.03.1879"], [1879, to_number("1879-03-14")], []),
    ],
)
def test_to_numbers(cells, values, notes):
    found, told = to_numbers(cells, ["x"] * len(cells), [""] * len(cells))
    assert found == pytest.approx(values, nan_ok=True)
    assert len(told) == len(notes) and all(map(str.__contains__, told, notes))


def test_other_attributes_tell_what_a_comma_is():
    cells, names = ["3,048", "0,5", "2.048"], ["a", "b", "c"]
    assert to_numbers(cells, names, [""] * 3)[0] == [3.048, 0.5, 2048]
    assert to_numbers(cells[:2] + ["2.5"], names, [""] * 3)[0] == [
        3048,
        0.5,
        2.5,
    ]  # Both are there.


@pytest.mark.parametrize(
    "cells, units, message",
    [
        (["2,5", "2.5"], ["", ""], "'x' has decimal points and decimal commas .as '2,5', '2.5'"),
        (["2 kg", "2 lb"], ["", ""], "several units, or some have none .as '2 kg', '2 lb'"),
        (["2", "2"], ["kg", "g"], "several units, .* .as '2 kg', '2 g'.. Please convert"),
        (['"2"^^<http://u.org/kg>', '"2"^^xsd:int'], ["", ""], "several units, .* .as .*kg"),
        (["2 m", "2"], ["", ""], "several units, .* .as '2 m', '2'"),
    ],
)
def test_numbers_that_cannot_be_compared(cells, units, message):
    with pytest.raises(ValueError, match=message):
        to_numbers(cells, ["x"] * 2, units)
