import copyreg
import io
import os
import pickle
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
def test_arrays(protocol):
    arrays = [
        np.random.rand(3, 4).astype(np.float32),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.random.rand(3, 4)),
        np.random.rand(4, 6).astype(np.float16)[::2, ::3],
        np.array([True, False]),
        np.array(["a", "é"]),
    ]
    for array in arrays:
        out = load(pickle.dumps(array, protocol))
        assert out.dtype == array.dtype
        assert np.array_equal(out, array)

    vector = np.ones(2)
    content = {"a": vector, np.str_("é"): (vector, [1, 2.5, None, True]), np.int64(3): [1]}
    out = load(pickle.dumps(OrderedDict(content), protocol))
    assert list(out) == ["a", "é", 3]
    assert out["é"][0].tolist() == out["a"].tolist() == [1, 1]
    assert out["é"][1] == [1, 2.5, None, True] and out[3] == [1]
    assert load(pickle.dumps([np.float64(1.5)], protocol)) == [1.5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_attacks_are_refused(tmp_path, protocol):
    marker, code = tmp_path / "marker", tmp_path / "code.npy"
    run = Call(os.system, f"touch {marker}")
    np.save(code, np.array([run], dtype=object), allow_pickle=True)
    objects = np.empty(2, dtype=object)
    objects[:] = [run, 1]
    attacks = [
        (run, "posix.system"),
        (Call(eval, f"open('{marker}', 'w')"), "eval"),
        (Call(np.load, str(code), None, True), "numpy.*load"),
        (torch.ones(1), "torch.*If you trust it, load it once, and save its features by"),
        (objects, "posix.system"),
        ([np.ones(2), run], "posix.system"),
        ({run: 1}, "posix.system"),
        (Call(bytearray, 1 << 40), "bytearray"),
        (Call(__import__("_codecs").encode, "a", "rot13"), "rot13"),
        (__import__("collections").defaultdict(list), "collections.defaultdict"),
    ]
    for attack, asked in attacks:
        with pytest.raises(ContentError, match=asked):
            load(pickle.dumps(attack, protocol))
        assert not marker.exists(), asked


@pytest.mark.parametrize(
    "content",
    [
        b"(S'touch {}'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch {}'\no.",  # OBJ
        b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR(S'touch {}'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
        b"\x80\x02\x82\xf0.",  # EXT1
        b"Ptouch {}\n.",  # PERSID
    ],
)
def test_opcodes_are_refused(tmp_path, content):
    marker = tmp_path / "marker"
    copyreg.add_extension("os", "system", 0xF0)
    try:
        with pytest.raises(ContentError, match="which is refused"):
            load(content.replace(b"{}", str(marker).encode()))
    finally:
        copyreg.remove_extension("os", "system", 0xF0)
    assert not marker.exists()


def test_what_is_no_array_is_refused():
    for content in (b"cnumpy\nndarray\n.", b"cnumpy\nndarray\n(tR.", b"cnumpy\ndtype\n(S'f4'\ntR."):
        with pytest.raises(ContentError, match="holds what is no array"):
            load(content)
    for array in (np.array([None, 1], dtype=object), np.zeros(2, dtype=[("a", "f8")])):
        with pytest.raises(ContentError, match="data type '[OV]8'"):
            load(pickle.dumps(array))
    # Objects that claim to be plain bytes, which `pickle.load` takes for pointers:
    dtype = b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    content = b"cnumpy.core.numeric\n_frombuffer\n(C\x08AAAAAAAA" + dtype + b"(I1\ntS'C'\ntR."
    with pytest.raises(ContentError, match="data type 'O8'"):
        load(content)


def test_pickles_cannot_write_to_what_they_get():
    for name in (b"numpy\ndtype", b"numpy\nndarray", b"collections\nOrderedDict"):
        assert load(b"c" + name + b"\n(N}Vmarker\nI1\nstb0I1\n.") == 1
    for build in (*unpickle.BUILDERS.values(), np.dtype, np.ndarray):
        assert not hasattr(build, "marker")
