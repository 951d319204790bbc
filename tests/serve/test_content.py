import torch

from torch_imf.data import NameIndex
from torch_imf.datasets import Countries
from torch_imf.serve import Content


def test_content_of_dataset():
    dataset = Countries(text=None, visual=None, numeric=None)
    ids = ["country:fr", "country:new"]  # Not all of them, in another order, and a new one.
    content = Content.of_dataset(ids, dataset)
    assert content.text(0).startswith("France. ") and content.text(1) == ""
    assert set(content.numbers["country:fr"]) == {"area", "population"}
    flag, none = content.pictures([0, 1])
    assert flag.size == (144, 96) and none is None


def test_pictures_of_files(explorer, tmp_path):
    from PIL import Image

    # Neither a broken nor a missing file, nor a row that is none, is an error:
    assert explorer.content.pictures([5, 6, 999]) == [None] * 3
    Image.new("RGB", (2000, 100), "red").save(tmp_path / "a.png")
    content = Content(["a", "b"])
    content.add_folder(str(tmp_path), NameIndex(["a", "b"]))
    (picture, none) = content.pictures([0, 1])
    assert picture.size == (512, 26) and none is None
    (tmp_path / "a.png").unlink()
    assert content.pictures([0])[0] is picture  # It is kept.


def test_only_images_of_the_graph():
    content = Content(["../secret", "/etc/passwd"])
    assert content.pictures([0, 1]) == [None, None]
    content = Content(["a"], images={"a": torch.zeros(3, 8, 8, dtype=torch.uint8)})
    assert content.pictures([0])[0].size == (32, 32)
