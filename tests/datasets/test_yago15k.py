import os
import warnings

import pytest

from torch_imf.datasets import YAGO15K

URI = "<http://yago-knowledge.org/resource/{}>".format
A, B, C, D = map(URI, ["Mario_Puzo", "New_York_City", "A.F.C._Telford_United", "Marché"])
BORN, PLAYS = map(URI, ["wasBornIn", "playsFor"])
TRAIN = f"{A} {BORN} {B} .\n{A} {PLAYS} {C} .\n{D} {PLAYS} {C} .\n"
FILES = {
    "YAGO15K/IMF/entity2id.txt": f"{B} 0\n{A} 1\n{D} 2\n{C} 3\n",
    "YAGO15K/IMF/relation2id.txt": f"{PLAYS} 0\n{BORN} 1\n",
    "YAGO15K/IMF/val.txt": f"{D} {BORN} {B} .\n",
    "YAGO15K/IMF/test.txt": f"{A} {PLAYS} {D} .\n",
    "YAGO15K/derived/train_known.txt.gz": TRAIN.partition("\n")[0] + "\n",
    "YAGO15K/Literal_KGs/YAGO15K_Numerical_handled_rdup.txt": (
        "Mario_Puzo wasBornOnDate 1920.1015\nMarché hasLatitude -1.5\nMarché hasLatitude 2\n"
    ),
    "YAGO15K/MMKB/YAGO15K_ImageIndex.txt": f"{B}\tYAGOIMG1\n{D}\tYAGOIMG2\n",
    "YAGO15K/MMKB/YAGO15K_SameAsLink.txt": f"/m/a <SameAs> {A} .\n/m/d <SameAs> {D} .\n",
    "YAGO15K/derived/visual_mobilenetv2.npz": {D: [1, 2]},
}
ALONE = {"text": None, "visual": None, "numeric": None}


@pytest.fixture(autouse=True)
def files(small):
    small.put(YAGO15K, FILES | small.TEXTS)


@pytest.fixture
def whole(small):
    small.put(YAGO15K, {"YAGO15K/IMF/train.txt": TRAIN}, upstream=True)


def test_yago15k(small, whole, root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = YAGO15K(root, text=None)
    data = dataset[0]
    assert data.node_ids == [B, A, D, C]
    assert data.node_names == ["New York City", "Mario Puzo", "Marché", "A.F.C. Telford United"]
    assert data.rel_ids == [PLAYS, BORN]
    assert data.rel_names == ["playsFor", "wasBornIn"]
    assert data.edge_index.tolist() == [[1, 1, 2, 2, 1], [0, 3, 3, 0, 2]]
    assert data.edge_type.tolist() == [1, 0, 0, 1, 0]
    assert int(data.train_mask.sum()) == 3
    assert dataset.texts() == [
        "New York City",
        'Mario Puzo. first. A is "1".',
        "Marché. No.",
        "A.F.C. Telford United",
    ]
    assert data.visual_mask.tolist() == [False, False, True, False]
    assert data.x_visual[2].tolist() == [1, 2]
    assert data.numeric_mask.tolist() == [False, True, True, False]
    index, attributes, values = dataset.literals()
    assert index.tolist() == [1, 2, 2]
    assert attributes == ["wasBornOnDate", "hasLatitude", "hasLatitude"]
    assert values.tolist() == [1920.1015, -1.5, 2]

    assert str(dataset).startswith("YAGO15K(4, num_relations=2, visual=FeatureFile(")
    assert dataset.incomplete is None and dataset.summary().warning is None
    assert "IMF/train.txt" in dataset.raw_file_names
    assert len(small.requests) == 1


@pytest.mark.parametrize("network", [True, False])
def test_yago15k_incomplete(small, root, network):
    if network:  # What is there upstream is another file.
        small.upstream[YAGO15K.files["imf"][0][2].url] = b"<html>"
    message = "holds only 29,198 of its 86,020 training facts.*must not be compared"
    with pytest.warns(UserWarning, match=message) as record:
        dataset = YAGO15K(root, **ALONE)
    assert len(record) == 1 and record[0].filename == __file__
    assert "IMF-Pytorch/" in str(record[0].message)
    assert f"/dataset/YAGO15K/train.txt' and move it to '{root}/raw/IMF'" in str(record[0].message)
    assert dataset[0].edge_index.tolist() == [[1, 2, 1], [0, 0, 2]]
    assert str(dataset) == "YAGO15K(4, num_relations=2, incomplete=True)"
    assert str(dataset.summary()).endswith(f"\n  WARNING  {record[0].message}")
    assert "facts    1 train, 1 val, 1 test\n" in str(dataset.summary())
    assert os.path.basename(dataset.processed_paths[0]).startswith("data_imf_original_imf.2_")
    assert len(small.requests) == 1

    for _ in range(2):  # At every construction.
        with pytest.warns(UserWarning, match=message):
            assert YAGO15K(root, **ALONE).processed_paths == dataset.processed_paths
    assert len(small.requests) == 1
    with pytest.warns(UserWarning, match=message):
        assert "scheme='clean', incomplete=True" in str(YAGO15K(root, scheme="clean", **ALONE))
        YAGO15K(root, **ALONE, force_reload=True)
    assert len(small.requests) == 2  # Looks for the whole again.


def test_yago15k_whole_by_hand(small, root):
    with pytest.warns(UserWarning, match="29,198"):
        partial = YAGO15K(root, **ALONE)
    small.put(YAGO15K, {"YAGO15K/IMF/train.txt": TRAIN}, upstream=True)
    small.upstream.clear()
    with open(os.path.join(root, "raw", "IMF", "train.txt"), "w") as file:
        file.write(TRAIN)

    small.requests.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            dataset = YAGO15K(root, **ALONE)
            assert str(dataset) == "YAGO15K(4, num_relations=2)"
            assert int(dataset[0].train_mask.sum()) == 3
    assert dataset.processed_paths != partial.processed_paths
    assert dataset.summary().warning is None
    assert small.requests == []

    os.remove(os.path.join(root, "raw", "IMF", "train.txt"))
    with pytest.warns(UserWarning, match="29,198"):
        assert int(YAGO15K(root, **ALONE)[0].train_mask.sum()) == 1


def test_yago15k_features(whole, root, write_h5):
    path = write_h5("YAGO15K_ImageData.h5", {"YAGOIMG1": [[1, 9]], "YAGOIMG2": [[2, 9]]})
    data = YAGO15K(root, text=None, visual=path, numeric=None)[0]
    assert data.x_visual[:, 0].tolist() == [1, 0, 2, 0]
    assert data.visual_mask.tolist() == [True, False, True, False]
