import gzip
import os
import warnings

import numpy as np
import pytest
import torch

from torch_imf.data import audit
from torch_imf.datasets import Countries, KGDataset, MultimodalKG
from torch_imf.datasets.base import validate
from torch_imf.datasets.countries import FOLDER
from torch_imf.datasets.own import to_label
from torch_imf.encoders import FeatureFile, TfidfEncoder, VisualEncoder

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


def test_seed_and_split(folder):
    def masks(**kwargs):
        data = load(folder, texts=None, numbers=None, **kwargs)[0]
        return [facts_of(data, data[f"{x}_mask"]) for x in ("train", "val", "test")]

    assert masks() == masks(seed=0) != masks(seed=1)
    assert list(map(len, masks(shares=(0.5, 0.25, 0.25)))) == [18, 9, 9]


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
    assert str(audit(data)) == str(audit(expected))
    for ready in (tmp_path, tuple(paths.values())):
        other = MultimodalKG.from_files(ready)[0]
        assert torch.equal(other.edge_index, data.edge_index)
        assert torch.equal(other.test_mask, data.test_mask)


def test_report(folder):
    (folder / "facts.tsv").write_text("\n".join([*FACTS, *FACTS[:3]]))
    report = load(folder).report()
    assert str(report).splitlines()[0] == "MultimodalKG: 12 entities, 1 relations"
    for line in (
        "  facts.tsv: 39 rows, left out: 3 repeated",
        "  texts.tsv: 11 rows",
        "  text     11 entities (91.7%), ",
        "  numeric  2 entities (16.7%), ",
        "  No fact is in two splits.",
        "  All entities and relations of val and test are in train.",
        "  0 of 4 test facts follow from train by inverse, duplicate or symmetric relations.",
    ):
        assert line in str(report)


def test_report_on_leaks(tmp_path):
    inverse = [f"n{i}\tbefore\tn{i + 1}" for i in range(8)]
    (tmp_path / "train.tsv").write_text(
        "\n".join([*FACTS, *(f"n{i + 1}\tafter\tn{i}" for i in range(8)), *inverse[:7]])
    )
    (tmp_path / "valid.tsv").write_text("\n".join([*FACTS[:2], "n1\tlikes\tn9", inverse[7]]))
    (tmp_path / "test.tsv").write_text("\n".join([inverse[7], "n1\tnext to\tnew"]))
    report = str(MultimodalKG.from_files(tmp_path).report())
    for line in (
        "2 of 4 val rows (2 distinct facts) are in train as well.",
        "1 of 4 val rows (1 distinct facts) are in test as well.",
        "Pass 'scheme=\"clean\"' to repair this.",
        "0 of 4 val facts have an entity that training lacks, 1 a relation.",
        "1 of 2 test facts have an entity that training lacks, 0 a relation.",
        "1 of 2 test facts follow from train by inverse, duplicate or symmetric relations:",
        "inverse: after | before (100%)",
    ):
        assert line in report
    clean = MultimodalKG.from_files(tmp_path, scheme="clean")
    assert audit(clean[0]).is_clean
    assert "No fact is in two splits." in str(clean.report())


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
    Image = pytest.importorskip("PIL.Image")
    images = folder / "images"
    (images / "n1").mkdir(parents=True)
    Image.new("RGB", (4, 4), (255, 0, 0)).save(images / "n0.png")
    Image.new("RGB", (4, 4), (0, 0, 255)).save(images / "n1" / "any.jpg")
    dataset = load(folder, images=images)
    data = dataset[0]
    assert [data.node_ids[i] for i in data.visual_mask.nonzero()] == ["n0", "n1"]
    assert "PixelEncoder" in data.encoders["visual"]
    assert dataset.images()[data.node_ids.index("n1")] == [str(images / "n1" / "any.jpg")]
    assert "visual   2 entities (16.7%)" in str(dataset.report())

    assert "x_visual" not in load(folder, encoders={"visual": None})[0]


def test_encoders(folder):
    np.savez(folder / "x.npz", entity=[f"n{i}" for i in range(12)], feature=np.eye(12))
    data = load(folder, encoders={"visual": str(folder / "x.npz"), "text": None})[0]
    assert data.x_visual.size() == (12, 12) and "x_text" not in data


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
    assert len(messages) == len(set(messages)) == 4


def test_features_take_the_place_of_files(folder):
    Image = pytest.importorskip("PIL.Image")
    (folder / "images").mkdir()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "images" / "n0.png")
    path = folder / "x.npz"
    np.savez(path, entity=[f"n{i}" for i in range(12)], feature=np.eye(12))
    for features in (path, str(path), FeatureFile(path)):
        dataset = load(folder, images=folder / "images", encoders={"visual": features})
        assert dataset[0].x_visual.equal(torch.eye(12)[[int(x[1:]) for x in dataset[0].node_ids]])
        assert sum(x is not None for x in dataset.images()) == 1


def test_an_encoder_that_finds_nothing(folder):
    pytest.importorskip("PIL")
    (folder / "images").mkdir()
    (folder / "images" / "n0.png").write_text("No image")
    message = """Pass 'visual=None' .to 'MultimodalKG', 'encoders={"visual": None}'. to leave"""
    with pytest.warns(UserWarning, match="'n0.png'"), pytest.raises(ValueError, match=message):
        load(folder, images=folder / "images")
    dataset = load(folder, images=folder / "images", encoders={"visual": None})
    assert "x_visual" not in dataset[0] and sum(x is not None for x in dataset.images()) == 1


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
    header = {"triples": True, "numbers": True}
    data = load(folder, header=header)[0]
    assert facts_of(data) == set(FACTS) and data.numeric_mask.sum() == 1
    assert facts_of(MultimodalKG.from_files(facts, header=True)[0]) == set(FACTS)
    with pytest.warns(UserWarning, match="rather than"):  # A fact of a relation of its own.
        small = MultimodalKG.from_files(facts, shares=(0.2, 0.4, 0.4))
    assert small[0].num_edges == len(FACTS) + 1
    with pytest.raises(ValueError, match="line 1: .*If this is a header, pass 'header=True'"):
        load(folder, header={"triples": True})


def test_names_of_several(tmp_path):
    base = "http://dbpedia.org"
    nodes = [
        f"{base}/resource/A",
        f"{base}/ontology/A",
        *(f"{base}/resource/{i}" for i in range(8)),
    ]
    facts = [f"<{x}> <{base}/r> <{nodes[i - j]}> ." for i, x in enumerate(nodes) for j in (1, 2)]
    (tmp_path / "a.nt").write_text("\n".join(facts))
    texts = tmp_path / "texts.tsv"
    texts.write_text(f"{nodes[0]}\tA class\n<{nodes[1]}>\tThe thing itself\n")
    dataset = MultimodalKG.from_files(tmp_path / "a.nt", texts)
    found = dict(zip(dataset[0].node_ids, dataset.texts(), strict=True))
    assert [found[node] for node in nodes[:3]] == ["A class", "The thing itself", None]
    texts.write_text("A\tWhich one?\n")
    with pytest.raises(ValueError, match="line 1: the entity 'A' is .* that of several"):
        MultimodalKG.from_files(tmp_path / "a.nt", texts)


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
