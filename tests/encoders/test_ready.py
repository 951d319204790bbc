import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.data import NameIndex
from torch_imf.datasets import MultimodalKG
from torch_imf.encoders import FeatureFile
from torch_imf.io.hash import hash_content

IDS = ["<http://dbpedia.org/resource/Paris>", "/m/05qtj", "AC/DC", "Franciaország"]
X = torch.arange(1.0, 13.0).view(4, 3)


def save(path, names, x):
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".npz":
        np.savez(path, entity=names, feature=np.asarray(x, dtype=np.float32))
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            for name, value in zip(names, x, strict=True):
                file.create_dataset(name, data=value)
    elif path.suffix == ".pth":
        torch.save(x, path)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(x))
    else:
        from safetensors.torch import save_file

        save_file({"x": x}, path)
    return path


def test_feature_file(tmp_path, monkeypatch):
    path = save(tmp_path / "DB15K-visual.pth", IDS, X)
    encoder = FeatureFile(path)
    digest = hash_content(path.read_bytes())[:16]
    assert str(encoder) == f"FeatureFile('DB15K-visual.pth', sha256={digest})"
    monkeypatch.setenv("HOME", str(tmp_path))
    for names in (IDS, tuple(IDS), NameIndex(IDS)):
        x, mask = FeatureFile("~/DB15K-visual.pth")(names)
        assert torch.equal(x, X) and mask.all() and x.dtype == torch.float32
    save(path, IDS, X + 1)
    assert str(encoder) != f"FeatureFile('DB15K-visual.pth', sha256={digest})"
    assert torch.equal(encoder(IDS)[0], X + 1)
    # As of MoMoK, with broken values, and without any of one entity:
    expected = X.clone()
    expected[1], expected[2, 0], expected[3, 0] = 0, float("nan"), float("inf")
    save(path, IDS, torch.nn.Parameter(expected.half()))
    x, mask = encoder(IDS)
    assert torch.allclose(x, expected, equal_nan=True) and not x.requires_grad
    assert mask.tolist() == [True, False, True, True]


def test_repr_tells_all_that_shapes_the_features(tmp_path):
    a, b = save(tmp_path / "a.npz", IDS, X), save(tmp_path / "b.npz", IDS[:1], X[:1])
    x = save(tmp_path / "x.npy", IDS, X)
    files = [FeatureFile(*paths) for paths in ((a,), (b,), (a, b), (b, a), (x,))]
    other = [FeatureFile(a, strict=False), FeatureFile(x, ids=IDS), FeatureFile(x, ids=IDS[::-1])]
    assert len({repr(encoder) for encoder in [*files, *other]}) == 8
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    for ids in (tmp_path / "ids.txt", tuple(IDS)):
        assert str(FeatureFile(x, ids=ids)) == str(other[1])


@withPackage("h5py")
def test_mmkb(tmp_path):
    # Images have keys, which another file links to entities; some are of no entity of this graph:
    keys = [f"DBIMG{i:05}" for i in range(1, 6)]
    index = NameIndex(IDS, zip(["/m/0gone", *IDS], keys, strict=True))
    vectors = torch.randn(5, 1, 4096)
    x, mask = FeatureFile(save(tmp_path / "DB15K_ImageData.h5", keys, vectors))(index)
    assert torch.equal(x, vectors[1:].squeeze(1)) and mask.all()
    x, mask = FeatureFile(save(tmp_path / "some.h5", keys[3:4], vectors[3:4]))(index)
    assert mask.tolist() == [False, False, True, False]
    assert torch.equal(x[2], vectors[3, 0]) and (x[~mask] == 0).all()


@withPackage("h5py")
def test_mmrns(tmp_path):
    patches = torch.randn(3, 24, 383)
    patches[0, 7:] = 0  # Padding.
    patches[1] = 0  # Missing.
    path = save(tmp_path / "MMKB_img_BEIT_16-224.h5", ["Paris", "m.05qtj", "AC/DC"], patches)
    x, mask = FeatureFile(path)(NameIndex(IDS))
    assert mask.tolist() == [True, False, True, False]
    assert torch.allclose(x[0], patches[0, :7].mean(dim=0), atol=1e-6)
    assert torch.allclose(x[2], patches[2].mean(dim=0), atol=1e-6)
    # Sentences, of which there may be any number, and two names of one entity:
    x = torch.randn(6, 384)
    path = save(tmp_path / "sentences.h5", ["/m/05qtj", "m.2", "AC/DC"], [x[:4], x[4:5], x[:0]])
    out, mask = FeatureFile(path)(NameIndex(IDS, [("/m/05qtj", "m.2")]))
    assert mask.tolist() == [False, True, False, False]
    assert torch.allclose(out[1], (x[:4].mean(dim=0) + x[4]) / 2, atol=1e-6)


