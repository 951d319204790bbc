import gzip
import os
import random
import zipfile

import pytest
import torch

from torch_imf.datasets import MultimodalKG
from torch_imf.datasets.own import OwnNames, find_content, read_facts, split_facts


def test_read_facts(tmp_path):
    first, second = str(tmp_path / "a.tsv"), str(tmp_path / "b.nt")
    (tmp_path / "a.tsv").write_text("c\ts\ta\nb\tr\ta\nc\ts\ta\n")
    (tmp_path / "b.nt").write_text('<d> <r> <a> .\n<d> <r> "a" .\n')
    facts, node_ids, rel_ids, counts = read_facts([first, second])
    assert node_ids == ["a", "b", "c", "d"] and rel_ids == ["r", "s"]
    assert [fact.t().tolist() for fact in facts] == [[[1, 0, 0], [2, 1, 0]], [[3, 0, 0]]]
    assert counts == {
        first: {"rows": 3, "repeated": 1, "literals": 0},
        second: {"rows": 2, "repeated": 0, "literals": 1},
    }


def test_splits_do_not_depend_on_the_order_of_lines(tmp_path):
    lines = [f"n{i % 7}\tr{i % 3}\tn{i % 11}" for i in range(60)]
    path, out = tmp_path / "a.tsv", []
    for seed in range(2):
        random.Random(seed).shuffle(lines)
        path.write_text("\n".join(lines))
        (fact,), nodes, rels, _ = read_facts([str(path)])
        out.append(split_facts(fact, (0.8, 0.1, 0.1), len(nodes), len(rels)))
    assert all(torch.equal(x, y) for x, y in zip(*out, strict=True))


def test_split_facts_with_few_to_spare():
    # A circle of 10 and four chords:
    ring = torch.stack([torch.arange(10), torch.zeros(10).long(), torch.arange(10).roll(-1)])
    chords = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [5, 6, 7, 8]])
    with pytest.warns(UserWarning, match=r"facts rather than 12 in all"):
        splits = split_facts(torch.cat([ring, chords], dim=1), (0.1, 0.45, 0.45), 10, 1)
    assert splits[0][[0, 2]].unique().numel() == 10
    assert min(split.size(1) for split in splits) > 0
    with pytest.raises(ValueError, match="only 0 of the 3 facts .*Please pass ready splits"):
        split_facts(torch.tensor([[0, 0, 0], [0, 0, 0], [1, 2, 3]]), (0.8, 0.1, 0.1), 4, 1)


def test_blank_nodes_of_two_files_are_not_the_same(tmp_path):
    paths = [tmp_path / name for name in ("a/x.nt", "b/x.nt", "x.tsv")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    for path in paths[:2]:
        path.write_text("_:b1 <r> <A> .\n_:b1 <r> _:b2 .\n")
    paths[2].write_text("_:b1\tr\tA\n")
    nodes = read_facts([str(paths[0])])[1]
    assert nodes == ["A", "_:b1", "_:b2"]
    nodes = read_facts(list(map(str, paths)))[1]
    blank = ["_:b1@a/x.nt", "_:b1@b/x.nt", "_:b2@a/x.nt", "_:b2@b/x.nt"]
    assert nodes == ["A", "_:b1", *blank]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "header",
    ["h r t", "s p o", "subject predicate object", "entity1 relation entity2", "Entity_1 REL E2"]
    + ["source edge target", "Head ID|Relation Type|Tail ID", "#head relation tail"],
)
def test_headers_of_other_words(tmp_path, header):
    path = tmp_path / "a.tsv"
    words = header.split("|" if "|" in header else None)
    path.write_text("\t".join(words) + "\na\tr\tb\nt\tr\tt\n")
    facts, nodes, rels, _ = read_facts([str(path)])
    assert (facts[0].size(1), nodes, rels) == (2, ["a", "b", "t"], ["r"])
    path.write_text("s\tr\ts\na\tr\tb\n")  # Letters that are not all of a header are data.
    assert read_facts([str(path)])[0][0].size(1) == 2


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
        (["texts.tsv"], r"holds no facts, .*'facts.tsv'.* \(got \['texts.tsv'\]\)"),
        (["facts.docx"], r"holds no facts, .* \(got \['facts.docx'\]\)"),
        (["facts.tsv", "triples.nt"], "facts.tsv' and '.*triples.nt' may both be the 'triples'"),
        (
            ["facts.tsv", "facts.csv.gz"],
            "facts.csv.gz' and '.*facts.tsv' may both be the 'triples'",
        ),
        (["facts.tsv", "test.tsv"], r"or too many files of them.* \(got \['facts.tsv', 'test.tsv'"),
        (["train.tsv", "test.tsv"], r"or too few .* 'valid.tsv' .*\(got \['test.tsv', 'train.tsv'"),
        (["train.tsv", "val.tsv", "dev.tsv", "test.tsv"], "may both be the 'val'"),
        (["texts.tsv", "descriptions.json"], "may both be the 'texts'. Please leave one"),
        (["numbers.csv", "numeric.csv"], "may both be the 'numbers'"),
        (["images.zip", "images.tsv"], "may both be the 'images'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*facts.docx")
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
    with pytest.warns(UserWarning, match=r"texts.docx' cannot be read as 'texts', expected"):
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


IDS = ["http://dbpedia.org/resource/A", "http://dbpedia.org/ontology/A", "/m/0b", "paris", "2"]


def test_own_names():
    aliases = [("paris", "Paris"), ("/m/0b", "Bee"), ("2", "Bee"), ("2", "paris"), ("2", "2")]
    names = OwnNames(IDS, aliases)
    assert names(IDS).tolist() == list(range(5))
    assert names([f" <{IDS[1]}> ", "m.0b", "Paris", "paris", "2"]).tolist() == [1, 2, 3, 3, 4]
    # Two entities have these names, and nobody has the last:
    assert names(["A", "Bee", "x"]).tolist() == [-1, -1, -1]
    assert len(names) == 5 and names.example() == "A"
    assert str(names) == "OwnNames(5, names=9)"


def test_last_parts_of_other_uris():
    names = OwnNames(["http://dbpedia.org/resource/A", "<http://dbpedia.org/resource/B>", "C"])
    base = "https://dbpedia.org/resource"
    assert names(["A", f"{base}/A", f"<{base}/B>", "http:/dbpedia.org/resource/A"]).tolist() == [
        *(0, 0, 1, 0)
    ]
    other = "http://dbpedia.org/ontology"
    assert names([f"{other}/A", f"<{other}/B>", f"{other}/C"]).tolist() == [-1, -1, 2]
