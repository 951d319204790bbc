import pytest

from torch_imf import datasets
from torch_imf.datasets.stats import read_stats
from torch_imf.registry import class_names

SPLITS = ["#train", "#val", "#test"]


class Plain:
    """No table."""


class Table:
    r"""A dataset.

    * - not
      - yet

    **STATS:**

    .. list-table::
        :widths: 10 10 10
        :header-rows: 1

        * - version
          - #entities
          - with text
        * - new
          - 1,200
          - 3
        * - old
          - 7
          - -
    """


def test_read_stats():
    assert read_stats(Table) == [
        {"version": "new", "#entities": "1,200", "with text": "3"},
        {"version": "old", "#entities": "7", "with text": "-"},
    ]
    assert read_stats(Plain) == []
    assert read_stats(type("None", (), {})) == []


def test_read_stats_of_uneven_rows():
    class Uneven:
        """**STATS:**

        * - a
          - b
        * - 1
        """

    with pytest.raises(ValueError, match="zip"):
        read_stats(Uneven)


@pytest.mark.parametrize("name", [x for x in class_names("dataset") if x != "FakeMMKG"])
def test_every_dataset_has_a_table(name):
    cls = getattr(datasets, name)
    rows = read_stats(cls)
    assert [row.get("version") for row in rows] == list(cls.versions or (None,))
    for row in rows:
        for column in ["#entities", "#relations", *SPLITS]:
            assert int(row[column].replace(",", "")) > 0
        covered = {key.removeprefix("with ") for key in row if key.startswith("with ")}
        expected = {"text": "description", "visual": "images", "numeric": "numbers"}
        assert covered == {expected[modality] for modality in cls.modalities}
