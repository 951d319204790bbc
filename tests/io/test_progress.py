import gzip
import io
import sys
from functools import partial

import pandas as pd
import pytest

from torch_imf.io import progress
from torch_imf.io.progress import reading, watched
from torch_imf.io.rdf import read_rdf
from torch_imf.io.tables import Column, read_table


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bars_are_for_terminals_and_what_takes_long(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(watched(range(3), "Counting")) == [0, 1, 2]
    assert terminal.getvalue() == ""  # Within seconds.
    monkeypatch.setattr(progress, "DELAY", 0)
    list(watched(range(3), "Counting", mininterval=0))
    assert "Counting:  67%" in terminal.getvalue() and "<00:00" in terminal.getvalue()
    size = len(terminal.getvalue())
    list(watched(range(3), "Counting", shown=False, mininterval=0))
    assert len(terminal.getvalue()) == size
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    list(watched(range(3), "Counting", mininterval=0))
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    "name", ["a.ttl", "a.nt", "a.ttl.gz", "a.tsv", "a.csv.gz", "a.parquet", "a.xlsx"]
)
def test_reading(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    at_once = partial(watched, delay=0, mininterval=0, miniters=1)
    for module in ("progress", "tables"):
        monkeypatch.setattr(f"torch_imf.io.{module}.watched", at_once)
    path, kind = str(tmp_path / name), name.split(".")[1]
    rows = [(f"a{i}", f"b{i}" + 1000 * "b") for i in range(4000)]
    if kind in ("parquet", "xlsx"):
        frame = pd.DataFrame(rows, columns=["entity", "text"])
        frame.to_parquet(path) if kind == "parquet" else frame.to_excel(
            path, header=False, index=False
        )
    else:
        form = {"tsv": "{}\t{}\n", "csv": "{},{}\n"}.get(kind, "<a:{}> <a:r> <a:{}> .\n")
        with (gzip.open if name.endswith(".gz") else open)(path, "wt") as file:
            file.writelines(form.format(*row) for row in rows)
    columns = Column("entity"), Column("text", ids=False)
    found = read_rdf(path) if kind in ("ttl", "nt") else read_table(path, columns)
    assert sum(1 for _ in found) == len(rows)
    bars = [x for x in terminal.getvalue().split("\r") if x.startswith("Reading")]
    shares = [int(x.partition("%")[0].split()[-1]) for x in bars]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 100
    assert len({*shares}) > 2 or name.endswith(".gz") and len({*shares}) == 2


def test_what_is_read_is_the_file(tmp_path):
    content = "".join(f"line {i}\n" for i in range(100_000)).encode()
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    for name in ("a", "a.gz"):
        with reading(str(tmp_path / name)) as file:
            assert file.readline() == b"line 0\n" and file.read(3) == b"lin"
            assert file.read() == content[10:]
