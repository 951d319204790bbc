import io
import os
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import containers, table
from torch_imf.encoders.containers import READERS, read_table

NAMES = ["Paris", "AC/DC", "m.0xyz", "é"]
X = torch.randn(4, 3)


def save(path, content):
    """Writes a file as the library of its format does."""
    suffix = path.suffix
    array = content
    if isinstance(content, torch.Tensor) and suffix in (".npy", ".npz", ".pkl"):
        array = content.numpy()
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez(path, **(array if isinstance(array, dict) else {"x": array}))
    elif suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file.create_dataset(name, data=value)
    elif suffix == ".safetensors":
        from safetensors.torch import save_file

        content = content if isinstance(content, dict) else {"x": content}
        save_file({name: torch.as_tensor(x).clone() for name, x in content.items()}, path)
    elif suffix in (".pth", ".pt"):
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(array))
    return path


def read(path):
    out = read_table(str(path), path.suffix, str(path))
    blocks = list(out.blocks)
    assert all(x.dtype == torch.float32 for x in blocks)
    assert sum(x.size(0) for x in blocks) == out.num_rows
    return out.names, torch.cat(blocks)


@withPackage("h5py", "safetensors")
def test_all_formats_are_tested(tmp_path):
    for suffix in READERS:
        named = suffix in (".h5", ".hdf5")
        content = dict(zip(NAMES, X, strict=True)) if named else X
        names, x = read(save(tmp_path / f"x{suffix}", content))
        if named:
            assert sorted(names) == sorted(NAMES)
            x = torch.stack([x[names.index(name)] for name in NAMES])
        else:
            assert names is None
        assert torch.equal(x, X)


