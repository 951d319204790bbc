import gzip
import json
import os
import warnings
from unicodedata import normalize

import numpy as np
import pytest
import torch

from torch_imf.data import audit
from torch_imf.data.names import order
from torch_imf.datasets import Countries, KGDataset, MultimodalKG
from torch_imf.datasets.base import validate
from torch_imf.datasets.countries import FOLDER
from torch_imf.datasets.own import draw_splits, find_content, read_entities, read_facts, to_label
from torch_imf.encoders import FeatureFile, PixelEncoder, TfidfEncoder, VisualEncoder

FACTS = [f"n{i}\tnext to\tn{(i + step) % 12}" for i in range(12) for step in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path):
    r"""A folder of facts, texts and numbers, all with line ends of Windows."""
    texts = ["id\tname\ttext", *(f"n{i}\tNode {i}\tThe text of {i}" for i in range(11))]
    numbers = ["n0\tsize\t3.5", "n1\tsize\t4", "n1\tborn\t1990-05-01"]
    for name, lines in (("facts", FACTS), ("texts", texts), ("numbers", numbers)):
        (tmp_path / f"{name}.tsv").write_text("\r\n".join([*lines, ""]), newline="")
    return tmp_path


def load(folder, **kwargs):
    kwargs = {"texts": folder / "texts.tsv", "numbers": folder / "numbers.tsv", **kwargs}
    return MultimodalKG.from_files(folder / "facts.tsv", **kwargs)


def image(path):
    Image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (255, 0, 0)).save(path)


def facts_of(data, mask=None):
    mask = torch.ones_like(data.train_mask) if mask is None else mask
    edges = zip(data.edge_index[:, mask].t().tolist(), data.edge_type[mask].tolist(), strict=True)
    return {f"{data.node_ids[h]}\t{data.rel_ids[r]}\t{data.node_ids[t]}" for (h, t), r in edges}


def test_from_files(folder):
    dataset = load(folder)
    data = dataset[0]
    assert isinstance(dataset, KGDataset)
    validate(data)
    assert str(dataset).startswith("MultimodalKG(12, num_relations=1, text=TfidfEncoder(")
    assert facts_of(data) == set(FACTS)
    assert [int(data[f"{x}_mask"].sum()) for x in ("train", "val", "test")] == [28, 4, 4]
    assert data.edge_index[:, data.train_mask].unique().numel() == 12
    last = data.node_ids.index("n11")
    assert data.text_mask.nonzero().view(-1).tolist() == [i for i in range(12) if i != last]
    assert data.x_text.size(0) == data.x_numeric.size(0) == 12
    assert "x_visual" not in data
    assert [data.node_ids[i] for i in data.numeric_mask.nonzero()] == ["n0", "n1"]

    row = data.node_ids.index("n1")
    assert dataset.node_names[row] == "Node 1" and dataset.node_names[last] == "n11"
    assert dataset.texts()[row] == "Node 1. The text of 1" and dataset.texts()[last] is None
    index, attributes, values = dataset.literals()
    assert attributes == ["size", "size", "born"] and values.tolist()[:2] == [3.5, 4]
    assert index.tolist() == [data.node_ids.index("n0"), row, row]
    assert dataset.names()(["n1", "Node 1"]).tolist() == [row, row]


def test_split_by_entities(folder):
    options = {"texts": None, "numbers": None, "scheme": "inductive"}
    data = load(folder, shares=(0.8, 0.1, 0.1), **options)[0]
    seen = data.edge_index[:, data.train_mask].unique().tolist()
    assert data.num_nodes - len(seen) == 2 * round(0.1 * data.num_nodes)
    for mask in (data.val_mask, data.test_mask):
        assert all(not set(pair) <= set(seen) for pair in data.edge_index[:, mask].t().tolist())
    other = load(folder, shares=(0.8, 0.1, 0.1), seed=1, **options)[0]
    assert not torch.equal(other.train_mask, data.train_mask)


def test_seed_and_split(folder):
    def masks(**kwargs):
        data = load(folder, texts=None, numbers=None, **kwargs)[0]
        return [facts_of(data, data[f"{x}_mask"]) for x in ("train", "val", "test")]

    assert masks() == masks(seed=0) != masks(seed=1)
    assert list(map(len, masks(shares=(0.5, 0.25, 0.25)))) == [18, 9, 9]
    expected = masks()
    (folder / "facts.tsv").write_text("\n".join(FACTS[::-1]))  # The order of lines is nothing.
    assert masks() == expected


