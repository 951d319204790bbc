import os

import pytest
import torch

from torch_imf.datasets import DB15K
from torch_imf.encoders import FeatureFile

URI = "<http://dbpedia.org/resource/{}>".format
TYPE, COUNTRY = (
    "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>",
    "<http://dbpedia.org/ontology/country>",
)
PARIS, FRANCE, STOKER, AC = map(
    URI, ["Paris", "Franciaország", 'Abraham_"Bram"_Stoker', "AC/DC_(band)"]
)


def ids(names, count=False):
    return f"{len(names)}\n" * count + "".join(f"{name} {i}\n" for i, name in enumerate(names))


NODES = {"AdaMF-MAT": [PARIS, FRANCE, STOKER, AC], "IMF": [AC, STOKER, FRANCE, PARIS]}
TRAIN = f"{PARIS} {COUNTRY} {FRANCE} .\n{AC} {TYPE} {STOKER} .\n"
FILES = {
    "DB15K/AdaMF-MAT/entity2id.txt": ids(NODES["AdaMF-MAT"], count=True),
    "DB15K/AdaMF-MAT/relation2id.txt": ids([TYPE, COUNTRY], count=True),
    "DB15K/AdaMF-MAT/train2id.txt": "3\n0 1 1\n3 2 0\n1 1 1\n",  # Head, tail and relation.
    "DB15K/AdaMF-MAT/valid2id.txt": "2\n0 1 1\n0 1 1\n",
    "DB15K/AdaMF-MAT/test2id.txt": "1\n1 0 0\n",
    "DB15K/IMF/entity2id.txt": ids(NODES["IMF"]),
    "DB15K/IMF/relation2id.txt": ids([COUNTRY, TYPE]),
    "DB15K/IMF/train.txt.gz": TRAIN,
    "DB15K/IMF/val.txt": f"{FRANCE} {COUNTRY} {FRANCE} .\n",
    "DB15K/IMF/test.txt": f"{FRANCE} {TYPE} {PARIS} .\n{PARIS} {COUNTRY} {FRANCE} .\n",
    "DB15K/IMF/entity2fb.txt": f"{AC} /m/a 0\n{STOKER} /m/b 1\n{FRANCE} /m/d 2\n",
    "DB15K/Literal_KGs/DB15k_Numeric_triples_processed.txt": (
        'Paris\theight\t35.0\n"Abraham_""Bram""_Stoker"\tbirthDate\t1847-7-1\n'
        "Franciaország\theight\t4800\nSomebody\theight\t1.8\n"
    ),
    "DB15K/MMKB/DB15K_ImageIndex.txt": f"{STOKER}\tDBIMG1\n{PARIS}\tDBIMG2\n",
    "DB15K/MMKB/DB15K_SameAsLink.txt": (
        f"/m/05qtj <SameAs> {PARIS} .\n/m/0f8l9c <SameAs> {FRANCE} .\n"
    ),
    "DB15K/derived/visual_mobilenetv2.npz": {FRANCE: [1, 2], AC: [3, 4]},
}


@pytest.fixture(autouse=True)
def files(small):
    small.put(DB15K, FILES | small.TEXTS)


def test_db15k(root):
    dataset = DB15K(root, text=None)
    data = dataset[0]
    assert data.node_ids == NODES["AdaMF-MAT"]
    assert data.node_names == ["Paris", "Franciaország", 'Abraham "Bram" Stoker', "AC/DC (band)"]
    assert data.rel_ids == [TYPE, COUNTRY]
    assert data.rel_names == ["type", "country"]
    assert data.edge_index.tolist() == [[0, 3, 1, 0, 0, 1], [1, 2, 1, 1, 1, 0]]
    assert data.edge_type.tolist() == [1, 0, 1, 1, 1, 0]
    assert data.val_mask.tolist() == [False, False, False, True, True, False]
    assert dataset.texts() == [
        "Paris",
        "Franciaország. No.",
        'Abraham "Bram" Stoker. B is two.',
        'AC/DC (band). first. A is "1".',
    ]
    assert data.x_visual.tolist() == [[0, 0], [1, 2], [0, 0], [3, 4]]
    assert data.visual_mask.tolist() == [False, True, False, True]
    assert data.numeric_mask.tolist() == [True, True, True, False]
    index, attributes, values = dataset.literals()
    assert index.tolist() == [0, 2, 1]
    assert attributes == ["height", "birthDate", "height"]
    assert values.tolist() == [35, 1847.5, 4800]
    assert str(dataset).startswith("DB15K(4, num_relations=2, visual=FeatureFile(")