def test_imf_and_moci(tmp_path):
    array = X.numpy()
    rows = dict(zip(IDS, array, strict=True))
    for content in (list(array), array, rows, dict(enumerate(array)), list(array[:, None])):
        x, mask = FeatureFile(save(tmp_path / "img_features.pkl", IDS, content))(IDS)
        assert torch.equal(x, X) and mask.all()


def test_mose_and_rsme(tmp_path):
    index = NameIndex(["/m/0_jm", "n01945845", "AC/DC", "DC", "St._Louis"])
    rows = {
        "./img_data/fb15k/m.0_jm/google_14.jpg": 1.0,
        "m.0_jm/1.JPEG": 3.0,
        "m.0_jm/2.png": 0.0,  # No image of an entity is all zero.
        "wn18/n01945845/n01945845_1000.JPEG": 4.0,
        "AC/DC/1.jpg": 5.0,
        "St._Louis.jpg": 6.0,
        "images/DC.webp": 7.0,
    }
    path = tmp_path / "fb15k_vit.pickle"
    path.write_bytes(pickle.dumps({name: np.full(2, x, np.float32) for name, x in rows.items()}))
    x, mask = FeatureFile(path)(index)
    assert x.tolist() == [[2, 2], [4, 4], [5, 5], [7, 7], [6, 6]] and mask.all()
    # What looks like the file of another entity is none:
    path.write_bytes(pickle.dumps({"DC/AC": np.ones(2), "DC/a/1": np.ones(2), "DC": np.ones(2)}))
    with pytest.raises(ValueError, match="2 of its 3 names belong to no entity"):
        FeatureFile(path)(index)


def test_ids(tmp_path):
    path = save(tmp_path / "x.npy", IDS, X)
    ids = ["m.05qtj", "http://dbpedia.org/resource/Paris", "AC/DC", "m.0else"]
    index = NameIndex(IDS, [("m.0else", "other")])
    lines = "4\n" + "".join(f"{name}\t{i}\n" for i, name in reversed(list(enumerate(ids))))
    (tmp_path / "entity2id.txt").write_text(lines)
    for names in (ids, tmp_path / "entity2id.txt"):
        x, mask = FeatureFile(path, ids=names)(index)
        assert torch.equal(x, torch.stack([X[1], X[0], X[2], torch.zeros(3)]))
        assert mask.tolist() == [True, True, True, False]


def test_several_files(tmp_path):
    a = save(tmp_path / "a.npz", IDS[:2], [[1, 1], [0, 0]])
    b = save(tmp_path / "b.npz", [*IDS[:3], "AC/DC"], [[2, 2], [3, 3], [4, 4], [6, 6]])
    x, mask = FeatureFile(a, b)(IDS)
    assert x.tolist() == [[1, 1], [3, 3], [5, 5], [0, 0]]
    assert mask.tolist() == [True, True, True, False]
    assert FeatureFile(b, a)(IDS)[0].tolist() == [[2, 2], [3, 3], [5, 5], [0, 0]]


def test_names_that_nobody_has(tmp_path):
    path = save(tmp_path / "x.npz", ["Paris", "London", "FBIMG1", "Rome"], X)
    index = NameIndex(IDS, [("/m/0gone", "FBIMG1")])
    message = r"2 of its 4 names .* no entity \(first: \['London', 'Rome'\]\).*strict=False"
    with pytest.raises(ValueError, match=message):
        FeatureFile(path)(index)
    x, mask = FeatureFile(path, strict=False)(index)
    assert torch.equal(x[0], X[0]) and mask.tolist() == [True, False, False, False]
    for strict in (True, False):
        with pytest.raises(ValueError, match="None of the 4 names .*'Paris', an entity 'a'"):
            FeatureFile(path, strict=strict)(["a"])


@pytest.mark.parametrize(
    "paths, kwargs, match",
    [
        (["x.npy"], {"ids": IDS[:3]}, "4 rows, but 'ids' has 3 names"),
        (["x.npy"], {}, "4 rows for 5 entities. Pass the names .* as 'ids'"),
        (["x.npz"], {"ids": IDS}, "have names of their own, leave 'ids' out"),
        (["x.npy", "x.npy"], {"ids": IDS}, "'ids' can name the rows of one file only"),
        (["x.npz", "x.npy"], {}, "'.*x.npy' are no part of a table, as they have no names"),
        (["x.npz", "c.npz"], {}, "c.npz' are not of one size: 'other' has 2 .* have 3"),
        (["sizes.pkl"], {}, "not of one size: row 2 has 4 values, .* have 3"),
        (["empty.pkl"], {}, "empty.pkl' are damaged .* Please fetch the file anew"),
        (["x.npy", "none.npz"], {}, "There is no file of features '.*none.npz'"),
        (["folder.npz"], {}, "There is no file of features '.*folder.npz'"),
        (["x.csv"], {}, "x.csv' from its name, expected one of .'.npy'.*'.pkl'"),
        ([], {}, "needs the path"),
        (["x.npy"], {"ids": "ids.txt"}, "There is no file of ids"),
    ],
)
def test_bad_input(tmp_path, paths, kwargs, match):
    for name in ("x.npy", "x.npz"):
        save(tmp_path / name, IDS, X)
    save(tmp_path / "c.npz", ["other"], X[:1, :2])
    save(tmp_path / "sizes.pkl", [], [np.ones(size) for size in (3, 3, 4, 3, 3)])
    (tmp_path / "empty.pkl").touch()
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=match):
        FeatureFile(*(tmp_path / path for path in paths), **kwargs)([*IDS, "other"])


