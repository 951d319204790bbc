import pytest

from torch_imf import datasets, encoders
from torch_imf.cli import main
from torch_imf.nn import fusion, models, scorer
from torch_imf.registry import class_names


def test_datasets(capsys):
    assert main(["list", "datasets"]) == 0
    table, _, notes = capsys.readouterr().out.partition("\n\n")
    title, header, *lines = table.splitlines()
    assert title == "datasets" and "of YAGO15K, a mirror may hold no more" in notes
    assert header.split() == [
        *["dataset", "version", "entities", "relations", "train", "val", "test"],
        *["entities", "with"],
    ]
    rows = [line.split(maxsplit=7) for line in lines]
    expected = [
        [name, version or "-", *(f"{size:,}" for size in stats[:5])]
        for name in class_names("dataset")
        for version, stats in getattr(datasets, name).stats.items()
    ]
    assert [row[:7] for row in rows] == expected
    assert {row[0] for row in rows} == set(class_names("dataset")) - {"FakeMMKG"}
    assert "description 12,839, numbers 10,971, images 269" in {row[7] for row in rows}
    assert len({line.index(row[7]) for line, row in zip(lines, rows, strict=True)}) == 1


def test_everything(read):
    out = read("list")
    assert list(out) == ["datasets", "models", "scorers", "fusions", "samplers", "encoders"]
    for kind, module in {"models": models, "scorers": scorer, "fusions": fusion}.items():
        assert [x["name"] for x in out[kind]] == module.classes
    assert [x["name"] for x in out["samplers"]] == class_names("sampler")
    assert {x["name"] for x in out["encoders"]} <= set(encoders.__all__)
    abouts = [x["about"] for kind in list(out)[1:] for x in out[kind]]
    assert all(20 < len(about) <= 120 or about == "A structure-only model" for about in abouts)
    assert not any(mark in about for about in abouts for mark in ("`", "http", ":obj:", "<"))
    (about,) = (x["about"] for x in out["scorers"] if x["name"] == "RotatE")
    assert about == (
        'The RotatE scorer from the "RotatE: Knowledge Graph Embedding by Relational Rotation in '
        'Complex Space" paper'
    )


@pytest.mark.parametrize("kind", ["models", "samplers"])
def test_one(read, kind):
    assert list(read("list", kind)) == [kind]
