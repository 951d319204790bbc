import copyreg
import io
import os
import pickle
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.io import confined, features
from torch_imf.io.atomic import on_disk
from torch_imf.io.features import (
    FORMATS,
    ContentError,
    basename,
    format_of,
    load_arrays,
    read_parts,
)
from torch_imf.io.features import read as read_features

NAMES = ["Paris", "AC/DC", "m.0xyz", "é"]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
X = torch.randn(4, 3)


def to_numpy(content):
    """Returns what holds arrays of NumPy in place of tensors."""
    if isinstance(content, dict):
        return {key: to_numpy(x) for key, x in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(map(to_numpy, content))
    return content.numpy() if isinstance(content, torch.Tensor) else content


def save(path, content):
    """Writes a file as the library of its format does."""
    suffix = path.suffix
    if suffix == ".npy":
        np.save(path, to_numpy(content))
    elif suffix == ".npz":
        np.savez(path, **to_numpy(content if isinstance(content, dict) else {"x": content}))
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
        path.write_bytes(pickle.dumps(to_numpy(content)))
    return path


def read(path):
    with read_features(str(path)) as out:
        blocks = list(out.blocks)
    assert all(x.dtype == torch.float32 for x in blocks)
    assert sum(x.size(0) for x in blocks) == out.num_rows
    return out.names, torch.cat(blocks)


@withPackage("h5py")
@pytest.mark.parametrize("suffix", FORMATS)
def test_matrices(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(features, "CHUNK", 7)
    path = tmp_path / f"x{suffix}"
    dtypes = ["float16", "float32", "float64", "uint8", "int64", "bfloat16"]
    named = suffix in (".h5", ".hdf5")
    for dtype in dtypes[: 6 if suffix in (".safetensors", ".pth", ".pt") else 5]:
        content = (100 * torch.rand(4, 3)).to(getattr(torch, dtype))
        path.unlink(missing_ok=True)
        names, x = read(save(path, dict(zip(NAMES, content, strict=True)) if named else content))
        if named:
            assert sorted(names) == sorted(NAMES)
            x = torch.stack([x[names.index(name)] for name in NAMES])
        assert named or names is None
        assert torch.equal(x, content.float())


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl"])
def test_arrays_of_other_layouts(tmp_path, suffix):
    path, x = tmp_path / f"x{suffix}", X.numpy()
    for array in (np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=0)[::2]):
        assert torch.equal(read(save(path, array))[1], X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(save(path, np.array([[1e300, np.nan]])))[1].tolist()[0][0] == float("inf")


def test_npz_of_names(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, entity=np.array(NAMES), feature=X.numpy(), n_images=[1, 1, 1, 1])
    names, x = read(path)
    assert names == NAMES and torch.equal(x, X)
    np.savez(path, entity=np.array([name.encode() for name in NAMES]), feature=X.numpy())
    assert read(path)[0] == NAMES

    # Several of a row, of which those that are all zero are none:
    x = np.array([[[1.0, 3.0], [0.0, 0.0], [0.0, 2.0]], [[0.0, 0.0]] * 3], dtype=np.float32)
    content = {"entity": np.array(["a", "b"]), "feature": x}
    assert read(save(path, content))[1].tolist() == [[0.5, 2.5], [0, 0]]
    x[0, 1, 0] = np.nan
    assert read(save(path, content))[1].isnan().tolist() == [[True, False], [False, False]]


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
    assert names is None and torch.equal(x, X)
    names, x = read(save(path, {"Paris": X[:1]}))
    assert names == ["Paris"] and torch.equal(x, X[:1])


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_lists(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    for content in (list(X), tuple(X), [x[None] for x in X], dict(enumerate(X)), X.tolist()):
        names, x = read(save(path, content))
        assert names is None and torch.equal(x, X)
    assert torch.equal(read(save(path, {3 - i: x for i, x in enumerate(X)}))[1], X.flip([0]))


def test_old_torch(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(X, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read(path)[1], X)
    path = tmp_path / "x.pkl"  # Whatever its name.
    torch.save(torch.nn.Parameter(X.t()), path)
    assert torch.equal(read(path)[1], X.t())


@withPackage("h5py")
def test_h5_keys_with_slashes(tmp_path):
    names = ["http://dbpedia.org/resource/AC/DC", "/m/0xyz", "a/b", "a/c/d"]
    found, x = read(save(tmp_path / "x.h5", dict(zip(names, X, strict=True))))
    assert sorted(found) == ["a/b", "a/c/d", "http:/dbpedia.org/resource/AC/DC", "m/0xyz"]
    assert torch.equal(x[found.index("a/c/d")], X[3])
    assert read(save(tmp_path / "y.h5", {"é".encode("latin1"): X[0]}))[0] == ["\ufffd"]


def bad(suffix):
    """Files that are whole, but no features, and what is said of them."""
    vectors = {"a": X[0], "b": torch.randn(2, 3, 4)}
    if suffix in (".npy", ".npz"):
        yield X[0], r"needs to be a matrix .*got \[3\]"
        yield X[:0], r"needs to be a matrix .*got \[0, 3\]"
        yield X.numpy().astype(complex), "no array of numbers .*complex"
        yield np.array([["a"]]), "no array of numbers"
    if suffix == ".npz":
        yield {"a": X.numpy(), "b": X.numpy()}, r"needs to hold one array, .*got \['a', 'b'\]"
        yield {}, r"needs to hold one array, .*got \[\]"
        yield {"entity": np.array(["a"]), "feature": X.numpy()}, "needs to be a list of 4 names"
        yield {"entity": np.ones(4), "feature": X.numpy()}, "'entity' needs to be a list of 4 names"
    if suffix in (".h5", ".safetensors", ".pth"):
        yield vectors, r"'b' needs to be a vector, or several \(got shape \[2, 3, 4\]\)"
        yield {}, "It holds none"
        yield {"a": X[0], "b": torch.tensor(1.0)}, r"'b' needs to be a vector, .*\[\]"
    if suffix == ".h5":
        yield {"a": "text"}, "'a' is no array of numbers"
    if suffix in (".pth", ".pkl"):
        yield X[None], r"needs to be a matrix .*got \[1, 4, 3\]"
        yield [], "It holds none"
        yield 1.5, "It holds no arrays .*float"
        yield [X[0], "a"], "'row 1' is no array of numbers .*str"
        yield [[1.0], [1.0, [2.0]]], "'row 1' is no array of numbers .*list"
        yield {0: X[0], 2: X[1]}, "numbered, but not from 0 to 1"
        yield {"a": X[0], 1: X[1]}, "needs to hold names or row numbers"
        yield {"a": {"b": X[0]}}, "'a' is no array of numbers .*dict"
    if suffix == ".pth":
        yield X.to_sparse(), "asks for 'torch._utils._rebuild_sparse_tensor', which is refused"
    if suffix == ".pkl":
        yield np.array([X[0].numpy(), None], dtype=object), "array of data type 'O8'"


@withPackage("h5py")
@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".safetensors", ".pth", ".pkl"])
def test_what_is_no_features(tmp_path, suffix):
    for i, (content, message) in enumerate(bad(suffix)):
        path = save(tmp_path / f"{i}{suffix}", content)
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"Cannot read the features '{path}'. ")


@withPackage("h5py")
@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files(tmp_path, suffix):
    content = dict(zip("abcd", torch.randn(4, 50), strict=True))
    path = save(tmp_path / f"x{suffix}", content if "h" in suffix else torch.randn(4, 50))
    whole = path.read_bytes()
    page = b"<!DOCTYPE html><html><body>Google Drive: too many users</body></html>" * 50
    for damage in (whole[: len(whole) // 2], whole[:-10], whole[:10], b"", page, b"\0" * 2000):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=f"'{path}' are damaged or no '{suffix}' file"):
            read(path)


def test_what_is_not_the_fault_of_a_file(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "x.npy")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="need 'h5py', run 'pip install \"torch_imf"):
        next(read_parts(str(tmp_path / "x.h5"), "x.h5"))


# Files that are made to fill the memory, to read others, or to run code #########################

LARGE = "It is more than 300 times as large when it is read, which is refused. If you trust it"
MEMORY = "It takes more memory than is due to its size, which is refused. If you trust it"
TIME = "It takes more time than is due to its size, which is refused. If you trust it"


def zipped(content, name="x.npy"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def promise(shape):
    """An array of NumPy that has less than its header says."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(100)


def zeros(size):
    file = io.BytesIO()
    np.save(file, np.zeros((size >> 10, 1 << 8), dtype=np.float32))
    return file.getvalue()


def nested(depth=60):
    """A pickle of lists of lists, each of which holds the one before twice."""
    return (
        b"(lp0\n"
        + b"".join(b"0(lp%d\ng%d\nag%d\na" % (i, i - 1, i - 1) for i in range(1, depth))
        + b"."
    )


@pytest.mark.parametrize(
    "suffix, content, message",
    [
        (".npz", zipped(zeros(65 << 20)), LARGE),
        (".npz", zipped(zeros(1 << 27)), MEMORY),
        (".pth", zipped(bytes(1 << 27), "x/data.pkl"), MEMORY),
        (".npy", promise((2, 1 << 50)), "are damaged"),
        (".npz", zipped(promise((2, 1 << 50))), MEMORY),
        (".pkl", b"N" + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f.", MEMORY),
        (".pkl", b"\x80\x05\x96" + (1 << 33).to_bytes(8, "little") + b"x.", "are damaged|memory"),
        (".pkl", nested(), TIME),
        (".pt", zipped(nested(), "x/data.pkl"), TIME),
    ],
    ids=range(9),
)
def test_bombs(tmp_path, monkeypatch, suffix, content, message):
    monkeypatch.setattr(confined, "SECONDS", 1 if message == TIME else 30)
    monkeypatch.setattr(confined, "MEMORY", 1 << (26 if message == MEMORY else 30))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"'{path}'.*({message})"):
        read(path)


def test_tensors_that_repeat_what_is_stored(tmp_path):
    path, x = tmp_path / "x.pt", torch.ones(1)
    large = x.expand(1 << 25)
    for content in ({"a": large, "b": large}, large.view(2, -1)):
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"'{path}'. {LARGE}"):
            read(path)
    torch.save(x.expand(2, 1 << 40), path)
    with pytest.raises(ValueError, match=f"'{path}'. {MEMORY}"):
        read(path)
    torch.save({"a": x.expand(4), "b": x.expand(4)}, path)
    assert read(path)[1].tolist() == [[1.0] * 4] * 2


@withPackage("h5py")
def test_hdf5_that_holds_what_is_elsewhere(tmp_path):
    import h5py

    path, secret = tmp_path / "x.h5", tmp_path / "secret"
    secret.write_bytes(bytes(16))
    for shape, more, message in [
        ((4,), {"external": [(str(secret), 0, 16)]}, "'a' is in another file, which is refused"),
        ((1 << 40,), {"chunks": (1 << 20,)}, MEMORY),  # Nothing is stored.
        ((1 << 25,), {"chunks": (1 << 20,)}, LARGE),
    ]:
        with h5py.File(path, "w") as file:
            file.create_dataset("a", shape, "<f4", **more)
        with pytest.raises(ValueError, match=f"'{path}'. {message}"):
            read(path)


def load(content):
    return load_arrays(io.BytesIO(content))


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def test_torch_files_that_run_code(tmp_path):
    path, marker = tmp_path / "x.pth", tmp_path / "marker"
    run = Call(os.system, f"touch {marker}")
    for content in [run, {"a": run}, [X, run], torch.nn.Linear(1, 1)]:
        for new in (True, False):
            torch.save(content, path, _use_new_zipfile_serialization=new)
            with pytest.raises(ValueError, match=f"'{path}'. The pickle asks for '"):
                read(path)
    objects = np.array([None, run], dtype=object)
    for suffix, content in ((".pkl", run), (".npy", objects), (".npz", objects)):
        path = save(tmp_path / f"x{suffix}", content)
        with pytest.raises(ValueError, match=f"'{path}'.*('posix.system'|Python|[oO]bject)"):
            read(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles(protocol):
    arrays = [
        np.random.rand(3, 4).astype(np.float32),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.random.rand(3, 4)),
        np.random.rand(4, 6).astype(np.float16)[::2, ::3],
        np.array([True, False]),
        np.array(["a", "é"]),
    ]
    for array, out in zip(arrays, load(pickle.dumps(arrays, protocol)), strict=True):
        assert out.dtype == array.dtype and np.array_equal(out, array)
    vector = np.ones(2)
    content = {"a": vector, np.str_("é"): (vector, [1, 2.5, None, True]), np.int64(3): [1]}
    out = load(pickle.dumps(OrderedDict(content), protocol))
    assert list(out) == ["a", "é", 3] and out["é"][1] == [1, 2.5, None, True] and out[3] == [1]
    assert out["é"][0].tolist() == out["a"].tolist() == [1, 1]
    assert load(pickle.dumps([np.float64(1.5)], protocol)) == [1.5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles_that_run_code(tmp_path, protocol):
    marker, code = tmp_path / "marker", tmp_path / "code.npy"
    run = Call(os.system, f"touch {marker}")
    np.save(code, np.array([run], dtype=object), allow_pickle=True)
    attacks = [
        *((x, "posix.system") for x in (run, [np.ones(2), run], {run: 1}, np.array([run, 1]))),
        (Call(eval, f"open('{marker}', 'w')"), "eval"),
        (Call(np.load, str(code), None, True), "numpy.*load"),
        (torch.ones(1), "torch.*If you trust it, load it once, and save its features by"),
        (Call(bytearray, 1 << 40), "bytearray"),
        (__import__("collections").defaultdict(list), "collections.defaultdict"),
    ]
    for attack, asked in attacks:
        with pytest.raises(ContentError, match=asked):
            load(pickle.dumps(attack, protocol))
        assert not marker.exists(), asked


@pytest.mark.parametrize(
    "content, message",
    [
        (b"(S'touch {}'\nios\nsystem\n.", "which is refused"),  # INST
        (b"(cos\nsystem\nS'touch {}'\no.", "which is refused"),  # OBJ
        (b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR(S'touch {}'\ntR.", "is refused"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "which is refused"),
        (b"\x80\x02\x82\xf0.", "which is refused"),  # EXT1
        (b"Ptouch {}\n.", "which is refused"),  # PERSID
        (b"cnumpy\nndarray\n.", "holds what is no array"),
        (b"cnumpy\nndarray\n(tR.", "holds what is no array"),
        (b"cnumpy\ndtype\n(S'f4'\ntR.", "holds what is no array"),
        (pickle.dumps(np.array([None, 1], dtype=object)), "data type 'O8'"),
        (pickle.dumps(np.zeros(2, dtype=[("a", "f8")])), "data type 'V8'"),
        # Objects that claim to be plain bytes, which `pickle.load` takes for pointers:
        (
            b"cnumpy.core.numeric\n_frombuffer\n(C\x08AAAAAAAAcnumpy\ndtype\n(S'O8'\nI00\nI01\ntR"
            b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb(I1\ntS'C'\ntR.",
            "data type 'O8'",
        ),
    ],
)
def test_pickles_of_other_things(tmp_path, content, message):
    marker = tmp_path / "marker"
    copyreg.add_extension("os", "system", 0xF0)
    try:
        with pytest.raises(ContentError, match=message):
            load(content.replace(b"{}", str(marker).encode()))
    finally:
        copyreg.remove_extension("os", "system", 0xF0)
    assert not marker.exists()


def test_pickles_cannot_write_to_what_they_get():
    for name in (b"numpy\ndtype", b"numpy\nndarray", b"collections\nOrderedDict"):
        assert load(b"c" + name + b"\n(N}Vmarker\nI1\nstb0I1\n.") == 1
    for function in (*features.PLAIN.values(), features._Call, np.dtype, np.ndarray, dict):
        assert not hasattr(function, "marker")


def test_names():
    for path, name, end in [
        ("~/a.b/x.NPZ", "x.NPZ", ".npz"),
        ("what?.npz", "what?.npz", ".npz"),
        ("https://www.dropbox.com/s/x/DB15K_ImageData.h5?dl=1", "DB15K_ImageData.h5", ".h5"),
        ("folder/x", "x", ""),
    ]:
        assert (basename(path), format_of(path)) == (name, end)


def test_copies_are_removed(tmp_path):
    url = f"memory://{tmp_path.name}/x.npz"
    with fsspec.open(url, "wb") as file:
        file.write(b"content")
    with pytest.raises(KeyError), on_disk(url) as name:
        assert Path(name).read_bytes() == b"content"
        raise KeyError
    assert not Path(name).exists()
    with on_disk(f"file://{tmp_path}") as name:
        assert name == str(tmp_path)
