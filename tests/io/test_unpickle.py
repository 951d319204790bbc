import copyreg
import io
import os
import pickle
import struct
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch

from torch_imf.io import unpickle
from torch_imf.io.unpickle import ContentError, load_arrays

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def load(content):
    return load_arrays(io.BytesIO(content))


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.random.rand(3, 4).astype(np.float32),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.random.rand(3, 4)),
        np.random.rand(4, 6).astype(np.float16)[::2, ::3],
        np.zeros((0, 3)),
        np.array([True, False]),
        np.float64(1.5),
        np.array(["a", "é"]),
    ],
)
def test_load_numpy(protocol, array):
    out = load(pickle.dumps(array, protocol))
    assert out.shape == array.shape
    assert out.dtype == array.dtype
    assert np.array_equal(out, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "x",
    [
        torch.randn(3, 4),
        torch.randn(4, 3).t()[1:],
        torch.randn(3).bfloat16(),
        torch.arange(3),
        torch.nn.Parameter(torch.randn(2)),
    ],
)
def test_load_tensor(protocol, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = load(pickle.dumps(x, protocol))
    assert out.dtype == x.dtype
    assert torch.equal(out, x)
    assert not out.requires_grad


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_load_containers(protocol):
    vector = np.ones(2)
    content = {"a": vector, np.str_("é"): (vector, [1, 2.5, None, True]), np.int64(3): [1]}
    out = load(pickle.dumps(OrderedDict(content), protocol))
    assert list(out) == ["a", "é", 3]
    assert np.array_equal(out["a"], vector)
    assert np.array_equal(out["é"][0], vector)
    assert out["é"][1] == [1, 2.5, None, True]
    assert out[3] == [1]
    assert load(pickle.dumps([vector, vector], protocol))[1].tolist() == [1, 1]


def python2(key, vector):
    """A dictionary of a vector as Python 2 and NumPy 1 wrote it."""
    text = lambda x: b"U" + bytes([len(x)]) + x  # noqa: E731
    return b"".join(
        [
            b"\x80\x02}" + text(key) + b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R(K\x01K" + bytes([len(vector)]),
            b"\x85cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            text(struct.pack(f"<{len(vector)}f", *vector)) + b"tbs.",
        ]
    )


def test_load_python2():
    content = python2("é".encode(), [1.0, -2.5])
    assert pickle.loads(content, encoding="latin1")["Ã©"].tolist() == [1, -2.5]
    out = load(content)
    assert list(out) == ["é".encode()]
    assert out["é".encode()].tolist() == [1, -2.5]


def attacks(folder):
    """Pickles that create a file, and what they ask for to do so."""
    marker, code = folder / "marker", folder / "code.npy"
    run = Call(os.system, f"touch {marker}")
    np.save(code, np.array([run], dtype=object), allow_pickle=True)
    legacy = io.BytesIO()
    torch.save(run, legacy, _use_new_zipfile_serialization=False)
    zipped = io.BytesIO()
    torch.save(run, zipped)
    read = torch.storage._load_from_bytes
    objects = np.empty(2, dtype=object)
    objects[:] = [run, 1]
    return {
        "system": (run, "posix.system"),
        "eval": (Call(eval, f"open('{marker}', 'w')"), "eval"),
        "attrgetter": (Call(__import__("operator").attrgetter, "system"), "operator.attrgetter"),
        "numpy.load": (Call(np.load, str(code), None, True), "numpy.*load"),
        "torch.load": (Call(torch.load, "x"), "torch.serialization.load"),
        "module": (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear|_reconstructor"),
        "numpy objects": (objects, "posix.system"),
        "list": ([np.ones(2), run], "posix.system"),
        "key": ({run: 1}, "posix.system"),
        "storage, legacy": (Call(read, legacy.getvalue()), "posix.system"),
        "storage, zip": (Call(read, zipped.getvalue()), "posix.system"),
        "storage, plain": (Call(read, pickle.dumps(run, 2)), ""),
        "import": (Call(__import__, "antigravity"), "__import__"),
        "bytearray": (Call(bytearray, 1 << 40), "bytearray"),
        "codec": (Call(__import__("_codecs").encode, "a", "rot13"), "rot13"),
        "default": (__import__("collections").defaultdict(list), "collections.defaultdict"),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_attacks_are_refused(tmp_path, protocol):
    for name, (attack, asked) in attacks(tmp_path).items():
        with pytest.raises(Exception if asked == "" else ContentError, match=asked or None):
            load(pickle.dumps(attack, protocol))
        assert not (tmp_path / "marker").exists(), name


@pytest.mark.parametrize(
    "content",
    [
        b"(S'touch {}'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch {}'\no.",  # OBJ
        b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR(S'touch {}'\ntR.",
        b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"ctorch.hub\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__subclasses__\x93.",
        b"\x80\x02\x82\xf0.",  # EXT1
    ],
)
def test_opcodes_are_refused(tmp_path, content):
    marker = tmp_path / "marker"
    content = content.replace(b"{}", str(marker).encode())
    copyreg.add_extension("os", "system", 0xF0)
    try:
        with pytest.raises(ContentError, match="which is refused"):
            load(content)
    finally:
        copyreg.remove_extension("os", "system", 0xF0)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_persistent_ids_are_refused(protocol):
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return "id" if obj == "x" else None

    file = io.BytesIO()
    Pickler(file, protocol).dump([1, "x"])
    with pytest.raises(ContentError, match="asks for objects outside of it"):
        load(file.getvalue())


def test_object_arrays_are_refused():
    for protocol in PROTOCOLS:
        with pytest.raises(ContentError, match="data type 'O8'"):
            load(pickle.dumps(np.array([None, 1], dtype=object), protocol))
    # Objects that claim to be plain bytes, which `pickle.load` takes for pointers:
    dtype = b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    content = b"cnumpy.core.numeric\n_frombuffer\n(C\x08AAAAAAAA" + dtype + b"(I1\ntS'C'\ntR."
    with pytest.raises(ContentError, match="data type 'O8'"):
        load(content)
    with pytest.raises(ContentError, match="data type 'V8'"):
        load(pickle.dumps(np.zeros(2, dtype=[("a", "f8")]), 2))


def test_pickles_cannot_write_to_what_they_get():
    names = [b"numpy\ndtype", b"numpy\nndarray", b"torch._utils\n_rebuild_tensor_v2"]
    for name in [*names, b"collections\nOrderedDict"]:
        content = b"c" + name + b"\n(N}Vmarker\nI1\nstb0I1\n."
        assert load(content) == 1
    for build in (*unpickle.BUILDERS.values(), np.dtype, np.ndarray):
        assert not hasattr(build, "marker")


def test_what_is_no_array_is_refused():
    for content in (b"cnumpy\nndarray\n.", b"cnumpy\nndarray\n(tR.", b"cnumpy\ndtype\n(S'f4'\ntR."):
        with pytest.raises(ContentError, match="holds what is no array"):
            load(content)
    with pytest.raises(ContentError, match="keys of type 'tuple'"):
        load(pickle.dumps({(1, 2): np.ones(2)}))
    content = b"ctorch._utils\n_rebuild_tensor_v2\n(cnumpy\nndarray\n(tRI0\n(I9\nt(I1\ntI00\nNtR."
    with pytest.raises(ContentError, match="tensor without its content"):
        load(content)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_tensors_end_where_their_storage_ends():
    class Tensor:
        def __reduce__(self):
            storage = torch.TypedStorage(4, dtype=torch.float32)
            return torch._utils._rebuild_tensor_v2, (storage, 2, (4,), (1,), False, OrderedDict())

    with pytest.raises(RuntimeError, match="out of bounds"):
        load(pickle.dumps(Tensor()))