@withPackage("safetensors")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".pth", ".pt", ".pkl"])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64]
)
def test_matrices(tmp_path, monkeypatch, suffix, dtype):
    monkeypatch.setattr(table, "CHUNK", 7)
    if dtype == torch.bfloat16 and suffix not in (".safetensors", ".pth", ".pt"):
        return
    content = (100 * torch.rand(5, 3)).to(dtype)
    names, x = read(save(tmp_path / f"x{suffix}", content))
    assert names is None
    assert torch.equal(x, content.float())


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl"])
def test_arrays_of_other_layouts(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(table, "CHUNK", 7)
    path = tmp_path / f"x{suffix}"
    x = X.numpy()
    assert torch.equal(read(save(path, np.asfortranarray(x)))[1], X)
    assert torch.equal(read(save(path, x.astype(">f4")))[1], X)
    assert torch.equal(read(save(path, x[::2]))[1], X[::2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(save(path, np.array([[1e300, np.nan]])))[1].tolist()[0][0] == float("inf")


def test_compressed_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, entity=np.array(NAMES), feature=X.numpy(), n_images=[1, 1, 1, 1])
    names, x = read(path)
    assert names == NAMES
    assert torch.equal(x, X)
    np.savez(path, entity=np.array([name.encode() for name in NAMES]), feature=X.numpy())
    assert read(path)[0] == NAMES


@withPackage("safetensors")
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pkl"])
def test_dictionaries(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    names, x = read(save(path, OrderedDict(zip(NAMES, X, strict=True))))
    assert torch.equal(torch.stack([x[names.index(name)] for name in NAMES]), X)

    several = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 6.0]])
    names, x = read(save(path, {"b": several, "a": several[:1], "c": several[1:2]}))
    rows = dict(zip(names, x.tolist(), strict=True))
    assert rows == {"a": [1, 2], "b": [2, 4], "c": [0, 0]}

    # One matrix is that of the entities, whatever it is called:
    names, x = read(save(path, {"weight": X}))
    assert names is None
    assert torch.equal(x, X)
    names, x = read(save(path, {"Paris": X[:1]}))
    assert names == ["Paris"]
    assert torch.equal(x, X[:1])


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_lists(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    for content in (list(X), tuple(X), [x[None] for x in X], dict(enumerate(X))):
        names, x = read(save(path, content))
        assert names is None
        assert torch.equal(x, X)
    assert torch.equal(read(save(path, X.tolist()))[1], X)
    assert torch.equal(read(save(path, {3 - i: x for i, x in enumerate(X)}))[1], X.flip([0]))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_of_arrays(tmp_path, protocol):
    path = tmp_path / "x.pkl"
    array = X.numpy()
    for content in (array, list(array), dict(enumerate(array)), dict(zip(NAMES, X, strict=True))):
        path.write_bytes(pickle.dumps(content, protocol))
        assert torch.equal(read(path)[1], X)
    torch.save(X, path)  # Whatever its name.
    assert torch.equal(read(path)[1], X)


def test_old_torch(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(X, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read(path)[1], X)
    torch.save(torch.nn.Parameter(X.t()), path)
    assert torch.equal(read(path)[1], X.t())


@withPackage("h5py")
def test_h5_keys_with_slashes(tmp_path):
    names = ["http://dbpedia.org/resource/AC/DC", "/m/0xyz", "a/b", "a/c/d"]
    found, x = read(save(tmp_path / "x.h5", dict(zip(names, X, strict=True))))
    expected = ["a/b", "a/c/d", "http:/dbpedia.org/resource/AC/DC", "m/0xyz"]
    assert sorted(found) == expected
    assert torch.equal(x[found.index("a/c/d")], X[3])
    assert read(save(tmp_path / "y.h5", {"é".encode("latin1"): X[0]}))[0] == ["\ufffd"]


def bad(suffix):
    """Files that are whole, but no features, and what is said of them."""
    vectors = {"a": X[0], "b": torch.randn(2, 3, 4)}
    if suffix in (".npy", ".npz"):
        yield X[0], r"needs to be a matrix .*got \[3\]"
        yield X[None], r"needs to be a matrix .*got \[1, 4, 3\]"
        yield X[:0], r"needs to be a matrix .*got \[0, 3\]"
        yield X[:, :0], r"needs to be a matrix .*got \[4, 0\]"
        yield np.array([None, X[0].numpy()], dtype=object), "Python objects, which is refused"
        yield X.numpy().astype(complex), "no array of numbers .*complex"
        yield np.array([["a"]]), "no array of numbers"
    if suffix == ".npz":
        yield {"a": X.numpy(), "b": X.numpy()}, r"needs to hold one array, .*got \['a', 'b'\]"
        yield {}, r"needs to hold one array, .*got \[\]"
        yield {"entity": np.array(["a"]), "feature": X.numpy()}, "1 names for 4 rows"
        yield {"entity": np.ones(4), "feature": X.numpy()}, "'entity' needs to be a list of names"
        names = np.array(NAMES, dtype=object)
        yield {"entity": names, "feature": X.numpy()}, "Python objects, which is refused"
    if suffix in (".h5", ".safetensors", ".pth"):
        yield vectors, r"'b' needs to be a vector, or several \(got shape \[2, 3, 4\]\)"
        yield {}, "It holds none"
        yield {"a": X[0], "b": X[0, :0]}, r"'b' needs to be a vector, .*\[0\]"
        yield {"a": X[0], "b": torch.tensor(1.0)}, r"'b' needs to be a vector, .*\[\]"
    if suffix == ".h5":
        yield {"a": "text"}, "'a' is no array of numbers"
    if suffix in (".pth", ".pkl"):
        yield X[0], r"needs to be a matrix .*got \[3\]"
        yield X[None], r"needs to be a matrix .*got \[1, 4, 3\]"
        yield [X[0], X], r"Row 1 needs to be a vector \(got shape \[4, 3\]\)"
        yield [], "It holds none"
        yield 1.5, "It holds no arrays .*float"
        yield [X[0], "a"], "'1' is no array of numbers .*str"
        yield [[1.0], [1.0, [2.0]]], "'1' is no list of numbers"
        yield {0: X[0], 2: X[1]}, "numbered, but not from 0 to 1"
        yield {"a": X[0], 1: X[1]}, "needs to hold names or row numbers"
        yield {"a": {"b": X[0]}}, "'a' is no array of numbers .*dict"
    if suffix == ".pth":
        yield X.to_sparse(), "It is no dense array"
        yield {"a": X[0].to_sparse(), "b": X[0]}, "'a' is no array of numbers"
    if suffix == ".pkl":
        yield np.array([X[0].numpy(), None], dtype=object), "array of data type 'O8'"


@withPackage("h5py", "safetensors")
@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".safetensors", ".pth", ".pkl"])
def test_what_is_no_features(tmp_path, suffix):
    for i, (content, message) in enumerate(bad(suffix)):
        path = save(tmp_path / f"{i}{suffix}", content)
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"Cannot read the features '{path}'. ")