def test_countries_from_files(tmp_path):
    # What the bundled graph is made of leads to the same graph:
    rows = [line.split("\t") for line in open(f"{FOLDER}/triples.tsv", encoding="utf-8")]
    paths = {}
    for split in ("train", "val", "test"):
        paths[split] = tmp_path / f"{split}.csv.gz"
        lines = ["head,relation,tail", *(",".join(x[:3]) for x in rows if x[3].strip() == split)]
        paths[split].write_bytes(gzip.compress("\n".join(lines).encode()))
    args = [f"{FOLDER}/entities.tsv", None, f"{FOLDER}/numbers.tsv"]
    encoders = {"text": TfidfEncoder(channels=16)}
    own = MultimodalKG.from_files(paths, *args, encoders=encoders)
    data = own[0]
    expected = Countries(text=encoders["text"], visual=None)[0]
    for split in ("train_mask", "val_mask", "test_mask"):
        assert facts_of(data, data[split]) == facts_of(expected, expected[split])
    rank = torch.tensor([data.node_ids.index(node) for node in expected.node_ids])
    assert [data.node_names[i] for i in rank] == expected.node_names
    assert torch.allclose(data.x_numeric[rank], expected.x_numeric, atol=1e-5)
    assert audit(data).findings() == audit(expected).findings()


def test_report(folder):
    (folder / "facts.tsv").write_text("\n".join([*FACTS, *FACTS[:3]]))
    report = str(load(folder).report())
    for line in (
        "MultimodalKG ('original'): 12 entities, 1 relations",
        "  facts.tsv: 39 rows, left out: 3 repeated",
        "  texts.tsv: 11 rows",
        "  text     11 entities (91.7%), ",
        "  No fact is in two splits.",
        "  All entities and relations of val and test are in train.",
        "  0 of 4 test facts follow from train by inverse, duplicate or symmetric relations.",
    ):
        assert line in report


def test_ntriples(tmp_path):
    base = "http://dbpedia.org/resource"
    lines = [
        f"<{base}/The_{i}> <{base}/r> <{base}/The_{(i + d) % 9}> ."
        for i in range(9)
        for d in (1, 2)
    ]
    (tmp_path / "a.nt.gz").write_bytes(
        gzip.compress("\n".join([*lines, f'<{base}/The_1> <{base}/l> "1" .']).encode())
    )
    (tmp_path / "texts.json").write_text('{"The_1": "By its last part"}')
    dataset = MultimodalKG.from_files(tmp_path / "a.nt.gz", tmp_path / "texts.json")
    row = dataset.node_names.index("The 1")
    assert dataset[0].node_ids[row] == f"{base}/The_1"
    assert dataset.texts()[row] == "By its last part"
    assert "19 rows, left out: 1 about literals" in str(dataset.report())


def test_images(folder):
    image(folder / "images" / "n0.png")
    image(folder / "images" / "n1" / "any.jpg")
    dataset = load(folder, images=folder / "images")
    data = dataset[0]
    assert [data.node_ids[i] for i in data.visual_mask.nonzero()] == ["n0", "n1"]
    assert "PixelEncoder" in data.encoders["visual"]
    assert dataset.images()[data.node_ids.index("n1")] == [str(folder / "images/n1/any.jpg")]
    assert "visual   2 entities (16.7%)" in str(dataset.report())


def test_warnings_of_files_that_are_read_twice_are_given_once(folder):
    for name in ("texts", "numbers"):
        path = folder / f"{name}.tsv"
        lines = path.read_text().splitlines()
        words = "entity\tattribute\tvalue" if name == "numbers" else lines.pop(0)
        rows = [f'{line}\t"x"' for line in lines]
        path.write_text("\n".join([f"{words}\tother", *rows]))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        dataset = load(folder)
        dataset.texts(), dataset.literals()
    messages = sorted(str(warning.message) for warning in found)
    assert len(messages) == len(set(messages)) == 2


def test_features_take_the_place_of_files(folder):
    image(folder / "images" / "n0.png")
    path = folder / "x.npz"
    np.savez(path, entity=[f"n{i}" for i in range(12)], feature=np.eye(12))
    for features in (path, str(path), FeatureFile(path)):
        encoders = {"visual": features, "text": None}
        dataset = load(folder, images=folder / "images", encoders=encoders)
        data = dataset[0]
        assert data.x_visual.equal(torch.eye(12)[[int(x[1:]) for x in data.node_ids]])
        assert "x_text" not in data and sum(x is not None for x in dataset.images()) == 1


def test_root(folder, monkeypatch):
    root = folder / "root"
    first = load(folder, root=str(root))
    assert len(os.listdir(root / "processed")) == 1
    with monkeypatch.context() as context:
        context.setattr(MultimodalKG, "read", None)  # The processed file is all that is read.
        again = load(folder, root=str(root))
    assert torch.equal(again[0].x_text, first[0].x_text)
    assert str(again.report()) == str(first.report())
    assert again.texts() == first.texts() and again.literals()[1] == first.literals()[1]
    assert load(folder, root=str(root), seed=1).processed_paths != first.processed_paths

    (folder / "facts.tsv").write_text("\n".join(FACTS[:-1]))
    assert load(folder, root=str(root))[0].num_edges == 35


