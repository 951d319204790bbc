import numpy as np
import pytest
import torch

from torch_imf.encoders import table
from torch_imf.encoders.table import parts, pool, tabulate
from torch_imf.encoders.unpickle import ContentError


def test_tabulate():
    x = torch.randn(4, 3)
    for content in (x, x.numpy(), list(x), x.tolist(), {"weight": x}, dict(enumerate(x))):
        out = tabulate(lambda content=content: content)
        assert out.names is None
        assert out.num_rows == 4
        assert torch.equal(torch.cat(list(out.blocks)), x)

    content = {"a": x[0], b"b": x[1].numpy(), "c": x[2:]}
    out = tabulate(lambda: content)
    assert out.names == ["a", "b", "c"]
    assert [block.size() for block in out.blocks] == [(1, 3), (1, 3), (1, 2, 3)]

    with pytest.raises(ContentError, match="holds no arrays"):
        tabulate(lambda: "text")


def test_matrices_are_loaded_anew_for_each_part(monkeypatch):
    monkeypatch.setattr(table, "CHUNK", 6)
    calls = []

    def load():
        calls.append(len(calls))
        return np.ones((4, 3), dtype=np.float16)

    assert [block.size(0) for block in tabulate(load).blocks] == [2, 2]
    assert len(calls) == 3


def test_pool():
    x = torch.tensor([[[1.0, 3.0], [0.0, 0.0], [0.0, 2.0]], [[0.0, 0.0]] * 3])
    assert pool(x).tolist() == [[0.5, 2.5], [0, 0]]
    assert pool(x[:, :0]).tolist() == [[0, 0], [0, 0]]
    assert torch.equal(pool(x[0]), x[0])
    nan = pool(torch.tensor([[[float("nan"), 1.0], [0.0, 0.0], [1.0, 3.0]]]))
    assert nan.isnan().tolist() == [[True, False]]
    assert nan[0, 1] == 2


def test_parts(monkeypatch):
    monkeypatch.setattr(table, "CHUNK", 10)
    assert list(parts((5, 3))) == [slice(0, 3), slice(3, 5)]
    assert list(parts((2, 100))) == [slice(0, 1), slice(1, 2)]
    assert list(parts((3, 2, 4))) == [slice(0, 1), slice(1, 2), slice(2, 3)]
