import pytest
import torch

from torch_imf.datasets import KGDataset
from torch_imf.datasets.base import Record
from torch_imf.datasets.report import Summary
from torch_imf.transforms import AddInverse


class Encoder:
    def __call__(self, texts):
        return torch.ones(len(texts), 3)

    def __repr__(self):
        return "Encoder(3)"


class Small(KGDataset):
    """Three entities, two of which have a text."""

    versions = ("new", "old")
    modalities = ("text",)
    incomplete = None

    def read(self) -> Record:
        train = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 2, 2]])
        splits = [train, train[:, :1].flip(0), train[:, :1]]
        return Record(splits, ["a", "b", "c"], ["r", "s"], ["A", "B", "C"])

    def read_texts(self, data):
        return ["one", None, "three"]


def test_summary():
    summary = Small(text=Encoder()).summary()
    assert summary == Summary(
        name="Small ('new', 'original')",
        num_nodes=3,
        num_relations=2,
        num_facts={"train": 3, "val": 1, "test": 1},
        coverage={"text": 2},
        channels={"text": 3},
        encoders={"text": "Encoder(3)"},
    )
    assert str(summary) == (
        "Small ('new', 'original'): 3 entities, 2 relations\n"
        "  facts    3 train, 1 val, 1 test\n"
        "  text     2 entities (66.7%), 3 channels, Encoder(3)"
    )

    summary = Small(version="old", scheme="clean", text=None).summary()
    assert str(summary).splitlines() == [
        "Small ('old', 'clean'): 3 entities, 2 relations",
        "  facts    1 train, 1 val, 1 test",
    ]


def test_summary_counts_no_inverses():
    expected = Small(text=None).summary()
    dataset = Small(text=None, pre_transform=AddInverse())
    assert dataset[0].num_edges == 10 and dataset.summary() == expected


def test_summary_warns(monkeypatch):
    monkeypatch.setattr(Small, "incomplete", "A part is missing")
    with pytest.warns(UserWarning, match="A part is missing"):
        summary = Small(text=None).summary()
    assert summary.warning == "A part is missing"
    assert str(summary).endswith("\n  WARNING  A part is missing")