def test_not_strict(folder):
    (folder / "texts.tsv").write_text("n0\tApple\nn0\tApple\nn99\tB\n")
    (folder / "numbers.tsv").write_text("n0\tsize\t1\nn99\tsize\t1\n")
    dataset = load(folder, strict=False)
    assert dataset[0].text_mask.sum() == dataset[0].numeric_mask.sum() == 1
    assert "texts.tsv: 3 rows, left out: 1 of entities in no fact" in str(dataset.report())


def test_header(folder):
    facts = folder / "facts.tsv"
    facts.write_text("\n".join(["from here\tby\tto there", *FACTS]))
    (folder / "numbers.tsv").write_text("what\twhich\thow much\nn0\tsize\t1\n")
    (folder / "said.tsv").write_text("what\tsaid\nn0\tThe text of 0\n")
    header = {"triples": True, "numbers": True}
    data = load(folder, header=header)[0]
    assert facts_of(data) == set(FACTS) and data.numeric_mask.sum() == 1
    assert facts_of(MultimodalKG.from_files(facts, header=True)[0]) == set(FACTS)
    with pytest.warns(UserWarning, match="rather than"):  # A fact of a relation of its own.
        small = MultimodalKG.from_files(facts, shares=(0.2, 0.4, 0.4))
    assert small[0].num_edges == len(FACTS) + 1
    with pytest.raises(
        ValueError, match="line 1: .*If this is a header, call its columns entity, text"
    ):
        load(folder, header={"triples": True}, texts=folder / "said.tsv")
    with pytest.warns(UserWarning, match="'what', 'which', 'how much'., is taken for a header"):
        assert load(folder, header={"triples": True})[0].numeric_mask.sum() == 1


def test_names_of_several(folder):
    rows = ["id\tname\ttext", "n0\tTwin\tThe one", "n1\tTwin\tThe other", "n2\tn0\tA third"]
    (folder / "texts.tsv").write_text("\n".join(rows))
    (folder / "numbers.tsv").write_text("n0\tsize\t1\n")  # An identifier comes first.
    dataset = load(folder)
    assert dataset.literals()[0].tolist() == [dataset[0].node_ids.index("n0")]
    (folder / "numbers.tsv").write_text("Twin\tsize\t1\n")
    with pytest.raises(ValueError, match="line 1: the entity 'Twin' is .* that of several"):
        load(folder)


NO_SPLITS = r"Invalid 'triples' argument \(got {}.*, expected one file to split, or three".format


@pytest.mark.parametrize(
    "kwargs,message",
    [
        *(
            ({"shares": shares}, "Invalid 'shares' argument")
            for shares in [(0.8, 0.2), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), 0.8, None, ("0.8",) * 3]
        ),
        ({"triples": ["facts.tsv"] * 3, "shares": (0.6, 0.2, 0.2)}, "'shares' divide one file"),
        ({"triples": "nowhere.tsv"}, "There is no file 'nowhere.tsv'"),
        ({"triples": ["facts.tsv"] * 2}, NO_SPLITS(r"\['facts.tsv', 'facts.tsv'\]")),
        ({"triples": dict.fromkeys(["train", "test", "dev", "val"], "x")}, NO_SPLITS(r"\['train'")),
        ({"triples": dict.fromkeys(["train", "test", "other"], "x")}, NO_SPLITS(r"\['train'")),
        ({"texts": "nowhere.json"}, "There is no file 'nowhere.json'"),
        ({"header": {"facts": True}}, r"Invalid 'header' argument \(got {'facts': True}"),
        ({"header": "no"}, "Invalid 'header' argument .* True, False, None"),
        ({"header": {"texts": "yes"}}, "Invalid 'header' argument .* True, False, None"),
        ({"encoders": {"image": None}}, r"Invalid 'encoders' argument \(got the keys \['image'\]"),
        ({"encoders": {"visual": VisualEncoder("vgg16")}}, "has no images. As 'visual', pass None"),
        ({"images": "nowhere"}, "There are no images at 'nowhere'"),
    ],
)
def test_bad_arguments(folder, monkeypatch, kwargs, message):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=message):
        MultimodalKG.from_files(**{"triples": "facts.tsv", **kwargs})


def test_to_label():
    assert to_label("<http://x.org/a/Caf%C3%A9_au_lait>") == "Café au lait"
    assert to_label("http://x.org/a#B") == "B" and to_label("http://x.org/a/") == "a"
    assert to_label("a/b_c") == "a/b_c" and to_label("<a>") == "<a>"


