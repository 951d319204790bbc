import pytest
import torch

from torch_imf.datasets.encoder import check_encoder, resolve, tag


class Encoder:
    def __init__(self, size):
        self.size = size

    def __call__(self, texts):
        return torch.ones(len(texts), self.size)

    def __repr__(self):
        return f"Encoder({self.size})"


def test_resolve():
    encoder = Encoder(2)
    assert resolve("text", encoder, lambda: None) is encoder
    assert resolve("text", None, lambda: encoder) is None
    assert resolve("text", "auto", lambda: encoder) is encoder
    with pytest.raises(ValueError, match=r"Invalid 'text' argument \(got 'bert'\)"):
        resolve("text", "bert", lambda: encoder)


def test_check_encoder():
    check_encoder("text", None)
    check_encoder("text", Encoder(2))
    with pytest.raises(ValueError, match=r"Invalid 'text' argument \(got 3\)"):
        check_encoder("text", 3)
    with pytest.raises(ValueError, match="cannot be told from others"):
        check_encoder("text", lambda texts: None)
    with pytest.raises(ValueError, match="cannot be told from others"):
        check_encoder("visual", object.__new__(type("Plain", (), {"__call__": print})))


def test_tag():
    assert tag(None) == "none"
    assert tag(Encoder(2)).startswith("Encoder-")
    assert len(tag(Encoder(2))) == len("Encoder-") + 8
    assert tag(Encoder(2)) == tag(Encoder(2))
    assert tag(Encoder(2)) != tag(Encoder(3))
