import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from torch_imf.encoders import PixelEncoder
from torch_imf.encoders import cache as module
from torch_imf.encoders.cache import BatchEncoder, FeatureCache
from torch_imf.io import mapped
from torch_imf.io.hash import hash_content

KEYS = [hash_content(str(i)) for i in range(6)]


def test_feature_cache(cache):
    store = FeatureCache(True, PixelEncoder())
    assert store.folder.parent == cache and not cache.exists()
    assert store.folder.name.startswith("PixelEncoder-") and store.read(KEYS) == {}
    assert store.folder != FeatureCache(True, PixelEncoder(1, 1)).folder
    with pytest.raises(ValueError, match="cannot be told from others.*'cache=False'"):
        FeatureCache(True, object())

    x = torch.randn(6, 3)
    store.write(KEYS[:4], x[:4])
    store.write(KEYS[3:], x[3:])
    store.write([], x[:0])
    store.write(["a"], torch.tensor([[math.nan]]))
    assert sorted(path.suffix for path in store.folder.iterdir()) == [
        ".json",
        ".safetensors",
        ".safetensors",
    ]
    about = json.loads((store.folder / "encoder.json").read_text())
    assert about == {"encoder": "PixelEncoder(height=16, width=24)"}

    found = FeatureCache(cache, PixelEncoder()).read(KEYS)
    assert torch.equal(torch.stack([found[key] for key in KEYS]), x) and len(found) == 6
    assert list(store.read([KEYS[5], "other"])) == [KEYS[5]]


def test_damaged_files_are_removed(tmp_path):
    cache = FeatureCache(tmp_path, PixelEncoder())
    x = torch.randn(6, 200)
    for damage in (
        lambda _: b"no archive",
        lambda content: content[:-100],
        lambda content: content.replace(b"[2, 200]", b"[200, 2]"),
        lambda content: content.replace(x[2].numpy().tobytes(), bytes(800)),
    ):
        for i in range(0, 6, 2):
            cache.write(KEYS[i : i + 2], x[i : i + 2])
        path = cache.folder / f"{hash_content(' '.join(KEYS[2:4]))[:32]}.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.warns(UserWarning, match=f"'{path}' are damaged and will be computed anew"):
            found = cache.read(KEYS)
        assert len(found) == 4 and not path.exists()
        assert all(torch.equal(found[key], x[KEYS.index(key)]) for key in found)


def test_features_of_another_user_are_not_read(tmp_path, monkeypatch):
    cache, x = FeatureCache(tmp_path / "cache", PixelEncoder()), torch.ones(2, 3)
    cache.write(KEYS[:1], x[:1])
    cache.write(KEYS[1:2], x[1:])
    assert {path.stat().st_mode & 0o777 for path in (cache.folder, tmp_path / "cache")} == {0o700}
    theirs = cache.folder / f"{hash_content(KEYS[0])[:32]}.safetensors"
    own = module.is_own
    monkeypatch.setattr(module, "is_own", lambda path: path != theirs and own(path))
    with pytest.warns(UserWarning, match=f"'{theirs}' are those of another user, and not read"):
        assert list(cache.read(KEYS)) == KEYS[1:2]
    # Nor are those of another encoder, whatever their place:
    other = FeatureCache(tmp_path / "cache", PixelEncoder(1, 1))
    cache.folder.rename(other.folder)
    monkeypatch.undo()
    assert other.read(KEYS) == {}


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file", PixelEncoder())
    with pytest.warns(UserWarning, match="not kept.* Set TORCH_IMF_CACHE") as warned:
        cache.write(KEYS[:1], torch.ones(1, 2))
        cache.write(KEYS[1:2], torch.ones(1, 2))
    assert len(warned) == 1 and cache.read(KEYS) == {}


def test_many_writers_share_a_folder(tmp_path):
    x = torch.arange(6.0).view(6, 1)

    def work(size):
        cache = FeatureCache(tmp_path, PixelEncoder())
        for i in [*range(0, 6, size)] * 5:
            cache.write(KEYS[i : i + size], x[i : i + size])
            for key, row in cache.read(KEYS).items():
                assert row.item() == KEYS.index(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, (1, 2, 3, 3)))
    cache = FeatureCache(tmp_path, PixelEncoder())
    assert len(cache.read(KEYS)) == 6
    assert len(list(cache.folder.iterdir())) == 6 + 3 + 2 + 1


class Lengths(BatchEncoder):
    """Encodes texts as their length and square, and can be interrupted."""

    def __init__(self, cache=False, batch_size=2, stop=None, channels=0):
        super().__init__(batch_size, cache, channels=channels)
        self.stop, self.batches = stop, []

    def load(self):
        return self.run

    def run(self, texts):
        if len(self.batches) == self.stop:
            raise KeyboardInterrupt
        self.batches.append(texts)
        return torch.tensor([[len(text), len(text) ** 2] for text in texts], dtype=torch.double)

    def settings(self):
        return {}

    def transform(self, texts):
        entries = [(i, hash_content(text), text) for i, text in enumerate(texts)]
        return self.encode(
            len(texts), entries, lambda items: {key: text for key, text in items.items() if text}
        )


def read(items):
    return {key: text for key, text in items.items() if text}


TEXTS = ["a" * i for i in range(8)]


def test_rows():
    a, b, c = ((hash_content(text), text) for text in ("a", "bb", "ccc"))
    encoder = Lengths(batch_size=2)
    x, mask = encoder.encode(6, [(1, *a), (2, *b), (3, *c), (0, *c), (5, *a), (5, *b)])
    assert encoder.batches == [["a", "bb"], ["ccc"]]  # Each once.
    assert x.tolist() == [[3, 9], [1, 1], [2, 4], [3, 9], [0, 0], [1.5, 2.5]]
    assert mask.tolist() == [True, True, True, True, False, True] and x.dtype == torch.float32
    for channels in (0, 4):
        x, mask = Lengths(channels=channels)(["", ""])  # Nothing can be read.
        assert x.tolist() == [[0] * channels] * 2 and not mask.any()
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        Lengths(batch_size=0)


def test_an_interrupted_encoder_goes_on(tmp_path):
    expected = Lengths()(TEXTS)
    with pytest.raises(KeyboardInterrupt):
        Lengths(tmp_path, stop=2)(TEXTS)
    encoder = Lengths(tmp_path)
    assert all(map(torch.equal, encoder(TEXTS), expected))
    # An item that cannot be read is tried again, without a batch of its own:
    assert encoder.batches == [[TEXTS[4]], TEXTS[5:7], TEXTS[7:]]
    assert torch.equal(Lengths(tmp_path, stop=0)(TEXTS[1:])[0], expected[0][1:])
    # Other rows, in other batches, of which some are known:
    encoder = Lengths(tmp_path, batch_size=5)
    assert encoder(["b" * 9, TEXTS[5]])[0].tolist() == [[9, 81], [5, 25]]
    assert encoder.batches == [["b" * 9]]


def test_many_batches_are_few_files(tmp_path, monkeypatch):
    texts = ["a" * i for i in range(1, 500)]
    expected = Lengths(batch_size=1)(texts)
    monkeypatch.setattr(mapped, "LARGE", 0)
    x, mask = Lengths(tmp_path, batch_size=1)(texts)
    assert mapped.is_mapped(x) and torch.equal(x, expected[0]) and mask.all()
    (folder,) = tmp_path.iterdir()
    assert 100 < len(list(folder.glob("*.safetensors"))) < 300
    assert torch.equal(Lengths(tmp_path, stop=0)(texts)[0], x)