def test_read_facts(tmp_path):
    first, second = str(tmp_path / "a.tsv"), str(tmp_path / "b.nt")
    (tmp_path / "a.tsv").write_text("c\ts\ta\nb\tr\ta\nc\ts\ta\n")
    (tmp_path / "b.nt").write_text('<d> <r> <a> .\n<d> <r> "a" .\n')
    facts, node_ids, rel_ids, counts = read_facts([first, second])[:4]
    assert node_ids == ["a", "b", "c", "d"] and rel_ids == ["r", "s"]
    assert [fact.t().tolist() for fact in facts] == [[[1, 0, 0], [2, 1, 0]], [[3, 0, 0]]]
    assert counts == {
        first: {"rows": 3, "repeated": 1, "literals": 0},
        second: {"rows": 2, "repeated": 0, "literals": 1},
    }


def test_draw_splits_with_few_to_spare():
    # A circle of 10 and four chords:
    ring = torch.stack([torch.arange(10), torch.zeros(10).long(), torch.arange(10).roll(-1)])
    chords = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [5, 6, 7, 8]])
    with pytest.warns(UserWarning, match=r"facts rather than 12 in all"):
        splits = draw_splits(torch.cat([ring, chords], dim=1), (0.1, 0.45, 0.45), 10, 1)
    assert splits[0][[0, 2]].unique().numel() == 10
    assert min(split.size(1) for split in splits) > 0
    with pytest.raises(ValueError, match="only 0 of the 3 facts .*Please pass ready splits"):
        draw_splits(torch.tensor([[0, 0, 0], [0, 0, 0], [1, 2, 3]]), (0.8, 0.1, 0.1), 4, 1)


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
    path.write_text("\t".join(words) + "\na\tq\tb\nz\tq\tz\n")
    facts, nodes, rels = read_facts([str(path)])[:3]
    assert (facts[0].size(1), nodes, rels) == (2, ["a", "b", "z"], ["q"])
    path.write_text("s\tr\ts\na\tr\tb\n")  # Letters that are not all of a header are data.
    assert read_facts([str(path)])[0][0].size(1) == 2


