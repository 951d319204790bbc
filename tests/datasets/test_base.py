import hashlib
import math
import os
import shutil
import tarfile
import warnings
from uuid import uuid4

import numpy as np
import pytest
import torch
from torch_geometric.io import fs

from torch_imf.data import audit, clean_split, modalities
from torch_imf.datasets import FakeMMKG, KGDataset
from torch_imf.datasets.base import Record, Summary, run_encoder, validate
from torch_imf.datasets.raw import index_facts
from torch_imf.encoders import NumericEncoder
from torch_imf.io import mapped
from torch_imf.io.download import RawFile
from torch_imf.io.mapped import is_mapped
from torch_imf.io.tables import read_rows
from torch_imf.transforms import AddInverse


class LengthEncoder:
    calls = 0

    def __init__(self, scale=1.0, size=None):
        self.scale = scale
        self.size = size

    def __call__(self, texts):
        LengthEncoder.calls += 1
        x = torch.tensor([[math.nan if t is None else len(t)] for t in texts]) * self.scale
        return x.nan_to_num() if self.size is None else x[: self.size]

    def __repr__(self):
        return f"LengthEncoder({self.scale}, {self.size})"


class SizeEncoder:
    """The number of images of each entity, and the bytes of the first."""

    def __call__(self, images):
        return torch.tensor([[len(x), os.path.getsize(x[0])] if x else [0, 0] for x in images])

    def __repr__(self):
        return "SizeEncoder()"


FACTS = b"a\tr\tb\ttrain\nb\ts\tc\tval\nc\tr\ta\ttest\n"
SPLITS = ["train", "val", "test"]


def raw_file(name, content):
    return RawFile(f"My/{name}", hashlib.sha256(content).hexdigest())


def to_record(rows, path):
    triples = index_facts([row[:3] for row in rows], list("abc"), ["r", "s"], path)
    splits = [triples[:, [row[3] == name for row in rows]] for name in SPLITS]
    return Record(splits, list("abc"), ["r", "s"], list("ABC"))


class MyDataset(KGDataset):
    """Three facts between three entities, two of which have a text."""

    files = {"facts": [[raw_file("source/facts.tsv", FACTS)]]}
    modalities = ("text", "visual")

    def read(self) -> Record:
        (path,) = self.raw.fetch("facts")
        return to_record(read_rows(path, 4), path)

    def read_texts(self, data):
        return ["one", None, "three"]

    def read_aliases(self):
        return [("c", "third")]


@pytest.fixture(autouse=True)
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror" / "My" / "source"
    folder.mkdir(parents=True)
    (folder / "facts.tsv").write_bytes(FACTS)
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    LengthEncoder.calls = 0
    return folder


@pytest.fixture
def features(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))
    return str(tmp_path / "x.npy")


def replace_facts(monkeypatch, mirror, facts):
    (mirror / "facts.tsv").write_bytes(facts)
    monkeypatch.setattr(MyDataset, "files", {"facts": [[raw_file("source/facts.tsv", facts)]]})


def file_name(dataset):
    return os.path.basename(dataset.processed_paths[0])


def processed(root):
    return sorted(os.listdir(root / "processed"))


def test_kg_dataset(tmp_path):
    root = str(tmp_path / "data")
    dataset = MyDataset(root, text=LengthEncoder())
    assert str(dataset) == "MyDataset(3, num_relations=2, text=LengthEncoder(1.0, None))"
    assert (len(dataset), dataset.num_nodes, dataset.num_relations) == (1, 3, 2)
    assert dataset.node_names == ["A", "B", "C"] and dataset.rel_names == ["r", "s"]
    assert (dataset.version, dataset.scheme) == (None, "original")

    data = dataset[0]
    validate(data)
    assert data.edge_index.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert data.edge_type.tolist() == [0, 1, 0]
    assert data.x_text.tolist() == [[3], [0], [5]] and data.x_text.dtype == torch.float32
    assert data.text_mask.tolist() == [True, False, True]
    assert data.encoders == {"text": "LengthEncoder(1.0, None)"}
    assert "x_visual" not in data and "x_numeric" not in data
    assert os.listdir(os.path.join(root, "raw")) == ["source"]
    assert dataset.raw_paths == [os.path.join(root, "raw", "source", "facts.tsv")]
    assert dataset.texts() == ["one", None, "three"]
    assert dataset.names()(["a", "third", "d"]).tolist() == [0, 2, -1]
    assert LengthEncoder.calls == 1


