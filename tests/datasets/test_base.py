import hashlib
import math
import os
import warnings

import pytest
import torch
from torch_geometric.data import Data

from torch_imf.datasets import KGDataset
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import index_triples, read_text, split_rows


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


class NaNEncoder(LengthEncoder):
    def __call__(self, texts):
        x = super().__call__(texts)
        x[1] = math.nan
        return x


FACTS = b"a\tr\tb\ttrain\nb\ts\tc\tval\nc\tr\ta\ttest\n"


class MyDataset(KGDataset):
    """Three facts between three entities, two of which have a text."""

    files = {"My/source/facts.tsv": (None, hashlib.sha256(FACTS).hexdigest())}

    def read(self) -> Data:
        path = self.raw_paths[0]
        rows = split_rows(read_text(path), path, columns=4)
        index = {"a": 0, "b": 1, "c": 2}
        triples = index_triples([row[:3] for row in rows], index, {"r": 0, "s": 1}, path)
        splits = [triples[:, [row[3] == name for row in rows]] for name in ["train", "val", "test"]]
        data = build_graph(splits, list(index), ["A", "B", "C"], ["r", "s"])
        self.encode(data, "text", ["one", None, "three"], mask=[True, False, True])
        return data


@pytest.fixture(autouse=True)
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror" / "My" / "source"
    folder.mkdir(parents=True)
    (folder / "facts.tsv").write_bytes(FACTS)
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    LengthEncoder.calls = 0
    return folder


def test_kg_dataset(tmp_path):
    root = str(tmp_path / "data")
    dataset = MyDataset(root, text=LengthEncoder())
    assert str(dataset) == "MyDataset(3, num_relations=2, text=LengthEncoder(1.0, None))"
    assert len(dataset) == 1
    assert dataset.num_relations == 2
    assert dataset.num_nodes == 3
    assert dataset.node_names == ["A", "B", "C"]
    assert dataset.rel_names == ["r", "s"]

    data = dataset[0]
    assert data.edge_index.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert data.edge_type.tolist() == [0, 1, 0]
    assert data.x_text.tolist() == [[3], [0], [5]]
    assert data.x_text.dtype == torch.float32
    assert data.text_mask.tolist() == [True, False, True]
    assert "x_visual" not in data
    assert "x_numeric" not in data
    assert LengthEncoder.calls == 1
    assert os.listdir(os.path.join(root, "raw")) == ["facts.tsv"]


def test_kg_dataset_is_loaded_without_warnings(tmp_path):
    root = str(tmp_path / "data")
    expected = MyDataset(root, text=LengthEncoder())[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = MyDataset(root, text=LengthEncoder())[0]
        torch.load(MyDataset(root, text=LengthEncoder()).processed_paths[0], weights_only=True)
    assert LengthEncoder.calls == 1
    assert data.keys() == expected.keys()
    assert torch.equal(data.x_text, expected.x_text)
    assert data.node_ids == expected.node_ids

    MyDataset(root, text=LengthEncoder(), force_reload=True)
    assert LengthEncoder.calls == 2


def test_encoders_do_not_mix(tmp_path):
    root = str(tmp_path / "data")
    paths, features = set(), []
    for text in [LengthEncoder(), LengthEncoder(2.0), None, LengthEncoder(), LengthEncoder(2.0)]:
        dataset = MyDataset(root, text=text)
        paths.add(dataset.processed_paths[0])
        features.append(dataset[0].x_text[2].item() if text is not None else None)
    assert features == [5, 10, None, 5, 10]
    assert len(paths) == 3
    assert LengthEncoder.calls == 2

    name = os.path.basename(MyDataset(root).processed_paths[0])
    assert name == "data_original_text=none_visual=none_numeric=none.pt"
    assert all(os.path.basename(path).startswith("data_original_text=") for path in paths)


def test_transforms(tmp_path):
    def double(data):
        data.x_text = 2 * data.x_text
        return data

    dataset = MyDataset(str(tmp_path / "a"), LengthEncoder(), transform=double)
    assert dataset[0].x_text[2].item() == 10
    dataset = MyDataset(str(tmp_path / "b"), LengthEncoder(), pre_transform=double)
    assert dataset[0].x_text[2].item() == 10


@pytest.mark.parametrize(
    "encoder, message",
    [
        (NaNEncoder(), r"text encoder LengthEncoder\(1.0, None\) returned NaN .* 1 rows .*\[1\]"),
        (LengthEncoder(size=2), r"LengthEncoder\(1.0, 2\) needs .* \[3, \*\] \(got \[2, 1\]\)"),
    ],
)
def test_bad_features(tmp_path, encoder, message):
    with pytest.raises(ValueError, match=message):
        MyDataset(str(tmp_path / "data"), text=encoder)
    assert os.listdir(tmp_path / "data" / "processed") == []


def test_bad_facts_are_found_before_encoding(tmp_path, mirror, monkeypatch):
    for facts, message in [
        (FACTS + b"a\tr\n", "facts.tsv', line 4: expected 4 fields"),
        (FACTS + b"a\tr\td\ttest\n", "facts.tsv', line 4: unknown entity 'd'"),
        (FACTS[: FACTS.index(b"c\tr")], "split of 'test_mask' is empty"),
    ]:
        (mirror / "facts.tsv").write_bytes(facts)
        files = {"My/source/facts.tsv": (None, hashlib.sha256(facts).hexdigest())}
        monkeypatch.setattr(MyDataset, "files", files)
        with pytest.raises(ValueError, match=message):
            MyDataset(str(tmp_path / str(len(facts))), text=LengthEncoder())
    assert LengthEncoder.calls == 0


def test_damaged_raw_file(tmp_path, mirror):
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "facts.tsv").write_bytes(FACTS[:10])  # As if put there by hand.
    with pytest.warns(UserWarning, match="facts.tsv' is damaged"):
        dataset = MyDataset(str(tmp_path / "data"))
    assert dataset[0].num_edges == 3

    (mirror / "facts.tsv").unlink()
    with pytest.raises(RuntimeError, match="Please download 'facts.tsv'"):
        MyDataset(str(tmp_path / "other"))


@pytest.mark.parametrize("size", [0, 100])
def test_damaged_processed_file(tmp_path, size):
    root = str(tmp_path / "data")
    path = MyDataset(root).processed_paths[0]
    with open(path, "r+b") as f:
        f.truncate(size)
    with pytest.raises(RuntimeError, match="is damaged, pass 'force_reload=True'"):
        MyDataset(root)
    assert MyDataset(root, force_reload=True)[0].num_edges == 3


def test_interrupted_processing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    root = tmp_path / "data"
    with monkeypatch.context() as context:
        context.setattr(os, "replace", interrupt)
        (root / "raw").mkdir(parents=True)
        (root / "raw" / "facts.tsv").write_bytes(FACTS)
        with pytest.raises(KeyboardInterrupt):
            MyDataset(str(root))
    assert os.listdir(root / "processed") == []
    assert MyDataset(str(root))[0].num_edges == 3


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"Invalid 'text' argument \(got 'auto'\)"):
        MyDataset(str(tmp_path), text="auto")
    with pytest.raises(ValueError, match="cannot be told from others"):
        MyDataset(str(tmp_path), visual=lambda images: None)
    with pytest.raises(ValueError, match="'MyDataset' needs a 'root'"):
        MyDataset()
    assert os.listdir(tmp_path) == ["mirror"]
