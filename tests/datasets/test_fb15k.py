import os

import pytest

from torch_imf.datasets import FB15K

FILES = {
    "FB15K/OpenKE/entity2id.txt": "4\r\n/m/a\t0\r\n/m/b\t1\r\n/m/c\t2\r\n/m/d\t3\r\n",
    "FB15K/OpenKE/relation2id.txt": "2\r\n/film/actor\t0\r\n/film/genre\t1\r\n",
    "FB15K/OpenKE/train2id.txt": "2\n0 1 0\n2 0 1\n",  # Head, tail and relation.
    "FB15K/OpenKE/valid2id.txt": "1\n1 0 0\n",
    "FB15K/OpenKE/test2id.txt": "1\n2 3 0\n",
    "FB15K/IMF/entity2id.txt": "/m/d 0\n/m/c 1\n/m/b 2\n/m/a 3\n",
    "FB15K/IMF/relation2id.txt": "/film/genre 0\n/film/actor 1\n",
    "FB15K/kg-bert/FB15k_mid2name.txt": "/m/a\tAh\n/m/b\tBe\n/m/c\tMr_C\n/m/d\tMr_D\n",
    "FB15K/MMKB/FB15K_NumericalTriples.txt": "/m/a\t<height>\t1.5\n",
    "FB15K/MMKB/FB15K_ImageIndex.txt": "/m/c\tFBIMG1\n/m/a\tFBIMG2\n",
    "FB15K/derived/visual_mobilenetv2.npz": {"/m/a": [1, 1, 1, 1]},
    "FB15K/derived/visual_mobilenetv2_rsme_samples.npz": {"/m/b": [3, 3, 3, 3]},
}
IMF = {  # The mirror has none of these.
    "FB15K/IMF/train.txt": "/m/c /film/actor /m/d\n/m/c /film/genre /m/a\n",
    "FB15K/IMF/val.txt": "/m/b /film/actor /m/a\n",
    "FB15K/IMF/test.txt": "/m/a /film/actor /m/b\n",
}


@pytest.fixture(autouse=True)
def files(small):
    small.put(FB15K, FILES | small.TEXTS)


def test_fb15k(root):
    dataset = FB15K(root, text=None)
    data = dataset[0]
    assert data.node_ids == ["/m/a", "/m/b", "/m/c", "/m/d"]
    assert data.node_names == ["A", "Bé", "Mr C", "Mr D"]
    assert data.rel_names == ["/film/actor", "/film/genre"]
    assert data.edge_index.tolist() == [[0, 2, 1, 2], [1, 0, 0, 3]]
    assert data.edge_type.tolist() == [0, 1, 0, 0]
    assert data.train_mask.tolist() == [True, True, False, False]
    assert data.visual_mask.tolist() == [True, True, False, False]
    assert data.numeric_mask.tolist() == [True, False, False, False]
    assert dataset.texts() == ['A. first. A is "1".', "Bé. B is two.", "Mr C", "Mr D. No."]
    assert str(dataset).startswith("FB15K(4, num_relations=2, visual=FeatureFile(")


def test_fb15k_imf(small, root, write_h5):
    small.put(FB15K, IMF, upstream=True)
    dataset = FB15K(root, "imf", text=None)
    data = dataset[0]
    assert data.node_ids == ["/m/d", "/m/c", "/m/b", "/m/a"]
    assert data.node_names == ["Mr D", "Mr C", "Bé", "A"]
    assert data.rel_ids == ["/film/genre", "/film/actor"]
    assert data.edge_index.tolist() == [[1, 1, 2, 3], [0, 3, 3, 2]]
    assert data.edge_type.tolist() == [1, 0, 1, 1]
    assert data.x_visual[:, 0].tolist() == [0, 0, 3, 1]
    assert dataset.literals()[0].tolist() == [3]
    assert dataset.texts()[3] == 'A. first. A is "1".'
    assert str(dataset).startswith("FB15K(4, num_relations=2, version='imf', visual=")
    assert len(small.requests) == 3

    # Both versions live in one folder:
    assert FB15K(root, text=None)[0].node_ids[0] == "/m/a"
    assert FB15K(root, version="imf", text=None)[0].node_ids[0] == "/m/d"
    path = write_h5("FB15K_ImageData.h5", {"FBIMG1": [[1, 1]], "FBIMG2": [[2, 2]]})
    x = [FB15K(root, version, text=None, visual=path)[0].x_visual for version in FB15K.versions]
    assert [features[:, 0].tolist() for features in x] == [[2, 0, 1, 0], [0, 1, 0, 2]]
    assert len(small.requests) == 3


def test_fb15k_imf_by_hand(small, root):
    with pytest.raises(RuntimeError) as error:
        FB15K(root, version="imf")
    assert (
        "Please download 'train.txt' from 'https://raw.githubusercontent.com/HestiaSky/IMF-Pytorch/"
    ) in str(error.value)
    assert f"/dataset/FB15K/train.txt' and move it to '{root}/raw/IMF'" in str(error.value)
    assert len(small.requests) == 1
    assert not os.path.exists(os.path.join(root, "processed"))

    small.put(FB15K, IMF, upstream=True)
    small.upstream.clear()
    for name, text in IMF.items():
        with open(os.path.join(root, "raw", name.removeprefix("FB15K/")), "w") as file:
            file.write(text)
    assert FB15K(root, version="imf", text=None, visual=None, numeric=None).num_nodes == 4

    with open(os.path.join(root, "raw", "IMF", "val.txt"), "a") as file:
        file.write("/m/a /film/actor /m/b\n")
    with pytest.warns(UserWarning, match="val.txt' is damaged"), pytest.raises(RuntimeError):
        FB15K(root, version="imf", text=None, visual=None, numeric=None, force_reload=True)