@withPackage("h5py", "safetensors")
@pytest.mark.parametrize("suffix", ["npz", "npy", "h5", "pth", "safetensors"])
def test_other_file_systems(tmp_path, suffix):
    path = save(tmp_path / f"x.{suffix}", IDS, X)
    url = f"memory://{tmp_path.name}/x.{suffix}"
    with pytest.raises(ValueError, match=f"There is no file of features '{url}'"):
        FeatureFile(url)
    with fsspec.open(url, "wb") as file:
        file.write(path.read_bytes())
    for address in (url, f"file://{path}"):
        assert torch.equal(FeatureFile(address)(IDS)[0], X)
        assert str(FeatureFile(address)) == str(FeatureFile(path))


# In a process of its own, as one of many tests has memory to spare. The first peak is that of code.
PEAKS = r"""
import re, sys
from pathlib import Path
from torch_imf.encoders import FeatureFile

for path in sys.argv[1:]:
    assert FeatureFile(path)([str(i) for i in range(500)])[1].all()
    print(1024 * int(re.search("VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]))
"""


@withPackage("h5py", "safetensors")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "pth", "safetensors"])
def test_memory(tmp_path, suffix):
    x = torch.rand(500, 120_000)  # So large that blocks of it are small.
    names = [str(i) for i in range(x.size(0))]
    small = save(tmp_path / f"small.{suffix}", names, x[:, :60].clone())
    large = save(tmp_path / f"large.{suffix}", names, x)
    assert large.stat().st_size > 239e6
    command = [sys.executable, "-c", PEAKS, str(small), str(large)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    first, second = map(int, done.stdout.split())
    # And the file, if it is mapped to memory:
    assert 239e6 < second - first < 2.2 * 240e6


@pytest.mark.parametrize("content", ["matrix", "numbered"])
def test_rows_without_names_need_an_order(tmp_path, content):
    x = torch.arange(13.0).add(1).view(-1, 1).repeat(1, 2)
    path = tmp_path / "x.pth"
    torch.save(x if content == "matrix" else dict(enumerate(x)), path)
    numbers, others = [str(i) for i in range(13)], [f"node {i}" for i in range(13)]
    # The names are the rows, or somebody has given the order:
    for index in (NameIndex(numbers, is_sorted=True), NameIndex(others), others):
        assert torch.equal(FeatureFile(path).transform(index)[0], x)
    index = NameIndex(sorted(others), is_sorted=True)
    with pytest.raises(ValueError, match=r"have no names, and .*\['node 0', 'node 1', 'node 10'\]"):
        FeatureFile(path).transform(index)
    found, _ = FeatureFile(path, ids=others).transform(index)
    assert found[:, 0].tolist() == [1, 2, 11, 12, 13, 3, 4, 5, 6, 7, 8, 9, 10]


def test_entities_that_are_numbers(tmp_path):
    # In alphabetical order, entity "10" would come second, and have the features of "1".
    facts = [f"{i}\tnext\t{(i + 1) % 12}" for i in range(12)]
    facts += [f"{i}\tnext\t{(i + 5) % 12}" for i in range(12)]
    (tmp_path / "facts.tsv").write_text("\n".join(facts))
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(-1, 1) + 1)
    options = {"encoders": {"visual": str(tmp_path / "x.npy")}}
    data = MultimodalKG.from_files(tmp_path / "facts.tsv", **options)[0]
    assert data.node_ids == [str(i) for i in range(12)]
    assert data.x_visual[:, 0].tolist() == list(range(1, 13))
    # Without a row for each number, the order is nobody's:
    (tmp_path / "facts.tsv").write_text("\n".join(x.replace("0\t", "12\t") for x in facts[1:]))
    with pytest.raises(ValueError, match="names of the rows in their order"):
        MultimodalKG.from_files(tmp_path / "facts.tsv", **options)
