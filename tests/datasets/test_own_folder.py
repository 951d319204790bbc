import gzip
import os
import zipfile

import pytest
import torch

from torch_imf.datasets import MultimodalKG
from torch_imf.datasets.own import find_content, find_splits

FACTS = [f"n{i}\tnext to\tn{(i + step) % 12}" for i in range(12) for step in (1, 2, 3)]
ROWS = {
    "facts.tsv": "\n".join(FACTS),
    "texts.tsv": "n0\tThe first\nn1\tThe second\n",
    "numbers.tsv": "n0\tsize\t1\nn1\tsize\t2\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, content in ROWS.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_from_folder(folder):
    Image = pytest.importorskip("PIL.Image")
    (folder / "images").mkdir()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "images" / "n0.png")
    data = MultimodalKG.from_folder(folder, seed=3, encoders={"numeric": None})[0]
    paths = [folder / name for name in ("facts.tsv", "texts.tsv", "images")]
    expected = MultimodalKG.from_files(*paths, seed=3)[0]
    assert torch.equal(data.edge_index, expected.edge_index)
    assert torch.equal(data.val_mask, expected.val_mask)
    assert torch.equal(data.x_visual, expected.x_visual)
    assert torch.equal(data.x_text, expected.x_text) and "x_numeric" not in data


def test_files_that_are_given_come_first(folder):
    (folder / "other.csv").write_text("n3,A text\nn4,Another\nn5,One more\n")
    (folder / "descriptions.tsv").write_text("n0\tA second file of texts\n")
    data = MultimodalKG.from_folder(folder, texts=folder / "other.csv", shares=(0.6, 0.2, 0.2))[0]
    assert int(data.text_mask.sum()) == 3 and int(data.val_mask.sum()) == 7


@pytest.mark.parametrize(
    "names,expected",
    [
        (["triples.nt.gz"], ["triples.nt.gz", None, None, None]),
        (
            ["Facts.CSV.gz", "descriptions.jsonl", "images.tar.gz", "numeric.parquet", "notes.md"],
            ["Facts.CSV.gz", "descriptions.jsonl", "images.tar.gz", "numeric.parquet"],
        ),
        (
            ["test.tsv", "val.csv", "train.nt", "texts.json", "images.tsv"],
            [["train.nt", "val.csv", "test.tsv"], "texts.json", "images.tsv", None],
        ),
    ],
)
def test_find_content(tmp_path, names, expected):
    def full(name):
        return name and str(tmp_path / name)

    for name in names:
        (tmp_path / name).touch()
    first, *others = expected
    triples = list(map(full, first)) if isinstance(first, list) else full(first)
    found = find_content(str(tmp_path))
    assert found["triples"] == triples
    assert [found.get(x) for x in ("texts", "images", "numbers")] == list(map(full, others))


@pytest.mark.parametrize(
    "names,message",
    [
        (["texts.tsv"], r"holds no facts, as in 'facts.tsv'.* \(got \['texts.tsv'\]\)"),
        (["facts.docx"], r"holds no facts.* \(got \['facts.docx'\]\)"),
        (["facts.tsv", "triples.nt"], r"the 'triples': \['facts.tsv', 'triples.nt'\]"),
        (["facts.tsv", "facts.csv.gz"], r"the 'triples': \['facts.csv.gz', 'facts.tsv'\]"),
        (["facts.tsv", "test.tsv"], r"the 'triples': \['facts.tsv', 'test.tsv'\]"),
        (["train.tsv", "test.tsv"], r"needs to hold one file of valid facts.*\(got \[\]\)"),
        (["train.tsv", "val.tsv", "dev.tsv", "test.tsv"], r"got \['dev.tsv', 'val.tsv'\]"),
        (
            ["facts.tsv", "texts.tsv", "descriptions.json"],
            r"the 'texts': \['descriptions.json', 'texts.tsv'\]. Please leave one",
        ),
        (["facts.tsv", "numbers.csv", "numeric.csv"], "several files that may be the 'numbers'"),
        (["facts.tsv", "images.zip", "images.tsv"], r"the 'images': \['images.tsv', 'images.zip'"),
    ],
)
def test_find_content_refuses(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        find_content(str(tmp_path))
    with pytest.raises(ValueError, match="There is no folder '.*nowhere'"):
        find_content(str(tmp_path / "nowhere"))


def test_a_file_of_no_format_is_told(folder):
    os.remove(folder / "texts.tsv")
    (folder / "texts.docx").touch()
    with pytest.warns(UserWarning, match=r"\['texts.docx'\], which cannot be read. Expected"):
        assert "texts" not in find_content(str(folder))


def test_gzipped_and_archived(folder):
    Image = pytest.importorskip("PIL.Image")
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "n0.png")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.write(folder / "n0.png", "n0.png")
    for name in ROWS:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    data = MultimodalKG.from_folder(folder, root=str(folder / "root"))[0]
    assert [int(data[f"{x}_mask"].sum()) for x in ("text", "visual", "numeric")] == [2, 1, 2]


def test_find_splits(tmp_path):
    for name in ("train.txt", "dev.tsv.gz", "test.nt", "train.md", "entities.tsv"):
        (tmp_path / name).touch()
    files = [str(tmp_path / name) for name in ("train.txt", "dev.tsv.gz", "test.nt")]
    assert find_splits(str(tmp_path)) == files
    (tmp_path / "valid.tsv").touch()
    with pytest.raises(ValueError, match=r"one file of valid facts.*'dev.tsv.gz', 'valid.tsv'"):
        find_splits(str(tmp_path))