def test_db15k_imf(root):
    dataset = DB15K(root, version="imf", text=None)
    data = dataset[0]
    assert data.node_ids == NODES["IMF"]
    assert data.rel_names == ["country", "type"]
    assert data.edge_index.tolist() == [[3, 0, 2, 2, 3], [2, 1, 2, 3, 2]]
    assert data.edge_type.tolist() == [0, 1, 0, 1, 0]
    assert data.test_mask.tolist() == [False, False, False, True, True]
    assert dataset.texts()[0] == 'AC/DC (band). first. A is "1".'
    assert data.x_visual.tolist() == [[3, 4], [0, 0], [1, 2], [0, 0]]
    assert dataset.literals()[0].tolist() == [3, 1, 2]
    assert str(dataset).startswith("DB15K(4, num_relations=2, version='imf', visual=")
    assert DB15K(root, text=None)[0].node_ids == NODES["AdaMF-MAT"]


@pytest.mark.parametrize("upstream", [True, False])
def test_db15k_imf_second_choice(small, root, upstream):
    kwargs = {"version": "imf", "text": None, "visual": None, "numeric": None}
    small.remove("DB15K/IMF/train.txt.gz")
    small.put(DB15K, {"DB15K/IMF/train.txt": "".join(TRAIN.splitlines(True)[::-1])}, upstream)
    dataset = DB15K(root, **kwargs)
    assert dataset[0].edge_index.tolist() == [[0, 3, 2, 2, 3], [1, 2, 2, 3, 2]]
    assert "IMF/train.txt" in dataset.raw_file_names
    assert len(small.requests) == upstream

    # Once the other file is there, the order of training facts is another one:
    small.put(DB15K, {"DB15K/IMF/train.txt.gz": TRAIN})
    other = DB15K(root, **kwargs, force_reload=True)
    assert other[0].edge_index.tolist() == [[3, 0, 2, 2, 3], [2, 1, 2, 3, 2]]
    assert "IMF/train.txt" not in other.raw_file_names
    assert other.processed_paths != dataset.processed_paths


def test_db15k_clean(root):
    dataset = DB15K(root, version="imf", scheme="clean", text=None, visual=None, numeric=None)
    data = dataset[0]
    assert data.edge_index.tolist() == [[0, 2, 2, 3], [1, 2, 3, 2]]
    assert [int(mask.sum()) for mask in (data.train_mask, data.val_mask)] == [1, 1]
    assert str(dataset) == "DB15K(4, num_relations=2, version='imf', scheme='clean')"
    assert "data_imf_clean_" in dataset.processed_paths[0]

    original = DB15K(root, version="imf", text=None, visual=None, numeric=None)
    assert original[0].num_edges == 5
    with pytest.raises(ValueError, match=r"'mmkb'\), expected one of \['mmrns', 'imf'\]"):
        DB15K(root, version="mmkb")
    with pytest.raises(ValueError, match=r"\(got 'dedup'\), expected one of \['original', 'cl"):
        DB15K(root, scheme="dedup")


@pytest.mark.parametrize("version", DB15K.versions)
def test_db15k_features_by_name(root, write_h5, version):
    kwargs = {"version": version, "text": None, "numeric": None}

    def features(path):
        data = DB15K(root, visual=path, **kwargs)[0]
        return {data.node_ids[i]: data.x_visual[i, 0].item() for i in data.visual_mask.nonzero()}

    path = write_h5("DB15K_ImageData.h5", {"DBIMG1": [[1, 9]], "DBIMG2": [[2, 9]]})
    assert features(path) == {STOKER: 1, PARIS: 2}
    path = write_h5("MMKB_img_BEIT_16-224.h5", {"m.05qtj": [[1, 9], [2, 9]], "m.0f8l9c": [[3, 9]]})
    assert features(path) == {PARIS: 1.5, FRANCE: 3}
    path = write_h5("uri.h5", {AC: [1, 9], FRANCE[1:-1]: [2, 9], "Paris": [3, 9]})
    assert features(path) == {AC: 1, FRANCE: 2, PARIS: 3}


def test_db15k_features_by_row(root, tmp_path):
    path = str(tmp_path / "DB15K-visual.pth")
    x = torch.tensor([[1.0, 1], [2, 2], [0, 0], [4, 4]])
    torch.save(x, path)
    data = DB15K(root, text=None, visual=path, numeric=None)[0]
    assert torch.equal(data.x_visual, x)
    assert data.visual_mask.tolist() == [True, True, False, True]
    assert data.encoders["visual"].startswith("FeatureFile('DB15K-visual.pth', sha256=")

    # The other version numbers entities in another way:
    rows = FeatureFile(path, ids=os.path.join(root, "raw", "AdaMF-MAT", "entity2id.txt"))
    data = DB15K(root, version="imf", text=rows, visual=rows, numeric=None)[0]
    assert torch.equal(data.x_visual, x.flip(0))
    assert torch.equal(data.x_text, data.x_visual)

    torch.save(x[:3], path)
    with pytest.raises(ValueError, match="have 3 rows for 4 entities"):
        DB15K(root, text=None, visual=path, numeric=None)
