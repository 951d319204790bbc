r"""What is written is read again, whatever the names, and whatever is read is
either a graph or a :class:`ValueError` that names the file.
"""

import csv
import gzip
import json
import os.path as osp
import tempfile
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torch_imf.data import NameIndex
from torch_imf.datasets.own import TEXTS, draw_splits, read_facts, read_numbers, read_texts
from torch_imf.io.archive import unpack
from torch_imf.io.tables import normalized, read_table

few = settings(max_examples=20, derandomize=True, deadline=None, database=None)

# Any characters but half ones and those that are in no text, and names that look like something:
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=8),
    st.sampled_from(['"', '""', '"a"', "a,b", "#", "<a>", "_:a", "head", "http://x.org/a", "a\tb"]),
    st.sampled_from(
        ["a\nb", "a\r\nb", "a\rb", "\ufeffa", "\u2028", "a\x85b", "\\u00e9", "\\", "1"]
    ),
)
# White space around names does not matter, nor does their normal form:
PLAIN = NAMES.map(lambda name: normalized(name).strip()).filter(bool)
FACTS = st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=10)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
GZIP = st.booleans()


def write(folder, name, rows, columns, zipped):
    r"""Writes a table, or what else the name says, and returns its path."""
    path, kind = osp.join(folder, name), osp.splitext(name)[1]
    if kind == ".parquet":
        columns = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
        return path
    path += ".gz" * zipped
    with (gzip.open if zipped else open)(path, "wt", encoding="utf-8", newline="") as file:
        if kind == ".csv":
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
        elif kind == ".tsv":
            file.writelines("\t".join(map(str, row)) + "\n" for row in [columns, *rows])
        elif kind == ".jsonl":
            file.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        elif kind == ".json":
            json.dump(dict(rows), file, ensure_ascii=False)
        else:
            file.writelines(" ".join(map(to_iri, row)) + " .\n" for row in rows)
    return path


def to_iri(name):
    return "<" + "".join(x if x.isalnum() else f"\\U{ord(x):08X}" for x in name) + ">"


def written(kind, rows):
    r"""Returns what a format can hold: fields of TSV hold no tabs and lines."""
    if kind != ".tsv":
        return rows
    fields = [[str(x).replace("\t", " ").replace("\n", " ").strip() for x in row] for row in rows]
    return [row for row in fields if all(row)]


@pytest.mark.filterwarnings("ignore:.*in quotes")
@pytest.mark.parametrize("kind", [".tsv", ".csv", ".nt", ".parquet"])
@few
@given(rows=FACTS, zipped=GZIP)
def test_facts(kind, rows, zipped):
    rows = written(kind, rows) or [("a", "r", "b")]
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, f"facts{kind}", rows, ["head", "relation", "tail"], zipped)
        facts, nodes, rels, counts = read_facts([path])[:4]
    found = [(nodes[head], rels[rel], nodes[tail]) for head, rel, tail in facts[0].t().tolist()]
    assert len(found) == len(set(found)) and set(found) == set(map(tuple, rows))
    repeated = len(rows) - len(found)
    assert counts[path] == {"rows": len(rows), "repeated": repeated, "literals": 0}


@pytest.mark.filterwarnings("ignore:.*in quotes")
@pytest.mark.parametrize("kind", [".tsv", ".csv", ".parquet", ".json", ".jsonl"])
@few
@given(texts=st.dictionaries(PLAIN, PLAIN, min_size=1, max_size=8), zipped=GZIP)
def test_texts(kind, texts, zipped):
    texts = dict(written(kind, list(texts.items())) or [("a", "b")])
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, f"texts{kind}", list(texts.items()), ["entity", "text"], zipped)
        names = NameIndex([*texts, "another"] if "another" not in texts else list(texts))
        _, found, _, counts = read_texts(path, names)
    assert {x: y for x, y in zip(names.node_ids, found, strict=True) if y} == texts
    assert counts == {"rows": len(texts), "unknown": 0}


@pytest.mark.filterwarnings("ignore:.*in quotes")
@pytest.mark.parametrize("kind", [".tsv", ".csv", ".parquet"])
@few
@given(rows=st.lists(st.tuples(PLAIN, PLAIN, NUMBERS), min_size=1, max_size=8), zipped=GZIP)
def test_numbers(kind, rows, zipped):
    rows = [(x, y, float(value)) for x, y, value in written(kind, rows)] or [("a", "b", 1.0)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, f"numbers{kind}", rows, ["entity", "attribute", "value"], zipped)
        names = NameIndex(list(dict.fromkeys(x for x, *_ in rows)))
        found, counts = read_numbers(path, names)
    assert list(zip(*found, strict=True)) == rows
    assert counts == {"rows": len(rows), "unknown": 0}


def read(path, folder):
    r"""Reads a file as all that it may be."""
    if osp.basename(path).startswith("images"):
        unpack(path, osp.join(folder, "images"))
    elif ".json" in path:
        list(read_table(path, TEXTS))
    else:
        read_facts([path])


KINDS = ["a.tsv", "a.csv", "a.nt", "a.json", "a.jsonl", "a.tsv.gz", "a.json.gz", "a.parquet"]
ARCHIVES = ["images.zip", "images.tar", "images.tar.gz"]
LINES = b'a\tr\tb\n"a",r,b\n<a> <r> <b> .\n{"a": "b", "text": null}[1.5e9,]\\u\xe9\r\xff\xfe\0'


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*KINDS, *ARCHIVES])
@few
@given(content=st.one_of(st.binary(max_size=99), st.lists(st.sampled_from(list(LINES))).map(bytes)))
@example(content=b"")
@example(content=b"PK\5\6" + bytes(18))
@example(content=gzip.compress(LINES))
def test_any_bytes(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = osp.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        try:
            read(path, folder)
        except ValueError as e:
            assert name in str(e)


@few
@given(
    rows=st.lists(st.tuples(*(st.integers(0, 9) for _ in range(3))), min_size=1, max_size=60),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.2, 0.4, 0.4), (0.98, 0.01, 0.01)]),
    seed=st.integers(0, 99),
)
def test_split(rows, shares, seed):
    fact = torch.tensor(sorted({(head, rel % 4, tail) for head, rel, tail in rows})).t()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            splits = draw_splits(fact, shares, 10, 4, seed)
        except ValueError as e:
            assert "can be left out of training" in str(e)
            return
    train, *others = splits
    assert sorted(torch.cat(splits, dim=1).t().tolist()) == fact.t().tolist()
    assert all(split.size(1) > 0 for split in others)
    assert set(train[[0, 2]].flatten().tolist()) == set(fact[[0, 2]].flatten().tolist())
    assert set(train[1].tolist()) == set(fact[1].tolist())
