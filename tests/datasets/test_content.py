import pytest
import torch

from torch_imf.data import NameIndex
from torch_imf.datasets import Countries, FakeMMKG
from torch_imf.encoders import NumericEncoder, PixelEncoder, TfidfEncoder


def test_content_of_countries():
    dataset = Countries(text=None, visual=None, numeric=None)
    texts, images = dataset.texts(), dataset.images()
    assert len(texts) == len(images) == dataset.num_nodes
    assert sum(image is not None for image in images) == 197
    index, attributes, values = dataset.literals()
    assert index.size() == values.size() == (len(attributes),)
    assert set(attributes) == {"area", "population", "latitude", "longitude"}

    names = dataset.names()
    assert isinstance(names, NameIndex)
    france = names(["fr", "country:fr"]).tolist()
    assert france == 2 * [dataset[0].node_ids.index("country:fr")]
    assert texts[france[0]].startswith("France. ")
    area = [i for i, x in enumerate(attributes) if x == "area" and index[i] == france[0]]
    assert 5e5 < float(values[area]) < 7e5
    assert images[france[0]].dtype == torch.uint8

    defaults = [dataset.default_encoder(x) for x in ("text", "visual", "numeric")]
    assert list(map(type, defaults)) == [TfidfEncoder, PixelEncoder, NumericEncoder]


@pytest.mark.parametrize("name", ["texts", "images", "literals"])
def test_content_that_is_not_there(name):
    dataset = FakeMMKG()
    content = {"images": "images", "texts": "texts", "literals": "numeric literals"}[name]
    with pytest.raises(ValueError, match=f"'FakeMMKG' has no {content}"):
        getattr(dataset, name)()
    assert all(dataset.default_encoder(x) is None for x in ("text", "visual", "numeric"))