def test_kg_dataset_is_loaded_without_warnings(tmp_path, mirror):
    root = str(tmp_path / "data")
    expected = MyDataset(root, text=LengthEncoder())[0]
    (mirror / "facts.tsv").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = MyDataset(root, text=LengthEncoder())[0]
    assert LengthEncoder.calls == 1
    assert data.keys() == expected.keys() and data.node_ids == expected.node_ids
    assert torch.equal(data.x_text, expected.x_text)
    MyDataset(root, text=LengthEncoder(), force_reload=True)
    assert LengthEncoder.calls == 2


def test_encoders_do_not_mix(tmp_path):
    root = str(tmp_path / "data")
    paths, features = set(), []
    for text in [LengthEncoder(), LengthEncoder(2.0), None, LengthEncoder(), LengthEncoder(2.0)]:
        dataset = MyDataset(root, text=text)
        paths.add(file_name(dataset))
        features.append(dataset[0].x_text[2].item() if text is not None else None)
    assert features == [5, 10, None, 5, 10] and LengthEncoder.calls == 2
    assert (
        len(paths) == 3 and "data_original_text=none_visual=none_numeric=none.safetensors" in paths
    )


def test_transforms(tmp_path):
    def double(data):
        data.x_text = 2 * data.x_text
        return data

    dataset = MyDataset(str(tmp_path / "a"), text=LengthEncoder(), transform=double)
    assert dataset[0].x_text[2].item() == 10
    dataset = MyDataset(str(tmp_path / "b"), text=LengthEncoder(), pre_transform=double)
    assert dataset[0].x_text[2].item() == 10


def test_summary(tmp_path):
    dataset = MyDataset(str(tmp_path), text=LengthEncoder())
    summary = dataset.summary()
    assert summary == Summary(
        name="MyDataset ('original')",
        num_nodes=3,
        num_relations=2,
        num_facts={"train": 1, "val": 1, "test": 1},
        coverage={"text": 2},
        channels={"text": 1},
        encoders={"text": "LengthEncoder(1.0, None)"},
    )
    words = (
        "MyDataset ('original'): 3 entities, 2 relations\n"
        "  facts    1 train, 1 val, 1 test\n"
        "  text     2 entities (66.7%), 1 channels, LengthEncoder(1.0, None)"
    )
    assert str(summary) == words
    assert str(dataset.report()).startswith(f"{words}\nSplits\n  No fact is in two splits.")
    other = MyDataset(str(tmp_path), text=LengthEncoder(), pre_transform=AddInverse())
    assert other[0].num_edges == 6 and other.summary() == summary


def test_bad_facts_are_found_before_encoding(tmp_path, mirror, monkeypatch):
    for facts, message in [
        (FACTS + b"a\tr\n", "facts.tsv', line 4: expected 4 fields"),
        (FACTS + b"a\tr\td\ttest\n", "facts.tsv', line 4: unknown entity 'd'"),
        (FACTS[: FACTS.index(b"c\tr")], "split of 'test_mask' is empty"),
    ]:
        replace_facts(monkeypatch, mirror, facts)
        with pytest.raises(ValueError, match=message):
            MyDataset(str(tmp_path / str(len(facts))), text=LengthEncoder())
    assert LengthEncoder.calls == 0


def test_damaged_raw_file(tmp_path):
    raw = tmp_path / "data" / "raw" / "source"
    raw.mkdir(parents=True)
    (raw / "facts.tsv").write_bytes(FACTS[:10])  # As if put there by hand.
    with pytest.warns(UserWarning, match="facts.tsv' is damaged"):
        dataset = MyDataset(str(tmp_path / "data"), text=None)
    assert dataset[0].num_edges == 3


