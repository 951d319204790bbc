import os
import shutil

import pytest
from torch_geometric.testing import withPackage

from torch_imf.datasets import WN9IMG
from torch_imf.encoders import PixelEncoder

FILES = {
    "WN9-IMG/IKRL/entity2id.txt": "n02084071\t0\r\nn02103406\t1\r\nn10083823\t2\r\n",
    "WN9-IMG/IKRL/relation2id.txt": "_hypernym\t0\r\n_has_part\t1\r\n",
    "WN9-IMG/IKRL/train.txt": (  # Head, tail and relation.
        "n02103406\tn02084071\t_hypernym\r\nn10083823\tn02103406\t_has_part\r\n"
    ),
    "WN9-IMG/IKRL/valid.txt": "n02084071\tn10083823\t_hypernym\r\n",
    "WN9-IMG/IKRL/test.txt": "n02084071\tn02103406\t_has_part\r\n",
}
TABLE = {
    "WN9-IMG/derived/entity2text.tsv": (
        "entity\tname\tshort_description\tlong_description\n"
        "n10083823\tfarrier\t\tfarrier, a person\nn02084071\tdog,  Canis\t\tdog, an animal\n"
        "n02103406\tworking dog\t\tworking dog, any of several breeds\n"
    )
}
GLOSSES = {  # Names of all of WordNet, but not all of its glosses, which have keys of their own.
    "WN9-IMG/MoSE/ent_name.txt": (
        "n00003993\tpsychological feature\nn02084071\tdog,  Canis\n"
        "n02103406\tworking dog\nn10083823\tfarrier\n"
    ),
    "WN9-IMG/MoSE/ent_dscp.txt": (
        "10083823\tfarrier, a person\n02103406\tworking dog, any of several breeds\n"
        "02084071\tdog, an animal\n"
    ),
}
TEXTS = [
    "dog, Canis. dog, an animal",
    "working dog. working dog, any of several breeds",
    "farrier. farrier, a person",
]


@pytest.fixture(autouse=True)
def files(small):
    small.put(WN9IMG, FILES)


def check(dataset):
    data = dataset[0]
    assert data.node_ids == ["n02084071", "n02103406", "n10083823"]
    assert data.node_names == ["dog, Canis", "working dog", "farrier"]
    assert data.rel_ids == ["_hypernym", "_has_part"]
    assert data.rel_names == ["hypernym", "has part"]
    assert data.edge_index.tolist() == [[1, 2, 0, 0], [0, 1, 2, 1]]
    assert data.edge_type.tolist() == [0, 1, 0, 1]
    assert dataset.texts() == TEXTS


def test_wn9img(small, root):
    small.put(WN9IMG, TABLE)
    small.put(WN9IMG, {"WN9-IMG/derived/visual_mobilenetv2.npz": {"n02103406": [1, 2]}})
    dataset = WN9IMG(root, text=None)
    check(dataset)
    assert dataset[0].x_visual.tolist() == [[0, 0], [1, 2], [0, 0]]
    assert dataset[0].visual_mask.tolist() == [False, True, False]
    assert str(dataset).startswith("WN9IMG(3, num_relations=2, visual=FeatureFile(")
    assert small.requests == []


@pytest.mark.parametrize("upstream", [True, False])
def test_wn9img_second_choice(small, root, upstream):
    small.put(WN9IMG, GLOSSES, upstream)
    dataset = WN9IMG(root, text=None, visual=None)
    check(dataset)
    assert "MoSE/ent_name.txt" in dataset.raw_file_names
    assert len(small.requests) == 2 * upstream

    small.put(WN9IMG, TABLE)
    other = WN9IMG(root, text=None, visual=None, force_reload=True)
    check(other)
    assert "derived/entity2text.tsv" in other.raw_file_names
    assert other.processed_paths != dataset.processed_paths


def test_wn9img_by_hand(small, root, monkeypatch):
    small.put(WN9IMG, GLOSSES, upstream=True)
    monkeypatch.delenv("TORCH_IMF_MIRROR")
    with pytest.raises(RuntimeError) as error:
        WN9IMG(root, text=None)
    assert (
        "Dataset not found. Please download 'entity2id.txt' from 'the archive data.rar of "
        f"https://github.com/thunlp/IKRL' and move it to '{root}/raw/IKRL'"
    ) in str(error.value)
    assert small.requests == []

    shutil.copytree(small.folder / "WN9-IMG" / "IKRL", os.path.join(root, "raw", "IKRL"))
    dataset = WN9IMG(root, text=None)
    assert str(dataset) == "WN9IMG(3, num_relations=2)"
    check(dataset)


@withPackage("PIL")
def test_wn9img_images(small, root, tmp_path):
    from PIL import Image

    small.put(WN9IMG, TABLE)
    with pytest.raises(ValueError, match=r"no images of 'WN9IMG'.*as in 'n02084071.jpg'"):
        WN9IMG(root, text=None, visual=PixelEncoder(1, 1))

    folder = tmp_path / "images" / "n02084071"  # As in ImageNet.
    folder.mkdir(parents=True)
    for i in (12, 7):
        Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / f"n02084071_{i}.JPEG")
    dataset = WN9IMG(root, text=None, visual=PixelEncoder(1, 1), images=str(tmp_path / "images"))
    assert dataset[0].visual_mask.tolist() == [True, False, False]
    paths = [str(folder / f"n02084071_{i}.JPEG") for i in (12, 7)]
    assert dataset.images() == [paths, None, None]
