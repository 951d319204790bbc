import shutil

import pytest
from PIL import Image

from torch_imf import Predictor, pretrained_graph
from torch_imf.cli.inputs import Saved
from torch_imf.datasets import read_entities


@pytest.fixture
def new(tmp_path):
    """A folder of two entities, one of them without a number."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "texts.tsv").write_text("entity\ttext\tname\nx:at\t\tAtlantis\nx:mu\t\tMu\n")
    (folder / "numbers.tsv").write_text("entity\tattribute\tvalue\nx:at\tpopulation\t5000\n")
    (folder / "facts.tsv").write_text(
        "head\trelation\ttail\nx:at\tcontinent\tEurope\nx:mu\tborders\tx:at\nx:mu\tborders\tFrance\n"
    )
    return folder


def content(folder):
    return {str(x): x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file()}


def test_folder(new):
    entities, facts = read_entities(new)
    assert [x["name"] for x in entities] == ["Atlantis", "Mu"]
    assert entities[0]["numbers"] == {"population": 5000} and "numbers" not in entities[1]
    assert set(facts) == {
        ("x:at", "continent", "Europe"),
        ("x:mu", "borders", "x:at"),
        ("x:mu", "borders", "France"),
    }


def picture(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), "green").save(path)
    return str(path)


def test_pictures_and_wide_numbers(new, refuses):
    # Known by identifier, by name, or by nothing but a picture:
    files = [picture(new / "images" / name) for name in ("x:at.png", "Mu.jpg", "Lémuria 1.png")]
    (new / "numbers.tsv").write_text("entity\tpopulation\tarea\nAtlantis\t5000\t\nThule\t7\t3\n")
    by_id = {x["id"]: x for x in read_entities(new)[0]}
    assert list(by_id) == ["x:at", "x:mu", "Lémuria 1", "Thule"]
    assert [by_id[x]["image"] for x in list(by_id)[:3]] == [[file] for file in files]
    assert by_id["x:at"]["numbers"] == {"population": 5000}
    assert by_id["Thule"]["numbers"] == {"population": 7, "area": 3}
    assert "image" not in by_id["Thule"]

    read = lambda: read_entities(new)  # noqa: E731
    (new / "numbers.tsv").write_text("entity\tattribute\tvalue\nMu\tarea\tmany\n")
    refuses(("expected a number", read))
    with pytest.warns(UserWarning, match="left out"):
        assert "numbers" not in read_entities(new, strict=False)[0][1]
    with (new / "texts.tsv").open("a") as file:
        file.write("x:mu\tSunk.\tMu\n")
    refuses(("has another text already", read))
    shutil.rmtree(new / "images")
    (new / "images.zip").write_bytes(b"")
    (new / "texts.tsv").unlink()
    refuses(("is an archive. Please unpack it", read))


def test_add(saved, new, tmp_path, call, read, fails):
    before, second = content(saved), tmp_path / "second"
    out = read("add", saved, new, "--out", second)
    assert len(out["entities"]) == 2 and len(out["facts"]) == 3
    assert content(saved) == before
    data = pretrained_graph(second / "model")
    assert data.node_names[-2:] == ["Atlantis", "Mu"] and data.num_nodes == 727
    old, both = (Saved(str(x)).predictor() for x in (saved, second))
    query = {"head": "Portugal", "relation": "continent", "k": 727}
    scores = {x.name: x.score for x in both.predict(**query)}
    assert all(scores[x.name] == x.score for x in old.predict(**query))
    assert isinstance(both, Predictor) and "Mu" in call("explain", second, "Mu", "borders", "Spain")
    # Once more, in place:
    (new / "texts.tsv").write_text("entity\ttext\nLemuria\t\n")
    (new / "numbers.tsv").unlink()
    (new / "facts.tsv").write_text("Lemuria\tborders\tMu\n")
    call("add", second, new, "--out", second)
    assert pretrained_graph(second / "model").num_nodes == 728

    before = content(second)
    assert "is not empty" in fails("add", saved, new, "--out", second)
    assert "has such entities already" in fails("add", second, new, "--out", second)
    (new / "facts.tsv").write_text("Lemuria\tborders\tNowhere\n")
    assert "no entity 'Nowhere'" in fails("add", saved, new, "--out", tmp_path / "third")
    assert not (tmp_path / "third").exists() and content(second) == before
    # Of a name that others have, it is asked for by more than that:
    (new / "texts.tsv").write_text("entity\ttext\tname\nx:fr\t\tFrance\n")
    (new / "facts.tsv").write_text("x:fr\tborders\tFrance\n")
    assert "ambiguous" in fails("add", saved, new, "--out", tmp_path / "third")
    (new / "facts.tsv").write_text("x:fr\tborders\tcountry:fr\n")
    assert "--head 'France (x:fr)'" in call("add", saved, new, "--out", tmp_path / "third")
    shutil.rmtree(new)
    assert "There is no folder" in fails("add", saved, new)
