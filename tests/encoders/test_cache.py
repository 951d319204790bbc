import json
import math
import multiprocessing
import os
import time
import warnings
from threading import Thread

import pytest
import torch

from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.cache import FeatureCache, encode_rows, hash_content

KEYS = [hash_content(str(i)) for i in range(6)]


def test_feature_cache(tmp_path, cache):
    store = FeatureCache(True, PixelEncoder())
    assert store.folder.parent == cache and not cache.exists()
    assert store.folder.name.startswith("PixelEncoder-")
    assert store.folder != FeatureCache(True, PixelEncoder(1, 1)).folder
    assert store.read(KEYS) == {}
    with pytest.raises(ValueError, match="cannot be told from others.*'cache=False'"):
        FeatureCache(tmp_path, object())

    x = torch.randn(6, 3)
    store.write(KEYS[:4], x[:4])
    store.write(KEYS[3:], x[3:])
    store.write([], x[:0])
    store.write(["a"], torch.tensor([[math.nan]]))
    names = sorted(path.suffix for path in store.folder.iterdir())
    assert names == [".json", ".npz", ".npz"]
    about = json.loads((store.folder / "encoder.json").read_text())
    assert about == {"encoder": "PixelEncoder(height=16, width=24)"}

    found = FeatureCache(cache, PixelEncoder()).read(KEYS)
    assert sorted(found) == sorted(KEYS)
    assert torch.equal(torch.stack([found[key] for key in KEYS]), x)
    assert list(store.read([KEYS[5], "other"])) == [KEYS[5]]


def flip(content, i, bits=1):
    return content[:i] + bytes([content[i] ^ bits]) + content[i + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: flip(content, len(content) // 2),
        lambda _: b"",
        lambda _: b"no archive",
        lambda content: content[:-100],
        lambda content: flip(content, content.index(b"PK\x01\x02") + 8),  # Is encrypted.
        lambda content: content.replace(b"(2, 200)", b"(2, 100)"),  # Is shorter than its file.
    ],
)
def test_damaged_files_are_removed(tmp_path, damage):
    cache = FeatureCache(tmp_path, PixelEncoder())
    x = torch.randn(6, 200)
    for i in range(0, 6, 2):
        cache.write(KEYS[i : i + 2], x[i : i + 2])
    path = sorted(cache.folder.glob("*.npz"))[1]
    path.write_bytes(damage(path.read_bytes()))

    with pytest.warns(UserWarning, match=f"'{path}' are damaged and will be computed anew"):
        found = cache.read(KEYS)
    assert len(found) == 4
    assert all(torch.equal(found[key], x[KEYS.index(key)]) for key in found)
    assert not path.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(cache.read(KEYS)) == 4


def test_any_damaged_byte(tmp_path):
    cache = FeatureCache(tmp_path, PixelEncoder())
    x = torch.randn(2, 3)
    cache.write(["a", "b"], x)
    path = next(cache.folder.glob("*.npz"))
    content = path.read_bytes()
    num_found = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(len(content)):
            path.write_bytes(flip(content, i, 1 << i % 8))
            found = cache.read(["a", "b"])
            assert all(torch.equal(row, x["ab".index(key)]) for key, row in found.items())
            num_found += len(found)
    assert 0 < num_found < 2 * len(content)  # Some bytes, such as a date, do not matter.


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file", PixelEncoder())
    with pytest.warns(UserWarning, match="not kept.* Set TORCH_IMF_CACHE") as warned:
        cache.write(KEYS[:1], torch.ones(1, 2))
        cache.write(KEYS[1:2], torch.ones(1, 2))
    assert len(warned) == 1
    assert cache.read(KEYS) == {}


def test_many_writers_share_a_folder(tmp_path):
    x = torch.arange(6.0).view(6, 1)

    def work(size):
        cache = FeatureCache(tmp_path, PixelEncoder())
        for _ in range(5):
            for i in range(0, 6, size):
                cache.write(KEYS[i : i + size], x[i : i + size])
                for key, row in cache.read(KEYS).items():
                    assert row.item() == KEYS.index(key)

    threads = [Thread(target=work, args=(size,)) for size in (1, 2, 3, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = FeatureCache(tmp_path, PixelEncoder())
    assert len(cache.read(KEYS)) == 6
    assert len(list(cache.folder.iterdir())) == 6 + 3 + 2 + 1


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


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_encoding_goes_on_after_a_kill(tmp_path):
    images = [None, *torch.randint(0, 256, (11, 3, 20, 30), dtype=torch.uint8)]

    def encode(cache, started=None):
        count = []

        def model(batch):
            if started is not None and len(count) == 4:
                started.set()
                time.sleep(60)
            count.extend(batch)
            return torch.stack([x.sum().view(1) for x in batch])

        encoder = PixelEncoder()
        prepare, _ = encoder.load()
        encoder.load = lambda: (prepare, model)
        encoder.batch_size, encoder.cache = 2, cache
        return encoder(images), len(count)

    whole, count = encode(str(tmp_path / "whole"))
    assert count == 11
    fork = multiprocessing.get_context("fork")
    started = fork.Event()
    process = fork.Process(target=encode, args=(str(tmp_path / "cache"), started))
    process.start()
    assert started.wait(10)
    process.kill()
    process.join(10)

    out, count = encode(str(tmp_path / "cache"))
    assert count == 11 - 4  # Only what is left.
    assert all(torch.equal(x, y) for x, y in zip(out, whole, strict=True))
    assert encode(str(tmp_path / "cache"))[1] == 0