@withPackage("h5py", "safetensors")
@pytest.mark.parametrize("suffix", READERS)
def test_damaged_files(tmp_path, suffix):
    content = dict(zip("abcd", torch.randn(4, 50), strict=True))
    if suffix.startswith(".np"):
        content = torch.stack(list(content.values()))
    path = save(tmp_path / f"x{suffix}", content)
    whole = path.read_bytes()
    page = b"<!DOCTYPE html><html><body>Google Drive: too many users</body></html>" * 50
    damages = [whole[: len(whole) // 2], whole[:-10], whole[:10], b"", page, b"\0" * 2000]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=f"'{path}' are damaged or no '{suffix}' file"):
            read(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl"])
def test_any_damaged_byte(tmp_path, suffix):
    content = {"a": X[0].numpy(), "b": X[1].numpy()} if suffix == ".pkl" else X
    path = save(tmp_path / f"x{suffix}", content)
    whole = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(len(whole)):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
            try:
                _, x = read(path)
            except (ValueError, MemoryError) as e:
                assert str(path) in str(e) or isinstance(e, MemoryError)
            else:
                assert suffix != ".npz" or torch.equal(x, X)  # Which has a checksum.


def test_array_that_is_shorter_than_its_file(tmp_path):
    path = save(tmp_path / "x.npy", X)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="damaged .*more bytes than values"):
        read(path)


def test_torch_files_that_run_code(tmp_path):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'marker'}",)

    path = tmp_path / "x.pth"
    contents = [Call(), {"a": Call()}, [X, Call()], X.numpy(), torch.nn.Linear(1, 1)]
    for new in (True, False):
        for content in contents:
            torch.save(content, path, _use_new_zipfile_serialization=new)
            message = (
                f"'{path}'. It asks for '.*', and can be loaded with 'weights_only=False' only"
            )
            with pytest.raises(ValueError, match=message):
                read(path)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(Call()))
    with pytest.raises(ValueError, match=f"'{path}'. The pickle asks for 'posix.system'"):
        read(path)
    assert not (tmp_path / "marker").exists()


def test_what_is_not_the_fault_of_a_file(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "x.npy")

    def fail(*args):
        raise MemoryError

    monkeypatch.setitem(containers.READERS, ".npy", fail)
    with pytest.raises(MemoryError):
        read(tmp_path / "x.npy")
    monkeypatch.undo()
    monkeypatch.setattr("torch_imf.encoders.pretrained.find_spec", lambda name: None)
    for package, suffix in (("h5py", ".h5"), ("safetensors", ".safetensors")):
        with pytest.raises(ImportError, match=f"requires '{package}', run 'pip install {package}'"):
            read(tmp_path / f"x{suffix}")


def test_header_of_another_version(tmp_path):
    path = tmp_path / "x.npy"
    file = io.BytesIO()
    np.lib.format.write_array(file, X.numpy(), version=(2, 0))
    path.write_bytes(file.getvalue())
    assert torch.equal(read(path)[1], X)