def test_interrupted_processing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    root = tmp_path / "data"
    monkeypatch.setattr(LengthEncoder, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        MyDataset(str(root), text=LengthEncoder())
    assert os.listdir(root / "processed") == []
    monkeypatch.undo()

    # A file that was there stays as it was:
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    path = MyDataset(str(root), text=LengthEncoder()).processed_paths[0]
    content = open(path, "rb").read()
    monkeypatch.setattr("torch_imf.io.sealed._digest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        MyDataset(str(root), text=LengthEncoder(), force_reload=True)
    assert open(path, "rb").read() == content and len(processed(root)) == 1


def test_bad_arguments(tmp_path):
    root = str(tmp_path)
    got = r"Invalid 'text' argument \(got '?{}'?\), expected .*".format
    plain = object.__new__(type("Plain", (), {"__call__": print}))
    cases = [
        ({"text": "bert"}, got("bert") + r"TextEncoder\('bert'\)\).*: Cannot tell the format"),
        ({"text": "missing.npy"}, got("missing.npy") + "There is no file of features 'missing"),
        ({"text": 3}, got(3) + "an encoder to call or None"),
        ({"text": LengthEncoder}, r"LengthEncoder.*, as in 'LengthEncoder\(\)'"),
        ({"visual": lambda images: None}, "cannot be told from others"),
        ({"visual": plain}, "cannot be told from others"),
        ({"numeric": NumericEncoder()}, "'MyDataset' has no numeric literals. As 'numeric', pass"),
        ({"root": None}, "'MyDataset' needs a 'root'"),
        (
            {"scheme": "no"},
            r"'scheme' argument \(got 'no'\), expected one of \['original', 'clean'",
        ),
        ({"version": "v2"}, r"Invalid 'version' argument \(got 'v2'\), leave it out"),
        ({"images": root}, "'images' needs an encoder of them as 'visual'"),
    ]
    for kwargs, message in cases:
        with pytest.raises(ValueError, match=message):
            MyDataset(**{"root": root, "text": None, **kwargs})
    assert {"processed"}.isdisjoint(os.listdir(tmp_path))


def test_splits(tmp_path, mirror, monkeypatch):
    replace_facts(monkeypatch, mirror, FACTS + FACTS[:12] + b"a\tr\tb\ttest\nb\tr\ta\ttrain\n")
    root = str(tmp_path / "data")
    original = MyDataset(root, text=LengthEncoder())
    clean = MyDataset(root, scheme="clean", text=LengthEncoder())
    assert str(clean) == (
        "MyDataset(3, num_relations=2, scheme='clean', text=LengthEncoder(1.0, None))"
    )
    assert original[0].num_edges == 6 and not audit(original[0]).is_clean
    validate(clean[0])
    expected = clean_split(original[0])
    assert clean[0].num_edges == 4 and clean[0].edge_index.equal(expected.edge_index)
    assert clean[0].x_text.tolist() == original[0].x_text.tolist()
    assert file_name(clean) == file_name(original).replace("original", "clean")
    assert processed(tmp_path / "data") == sorted(map(file_name, [original, clean]))
    assert MyDataset(root, text=LengthEncoder())[0].num_edges == 6
    assert LengthEncoder.calls == 2


def test_features_from_a_file(tmp_path, features):
    root, other = str(tmp_path / "data"), tmp_path / "other" / "x.npy"
    dataset = MyDataset(root, text=features, visual=None)
    data = dataset[0]
    assert data.x_text.tolist() == [[1, 2], [0, 0], [3, 4]]
    assert data.text_mask.tolist() == [True, False, True]
    assert data.encoders["text"].startswith("FeatureFile('x.npy', sha256=")
    assert "_text=FeatureFile-" in file_name(dataset)
    # By its content, wherever it is:
    other.parent.mkdir()
    shutil.copy(features, other)
    assert file_name(MyDataset(root, text=str(other))) == file_name(dataset)
    np.save(other, np.ones((3, 2)))
    assert MyDataset(root, text=other)[0].x_text.tolist() == [[1, 1]] * 3
    assert len(processed(tmp_path / "data")) == 2


def make_images(folder):
    for name, size in {"a/1.png": 1, "a/2.png": 2, "third.jpg": 3}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return str(folder)


def test_images(tmp_path):
    root, folder = tmp_path / "data", make_images(tmp_path / "images")
    (tmp_path / "index.tsv").write_text("entity\timage\na\timages/a/2.png\n")
    with tarfile.open(tmp_path / "archive.tgz", "w:gz") as archive:
        archive.add(folder, "pictures")

    def load(images):
        return MyDataset(str(root), text=None, visual=SizeEncoder(), images=images)

    dataset = load(folder)
    assert dataset[0].x_visual.tolist() == [[2, 1], [0, 0], [1, 3]]
    assert dataset[0].visual_mask.tolist() == [True, False, True]
    first = [f"{folder}/a/1.png", f"{folder}/a/2.png"]
    assert dataset.images() == [first, None, [f"{folder}/third.jpg"]]
    index = load(str(tmp_path / "index.tsv"))[0]
    assert index.x_visual.tolist() == [[1, 2], [0, 0], [0, 0]]
    archive = load(str(tmp_path / "archive.tgz"))
    assert archive[0].x_visual.tolist() == dataset[0].x_visual.tolist()
    (unpacked,) = os.listdir(root / "raw" / "unpacked")
    assert archive.images()[2] == [str(root / "raw" / "unpacked" / unpacked / "pictures/third.jpg")]
    # The same folder, said in another way:
    for same in [folder + "/", os.path.relpath(folder), f"{folder}/../images"]:
        assert file_name(load(same)) == file_name(dataset)
    assert len(processed(root)) == 3


@pytest.mark.parametrize("root", [None, "memory://"])
def test_images_of_an_archive_without_a_folder(tmp_path, monkeypatch, root):
    folder = make_images(tmp_path / "images")
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(folder, "pictures")
    monkeypatch.setattr(MyDataset, "files", {})
    monkeypatch.setattr(
        MyDataset,
        "read",
        lambda self: to_record([x.split("\t") for x in FACTS.decode().splitlines()], "facts"),
    )
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    root = root and f"{root}{uuid4().hex}"
    kwargs = {"text": None, "visual": SizeEncoder(), "images": str(tmp_path / "archive.tar")}
    data = MyDataset(root, **kwargs)[0]
    assert data.x_visual.tolist() == [[2, 1], [0, 0], [1, 3]]
    assert os.listdir(tmp_path / "empty") == []


def test_other_images_under_the_same_name(tmp_path):
    folder = make_images(tmp_path / "images")
    kwargs = {"text": None, "visual": SizeEncoder()}
    dataset = MyDataset(str(tmp_path / "data"), images=folder, **kwargs)
    assert dataset[0].visual_mask.tolist() == [True, False, True]
    for name in ("b.png", "a.png"):  # A file that is added to a folder, and an archive that grows.
        (tmp_path / "images" / "b.png").write_bytes(b"1" * 5)
        data = MyDataset(str(tmp_path / "data"), images=folder, **kwargs)[0]
        assert data.visual_mask.all(), name
    paths = set()
    for _ in range(2):
        with tarfile.open(tmp_path / "images.tar", "w") as archive:
            archive.add(folder, "pictures")
        (tmp_path / "images" / "a2.png").write_bytes(b"1" * 10_000)
        archive = str(tmp_path / "images.tar")
        paths.add(MyDataset(str(tmp_path / "data"), images=archive, **kwargs).processed_paths[0])
    assert len(paths) == 2


def test_raw_images_that_change(tmp_path):
    make_images(tmp_path / "data" / "raw" / "images")
    (tmp_path / "data" / "raw" / "images" / "b.png").write_bytes(b"1" * 5)
    paths = []
    for size in (5, 7):
        (tmp_path / "data" / "raw" / "images" / "b.png").write_bytes(b"1" * size)
        dataset = MyDataset(str(tmp_path / "data"), text=None, visual=SizeEncoder())
        assert dataset[0].x_visual[1].tolist() == [1, size]
        paths += dataset.processed_paths
    dataset = MyDataset(str(tmp_path / "data"), text=None, visual=SizeEncoder())
    assert dataset.processed_paths == paths[1:] != paths[:1]


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset = MyDataset("~/data/", text=None)
    assert dataset.processed_dir == str(tmp_path / "data" / "processed")
    assert os.listdir(tmp_path / "data" / "raw" / "source") == ["facts.tsv"]
    assert len(processed(tmp_path / "data")) == 1


def test_memory_file_system(tmp_path, monkeypatch, mirror, features):
    np.savez(mirror / "visual.npz", entity=["third"], feature=np.ones((1, 4)))
    files = MyDataset.files | {
        "visual": [[raw_file("source/visual.npz", (mirror / "visual.npz").read_bytes())]]
    }
    monkeypatch.setattr(MyDataset, "files", files)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    root = f"memory://{uuid4().hex}"
    fs.makedirs(root)
    fs.cp(features, f"{root}/x.npy")
    for _ in range(2):
        dataset = MyDataset(root, text=LengthEncoder(), numeric=f"{root}/x.npy")
        data = dataset[0]
        assert data.x_text.tolist() == [[3], [0], [5]]
        assert data.x_visual.tolist() == [[0] * 4, [0] * 4, [1] * 4]
        assert data.x_numeric.tolist() == [[1, 2], [0, 0], [3, 4]]
        assert dataset.texts() == ["one", None, "three"]
        assert dataset.processed_paths[0].startswith(f"{root}/processed/data_original_text=Length")
        monkeypatch.setenv("TORCH_IMF_MIRROR", "/nowhere")  # All is there.
    assert LengthEncoder.calls == 1
    assert fs.exists(f"{root}/raw/source/facts.tsv") and fs.exists(f"{root}/raw/source/visual.npz")
    assert os.listdir(tmp_path / "empty") == []
    with fs.get_fs(root).open(f"{root}/raw/source/facts.tsv", "wb") as file:
        file.write(b"half")
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    with pytest.warns(UserWarning, match="facts.tsv' is damaged"):
        MyDataset(root, text=None, force_reload=True)


def graph():
    splits = [torch.tensor(x) for x in ([[0, 1], [0, 1], [1, 2]], [[2], [0], [0]], [[1], [1], [0]])]
    data = Record(splits, ["a", "b", "c"], ["r", "s"], ["A", "B", "B"], ["R", "S"]).to_data()
    data.x_text = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    data.text_mask = torch.tensor([True, False, True])
    return data


@pytest.mark.parametrize(
    "key, value, message",
    [
        (
            "edge_index",
            torch.tensor([[0, 1, 9, 1], [1, 2, 0, 0]]),
            r"'edge_index' holds ids outside .0, 3.",
        ),
        ("edge_type", torch.tensor([0, 1, 2, 1]), "'edge_type' holds ids outside .0, 2."),
        ("train_mask", torch.zeros(4, dtype=torch.bool), "split of 'train_mask' is empty"),
        ("train_mask", torch.ones(4, dtype=torch.bool), "Fact 2 is in 2 splits"),
        ("train_mask", torch.tensor([True, False, False, False]), "Fact 1 is in 0 splits"),
        ("node_ids", ["a", "b"], r"'node_ids' needs to hold 3 strings \(got 2"),
        ("node_ids", ["a", "b", "a"], "an identifier twice"),
        ("node_names", ["A"], "'node_names' needs to hold 3"),
        ("rel_ids", ["r"], "'rel_ids' needs to hold 2"),
        ("rel_ids", ["r", "r"], "'rel_ids' holds an identifier twice"),
        ("rel_names", ["r"], "'rel_names' needs to hold 2"),
        ("x_text", torch.ones(3, 1), "'x_text' is not zero in 1 masked rows"),
        ("x_text", torch.ones(3, 1, dtype=torch.double), "of type float32"),
    ],
)
def test_validate(key, value, message):
    data = graph()
    data[key] = value
    with pytest.raises(ValueError, match=message):
        validate(data)


def test_validate_needs_masks():
    data = graph()
    del data.text_mask
    with pytest.raises(ValueError, match="'x_text' has no 'text_mask'"):
        validate(data)


def test_run_encoder():
    x, mask = run_encoder("text", lambda texts: torch.ones(2, 2), [["a", "b"]], [True, False])
    assert x.tolist() == [[1, 1], [0, 0]]
    assert mask.tolist() == [True, False]

    def encoder(texts):
        x = torch.ones(len(texts), 2, dtype=torch.double, requires_grad=True)
        return x, torch.tensor([text != "" for text in texts])

    x, mask = run_encoder("text", encoder, [["a", "b", ""]], [True, False, True])
    assert x.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert mask.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "out, message",
    [
        (torch.ones(3, 1), r"features of shape \[2, \*\].* \(got \['torch.float32 \[3, 1\]'"),
        (torch.ones(2), r"\(got \['torch.float32 \[2\]'"),
        (None, r"\(got \[None"),
        ((torch.ones(2, 1), torch.ones(2)), r"boolean mask of shape \[2\] .*torch.float32 \[2\]"),
        ((torch.ones(2, 1), torch.ones(3) > 0), r"torch.bool \[3\]"),
        ((torch.ones(2, 1), torch.ones(2) < 0), "found nothing .* of the 2 .*'text=None'"),
        ((torch.ones(2, 1), torch.tensor([False, True])), "found nothing"),
    ],
)
def test_run_encoder_bad_features(out, message):
    with pytest.raises(ValueError, match=message):
        run_encoder("text", lambda texts: out, [["a", None]], [True, False])


def test_large_features_stay_on_the_disk(tmp_path, monkeypatch):
    expected = FakeMMKG(str(tmp_path / "a"))[0]
    monkeypatch.setattr(mapped, "LARGE", 0)
    for _ in range(2):  # Made, and found.
        data = FakeMMKG(str(tmp_path / "b"))[0]
        x_dict, mask_dict = modalities(data)
        assert x_dict and all(map(is_mapped, x_dict.values())) and not is_mapped(data.edge_index)
        for name, x in x_dict.items():
            assert torch.equal(x, expected[f"x_{name}"])
            assert torch.equal(mask_dict[name], expected[f"{name}_mask"])