def test_from_folder(folder):
    pytest.importorskip("PIL")
    image(folder / "images" / "n0.png")
    data = MultimodalKG.from_folder(folder, seed=3, encoders={"numeric": None})[0]
    paths = [folder / name for name in ("facts.tsv", "texts.tsv", "images")]
    expected = MultimodalKG.from_files(*paths, seed=3)[0]
    for key in ("edge_index", "val_mask", "x_visual", "x_text"):
        assert torch.equal(data[key], expected[key])
    assert "x_numeric" not in data


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
        (
            ["facts.tsv", "Description.csv", "Photos.zip", "number.json", ".texts.tsv"],
            ["facts.tsv", "Description.csv", "Photos.zip", "number.json"],
        ),
        (
            ["train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "entity2textlong.txt"],
            [["train.tsv", "dev.tsv", "test.tsv"], "entity2textlong.txt", None, None],
        ),
        (["edges.csv", "nodes.csv"], ["edges.csv", "nodes.csv", None, None]),
        (
            ["train.tsv", "val.tsv", "test.tsv", "graph.ttl", "nodes.csv", "texts.tsv"],
            [["train.tsv", "val.tsv", "test.tsv"], "texts.tsv", None, None],
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


def test_notes_stay_in_the_report_of_a_graph_that_is_read_again(folder):
    (folder / "texts.docx").touch()
    os.remove(folder / "texts.tsv")
    root = str(folder.with_name("root"))
    numbers = ["entity\tattribute\tvalue\tsource", "n0\tsize\t3.5\tme", "n1\tsize\t4\tyou"]
    (folder / "numbers.tsv").write_text("\n".join(numbers))
    for _ in range(2):  # Made, and read from the processed file.
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            dataset = MultimodalKG.from_folder(folder, root=root)
        _, notes = str(dataset.report()).split("\nNotes\n")
        assert notes.index("texts.docx' cannot be read") < notes.index("['source'] are left out")
        assert [str(warning.message) for warning in found] == dataset.notes
        assert len(dataset.notes) == 2


@pytest.mark.filterwarnings("error:Not read")
def test_pictures_of_an_index_or_a_link_are_read(folder):
    (folder / "scans").mkdir()
    (folder / "scans" / "n0.png").touch()
    (folder / "images").symlink_to("scans")
    assert find_content(str(folder))["images"] == str(folder / "images")
    os.remove(folder / "images")
    (folder / "images.tsv").write_text("n0\tscans/n0.png\n")
    assert find_content(str(folder))["images"] == str(folder / "images.tsv")


@pytest.mark.parametrize("header", ["Entität;Text;Name", "实体;描述;名称", "entité;texte;nom"])
def test_headers_of_texts_in_other_languages(folder, header):
    (folder / "texts.tsv").write_text(f"{header}\nn3;About it;Three\n")
    assert "Three. About it" in MultimodalKG.from_folder(folder).texts()


@pytest.mark.parametrize(
    "name, hint",
    [
        ("desc.csv", ". Did you mean 'desc.csv' to be 'texts.csv'?"),
        ("imgs2", ". Did you mean 'imgs2' to be 'images'?"),
        ("nubmers.tsv", ". Did you mean 'nubmers.tsv' to be 'numbers.tsv'?"),
        ("trains.tsv", ""),  # There is a file of all facts.
        ("LICENSE", ""),
        ("img_features.pickle", ""),  # Of no format that is read.
        ("text_vectors.pkl", ""),  # Which is no format of texts.
    ],
)
def test_what_a_folder_holds_beside_is_told(folder, name, hint):
    for file in ("texts.tsv", "numbers.tsv"):
        os.remove(folder / file)
    (folder / name).touch()
    with pytest.warns(UserWarning) as record:
        assert list(find_content(str(folder))) == ["triples"]
    assert [str(x.message) for x in record] == [f"Not read in '{folder}': '{name}'{hint}"]


def test_the_layout_of_kg_bert(folder):
    for name, lines in (("train", FACTS), ("dev", FACTS[:2]), ("test", FACTS[2:5])):
        (folder / f"{name}.tsv").write_text("\n".join(lines))
    for name in ("facts.tsv", "texts.tsv", "numbers.tsv"):
        os.remove(folder / name)
    lines = {"entity2text": "The {}th", "entity2textlong": "The {}th of the nodes"}
    for name, line in lines.items():
        rows = [f"n{i}\t{line.format(i)}" for i in range(12)]
        (folder / f"{name}.txt").write_text("\n".join(rows))
    (folder / "relation2text.txt").write_text("next to\tstands beside")
    with pytest.warns(UserWarning, match="Not read in .*: 'entity2text.txt', 'relation2text.txt'$"):
        dataset = MultimodalKG.from_folder(folder)
    assert dataset.texts()[dataset[0].node_ids.index("n7")] == "The 7th of the nodes"
    assert "'relation2text.txt'" in str(dataset.report())


@pytest.mark.parametrize("kind", ["folder", "linked folder", "index"])
def test_a_picture_that_is_replaced_makes_the_graph_anew(folder, kind):
    Image = pytest.importorskip("PIL.Image")
    root, images = folder / "root", folder / "images"
    source = {"index": folder / "index.tsv", "linked folder": folder / "links"}.get(kind)
    images.mkdir()
    (folder / "index.tsv").write_text("n0\timages/n0.bmp")
    (folder / "links").symlink_to(images)
    found = []
    for color in ("red", "blue"):
        Image.new("RGB", (4, 4), color).save(images / "n0.bmp")  # Of one size.
        kwargs = {"encoders": {"visual": PixelEncoder(1, 1)}, "root": str(root)}
        data = load(folder, images=source or images, **kwargs)[0]
        found.append(data.x_visual[data.node_ids.index("n0")].tolist())
    assert found == [[1, -1, -1], [-1, -1, 1]]


BASE, RDFS = "http://x.org/", "http://www.w3.org/2000/01/rdf-schema#"


@pytest.fixture
def turtle(tmp_path):
    r"""RDF of facts, of the names and numbers of all entities, and of the texts of some."""
    lines = [f"@prefix : <{BASE}> . @prefix rdfs: <{RDFS}> ."]
    for i in range(12):
        lines += [f":n{i} :next_to :n{(i + step) % 12} ." for step in (1, 2, 3)]
        lines += [f':n{i} rdfs:label "Noeud {i}"@fr, "Node {i}"@en ; :height {i}.5 .']
        lines += [f':n{i} rdfs:comment "About {i}"@en .'] * (i < 5)
    lines += [':next_to rdfs:label "is next to"@en . :n99 rdfs:label "Nobody" .']
    (tmp_path / "facts.ttl").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.filterwarnings("error")
def test_literals_of_rdf(turtle):
    for _ in range(2):  # Read, and as it was processed.
        dataset = MultimodalKG.from_folder(turtle, root=str(turtle / ".root"))
        data, row = dataset[0], dataset[0].node_ids.index(f"{BASE}n3")
        assert data.num_nodes == 12 and data.num_edges == 36
        assert data.node_names[row] == "Node 3" and data.rel_names == ["is next to"]
        assert dataset.texts()[row] == "Node 3. About 3"
        assert bool(data.text_mask.all()) and bool(data.numeric_mask.all())
        index, attributes, values = dataset.literals()
        assert attributes == [f"{BASE}height"] * 12 and values[index == row].tolist() == [3.5]
        assert "  facts.ttl: 79 rows\n    26 names, 12 numbers, 5 texts" in str(dataset.report())
    (turtle / "texts.tsv").write_text(f"id\tname\ttext\n{BASE}n3\tThree\tFrom a file\n")
    dataset = MultimodalKG.from_folder(turtle)  # A file comes first.
    assert dataset.texts()[row] == "Three. From a file" and dataset.texts()[row - 1]
    (turtle / "numbers.tsv").write_text(f"{BASE}n3\tweight\t5\n{BASE}n3\t{BASE}height\t9\n")
    index, attributes, values = MultimodalKG.from_folder(turtle).literals()
    assert len(values) == 13 and values[index == row].tolist() == [5.0, 9.0]
    assert dataset[0].node_names[:2] == ["Node 0", "Node 1"]


def test_types_and_images_of_rdf(turtle):
    image(turtle / "shots" / "one.png")
    text = (turtle / "facts.ttl").read_text()
    text += "\n".join(f":n{i} a :Odd_one ." for i in (1, 3, 5))
    text += '\n:Odd_one rdfs:label "Odd" . :n1 a :Big . :n99 a :Big .'
    text += "\n:n3 <http://schema.org/image> <shots/one.png> ."
    (turtle / "facts.ttl").write_text(text)
    for root in (None, str(turtle / ".root"), str(turtle / ".root")):
        data = MultimodalKG.from_files(turtle / "facts.ttl", root=root)[0]
        assert data.num_edges == 36 and data.rel_names == ["is next to"]
        types = dict(zip(data.node_names, data.node_types, strict=True))
        assert types["Node 1"] == ["Big", "Odd"] and types["Node 3"] == ["Odd"]
        assert types["Node 2"] == []
        assert data.visual_mask.nonzero().tolist() == [[data.node_names.index("Node 3")]]


def test_a_table_of_neo4j_and_types(folder):
    lines = [":START_ID,:END_ID,:TYPE", *(",".join(x.split("\t")[::2]) + ",NEAR" for x in FACTS)]
    (folder / "a.csv").write_text("\n".join(lines))
    rows = [f"n{i},Node {i},{'Odd;Number' if i % 2 else ''}" for i in range(12)]
    rows.append("n2,Node 2,Even")  # A row for each type.
    rows.append("n2,Node 2,Small")
    (folder / "b.csv").write_text("\n".join([":ID,name,:LABEL", *rows]))
    dataset = MultimodalKG.from_files(folder / "a.csv", folder / "b.csv")
    assert dataset[0].rel_ids == ["NEAR"] and dataset[0].node_names[3] == dataset.texts()[3]
    types = dict(zip(dataset[0].node_ids, dataset[0].node_types, strict=True))
    assert types["n2"] == ["Even", "Small"] and types["n3"] == ["Odd", "Number"]
    assert types["n4"] == [] and sum(map(len, types.values())) == 14


def test_a_folder_of_neo4j(tmp_path):
    lines = [":START_ID,:END_ID,:TYPE", *(",".join(x.split("\t")[::2]) + ",NEAR" for x in FACTS)]
    (tmp_path / "ties.csv").write_text("\n".join(lines))
    files = [tmp_path / "even.csv", tmp_path / "odd.csv"]
    for i, path in enumerate(files):
        rows = [f"n{k},Node {k}" for k in range(i, 12, 2)]
        path.write_text("\n".join(["id:ID(Node),title", *rows]))
    names = [f"Node {i}" for i in range(12)]
    parts = (
        MultimodalKG.from_files(tmp_path / "ties.csv", files),
        MultimodalKG.from_folder(tmp_path),
    )
    for dataset in parts:
        assert sorted(dataset.texts()) == sorted(dataset[0].node_names) == sorted(names)
    assert len(read_entities(tmp_path)[0]) == 12
    files[0].write_text("\n".join([":ID,:LABEL", *(f"n{k},Even" for k in range(0, 12, 2))]))
    data = MultimodalKG.from_folder(tmp_path)[0]
    assert data.node_types[data.node_ids.index("n2")] == ["Even"]
    (tmp_path / "other.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="may both be the 'triples'. Please leave one, join them"):
        MultimodalKG.from_folder(tmp_path)


def test_texts_and_numbers_are_found_by_name(tmp_path):
    rows = [f"Q{i},Node {i},r,Q{(i + k) % 9},Node {(i + k) % 9}" for i in range(9) for k in (1, 2)]
    header = "head_id,head,relation,tail_id,tail"
    (tmp_path / "facts.csv").write_text("\n".join([header, *rows]))
    (tmp_path / "texts.tsv").write_text("Node 3\tA text\n")
    (tmp_path / "numbers.tsv").write_text("Node 3\tage\t7\n")
    dataset = MultimodalKG.from_folder(tmp_path)
    assert dataset.texts()[3] == "A text" and dataset.literals()[0].tolist() == [3]
    (tmp_path / "texts.tsv").write_text("Node 3|A text\n")
    assert "separated by pipes" in str(MultimodalKG.from_folder(tmp_path).report())


def test_rdf_without_literals(tmp_path):
    lines = [f"<{BASE}{i}> <{BASE}r> <{BASE}{(i * k + 1) % 9}> ." for i in range(9) for k in (2, 4)]
    (tmp_path / "a.nq").write_text("\n".join(lines))
    for _ in range(2):
        dataset = MultimodalKG(tmp_path / "a.nq", root=str(tmp_path / "root"))
        assert "x_text" not in dataset[0] and "text=" not in str(dataset)
    with pytest.raises(ValueError, match="text encoder .* found nothing to encode"):
        MultimodalKG(tmp_path / "a.nq", encoders={"text": TfidfEncoder()})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name",
    ["facts.xlsx", "facts.json", "facts.jsonl", "facts.graphml", "facts.ttl", "facts.nq"]
    + ["facts.jsonld", "facts.parquet", "triples.txt", "facts.trig.gz"],
)
def test_formats_of_facts(tmp_path, name):
    nx, pd = pytest.importorskip("networkx"), pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    rows = [line.replace("next to", "by").split("\t") for line in FACTS]
    kind, path = name.removesuffix(".gz").rpartition(".")[2], tmp_path / name
    frame = pd.DataFrame(rows, columns=["source", "type", "target"])
    if kind == "xlsx":
        frame.to_excel(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind in ("json", "jsonl"):
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    elif kind == "graphml":
        graph = nx.from_pandas_edgelist(frame, edge_attr=True, create_using=nx.MultiDiGraph)
        nx.write_graphml(graph, path)
    elif kind == "jsonld":
        entries = [{"@id": BASE + h, BASE + r: {"@id": BASE + t}} for h, r, t in rows]
        path.write_text(json.dumps(entries))
    elif kind == "txt":
        frame.to_csv(path, index=False, sep="|")
    else:
        text = "".join(f"<{BASE}{h}> <{BASE}{r}> <{BASE}{t}> .\n" for h, r, t in rows).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    data = MultimodalKG.from_folder(tmp_path)[0]
    assert {x.replace(BASE, "") for x in facts_of(data)} == {"\t".join(row) for row in rows}


def test_how_facts_were_read_is_said_where_they_cannot_be_split():
    with pytest.raises(ValueError, match="read so: no header: head, relation, tail"):
        MultimodalKG([("a", "r", "b"), ("b", "q", "c")])


@pytest.mark.parametrize("header", ["", "head\ttail\trelation\n"])
@pytest.mark.filterwarnings("ignore:.*column 3 repeats as relations do")
def test_splits_have_the_order_of_training(tmp_path, header):
    rows = ["\t".join(x.split("\t")[i] for i in (0, 2, 1)) for x in FACTS]
    for name, part in (("train", rows[:30]), ("valid", rows[30:33]), ("test", rows[33:])):
        text = "\n".join(part)
        (tmp_path / f"{name}.tsv").write_text(header * (name == "train") + text)
    data = MultimodalKG.from_folder(tmp_path)[0]
    assert facts_of(data) == set(FACTS)


@pytest.mark.filterwarnings("error")
def test_facts_in_memory(folder):
    pd = pytest.importorskip("pandas")
    rows = [line.split("\t") for line in FACTS]
    frame = pd.DataFrame(rows, columns=["subject", "predicate", "object"])
    forms = (frame, frame[["object", "subject", "predicate"]], np.array(rows), rows)
    expected = load(folder)[0]
    for triples in (*forms, list(map(tuple, rows))):
        dataset = MultimodalKG(triples, folder / "texts.tsv")
        assert torch.equal(dataset[0].edge_index, expected.edge_index)
        assert dataset.names()(["n1", "Node 1"]).unique().numel() == 1
    assert "  DataFrame: 36 rows\n    head is 'subject', " in str(MultimodalKG(frame).report())
    parts = {"train": frame[:30], "val": frame[30:33], "test": frame[33:]}
    data = MultimodalKG(parts)[0]
    assert facts_of(data, data.test_mask) == set(FACTS[33:])
    split = MultimodalKG([rows[:30], rows[30:33], rows[33:]])[0]  # Three lists of lists.
    assert facts_of(split, split.test_mask) == set(FACTS[33:])
    for words, match in (
        (["train"] * 35 + ["test"], r"names no fact of \['val'\]. Complete it, or leave"),
        (["train", "val", "test"] * 11 + ["test", "test", None], "is empty for 1 facts"),
    ):
        with pytest.raises(ValueError, match=match):
            MultimodalKG(frame.assign(split=words))
    for given, kind in (({"texts": frame}, "DataFrame"), ({"numbers": ["a", "b"]}, "list")):
        with pytest.raises(ValueError, match=f"are given as files .got a '{kind}'"):
            MultimodalKG(frame, **given)
    root = str(folder / "root")
    paths = {MultimodalKG(x, root=root).processed_paths[0] for x in (frame, frame, frame[:-1])}
    assert len(paths) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [True, False])
def test_folder_of_openke(tmp_path, count):
    nodes, rels = [f"town {i}" for i in range(12)], ["next to", "above"]
    rows = [(i, (i + step) % 12, step % 2) for i in range(12) for step in (1, 2, 3)]
    for name, names in (("entity", nodes), ("relation", rels)):
        lines = [str(len(names)), *(f"{x}\t{i}" for i, x in enumerate(names))]
        (tmp_path / f"{name}2id.txt").write_text("\n".join(lines))
    for name, part in (("train", rows[:30]), ("valid", rows[30:33]), ("test", rows[33:])):
        lines = [str(len(part))] * count + [" ".join(map(str, row)) for row in part]
        (tmp_path / f"{name}2id.txt").write_text("\n".join(lines))
    data = MultimodalKG.from_folder(tmp_path)[0]
    expected = {f"{nodes[head]}\t{rels[rel]}\t{nodes[tail]}" for head, tail, rel in rows}
    assert facts_of(data) == expected and data.test_mask.sum() == 3
    (tmp_path / "test2id.txt").write_text("1\n0 12 0\n")
    with pytest.raises(ValueError, match=r"test2id.txt': there is no entity 12, 'entity2id.txt' h"):
        MultimodalKG.from_folder(tmp_path)


def test_one_normal_form(folder):
    names = [f"Đặng {i} 안녕" for i in range(12)]
    form = {x: [normalize(x, name) for name in names] for x in ("NFC", "NFD")}
    facts = [f"{form['NFD'][i]}\tở\t{form['NFC'][(i + k) % 12]}" for i in range(12) for k in (1, 2)]
    (folder / "facts.tsv").write_text("\n".join(facts))
    (folder / "texts.json").write_text(json.dumps(dict.fromkeys(form["NFD"], "Text")))
    (folder / "numbers.csv").write_text("\n".join(f"{name},age,7" for name in form["NFC"]))
    paths = (folder / name for name in ("facts.tsv", "texts.json", None, "numbers.csv") if name)
    facts, texts, numbers = paths
    dataset = MultimodalKG.from_files(facts, texts, numbers=numbers)
    assert dataset[0].node_ids == sorted(names) and all(dataset.texts())
    assert dataset[0].numeric_mask.all() and dataset.names()(form["NFD"]).unique().numel() == 12


def test_names_that_are_numbers(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"{i}\tr\t{(i + 1) % 12}\n" for i in range(12)))
    assert read_facts([str(tmp_path / "a.tsv")])[1] == [str(i) for i in range(12)]


@pytest.mark.parametrize("columns", ["a,b", ["1", "1", "2"], "1,2,3,4"])
def test_bad_columns(folder, columns):
    with pytest.raises(ValueError, match="Invalid 'columns' argument"):
        load(folder, columns=columns)


def test_columns(folder):
    rows = [line.split("\t") for line in FACTS]
    (folder / "facts.tsv").write_text("\n".join("\t".join((t, h, r)) for h, r, t in rows))
    for columns in ("2,3,1", [2, 3, 1]):
        assert facts_of(load(folder, columns=columns)[0]) == set(FACTS)


def test_names_are_in_order(tmp_path):
    names = ["10", "9", "010", "é", "E", "z", "0", "00", "1a", "Z", "²", "\U0001f600", "\uffee"]
    rows = [(x, "r", y) for x in names for y in names]
    (tmp_path / "a.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    found = read_facts([str(tmp_path / "a.tsv")])
    assert found.node_ids == sorted({normalize("NFC", x) for x in names}, key=order)
    head, rel, tail = found.splits[0].tolist()
    assert [(found.node_ids[h], found.node_ids[t]) for h, t in zip(head, tail, strict=True)] == [
        (x, y) for x in found.node_ids for y in found.node_ids
    ]
