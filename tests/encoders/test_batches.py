import math

import pytest
import torch

from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.batches import encode_rows
from torch_imf.encoders.cache import FeatureCache, hash_content


class Lengths:
    """Encodes texts as their length and square, and can be interrupted."""

    def __init__(self, stop=None):
        self.stop = stop
        self.batches = []

    def load(self):
        return self.encode

    def encode(self, batch):
        if len(self.batches) == self.stop:
            raise KeyboardInterrupt
        self.batches.append(list(batch.values()))
        batch = {key: text for key, text in batch.items() if text != ""}
        x = [[len(text), len(text) ** 2] for text in batch.values()]
        return list(batch), torch.tensor(x, dtype=torch.double).view(-1, 2)


TEXTS = ["a" * i for i in range(8)]
ENTRIES = [(i, hash_content(text), text) for i, text in enumerate(TEXTS)]


def test_encode_rows():
    entries = [*ENTRIES[:4], (0, *ENTRIES[3][1:]), (5, *ENTRIES[1][1:]), (5, *ENTRIES[2][1:])]
    model = Lengths()
    x, mask = encode_rows(6, entries, model.load, batch_size=3)
    assert model.batches == [["", "a", "aa"], ["aaa"]]  # Each once.
    assert x.tolist() == [[3, 9], [1, 1], [2, 4], [3, 9], [0, 0], [1.5, 2.5]]
    assert x.dtype == torch.float32
    assert mask.tolist() == [True, True, True, True, False, True]

    x, mask = encode_rows(2, ENTRIES[:1], model.load, batch_size=3)
    assert x.size() == (2, 0)
    assert not mask.any()
    x, mask = encode_rows(2, [], lambda: None, batch_size=3, channels=4)
    assert x.tolist() == [[0] * 4] * 2


def test_encode_rows_goes_on_after_an_interruption(tmp_path):
    expected = encode_rows(8, ENTRIES, Lengths().load, batch_size=2)
    cache = FeatureCache(tmp_path, PixelEncoder())
    with pytest.raises(KeyboardInterrupt):
        encode_rows(8, ENTRIES, Lengths(stop=2).load, 2, cache)

    model = Lengths()
    out = encode_rows(8, ENTRIES, model.load, 2, cache)
    # An item that cannot be encoded is tried again:
    assert model.batches == [["", TEXTS[4]], [TEXTS[5], TEXTS[6]], [TEXTS[7]]]
    assert torch.equal(out[0], expected[0])
    assert torch.equal(out[1], expected[1])

    out = encode_rows(8, ENTRIES[1:], lambda: pytest.fail("loaded a model"), 2, cache)
    assert torch.equal(out[0], expected[0])

    # Other rows, in other batches, of which some are known:
    model = Lengths()
    entries = [(0, *ENTRIES[5][1:]), (0, hash_content("b" * 9), "b" * 9)]
    x, _ = encode_rows(1, entries, model.load, 5, cache)
    assert x.tolist() == [[7, 53]]
    assert model.batches == [["b" * 9]]


def test_encode_rows_keeps_no_nan(tmp_path):
    def encode(batch):
        x = torch.tensor([[len(text), 1.0] for text in batch.values()])
        x[[text == "aa" for text in batch.values()], 1] = math.nan
        return list(batch), x

    cache = FeatureCache(tmp_path, PixelEncoder())
    x, mask = encode_rows(8, ENTRIES, lambda: encode, 4, cache)
    assert mask.all()
    assert x.isnan().nonzero().tolist() == [[2, 1]]

    model = Lengths()
    encode_rows(8, ENTRIES, model.load, 4, cache)
    assert model.batches == [["aa"]]
