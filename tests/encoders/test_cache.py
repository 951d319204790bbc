import json
import os
import warnings
from pathlib import Path
from threading import Thread

import pytest
import torch

from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.cache import FeatureCache, hash_content

KEYS = [hash_content(str(i)) for i in range(6)]


def read(cache, keys=KEYS):
    return {key: row for found, x in cache.read(keys) for key, row in zip(found, x, strict=True)}


def test_feature_cache(tmp_path):
    cache = FeatureCache(tmp_path, PixelEncoder())
    assert str(cache) == f"FeatureCache('{cache.folder}')"
    assert cache.folder.parent == tmp_path
    assert cache.folder.name.startswith("PixelEncoder-")
    assert cache.folder != FeatureCache(tmp_path, PixelEncoder(1, 1)).folder
    assert read(cache) == {}

    x = torch.randn(6, 3)
    cache.write(KEYS[:4], x[:4])
    cache.write(KEYS[3:], x[3:])
    cache.write([], x[:0])
    names = sorted(path.suffix for path in cache.folder.iterdir())
    assert names == [".json", ".npz", ".npz"]
    about = json.loads((cache.folder / "encoder.json").read_text())
    assert about == {"encoder": "PixelEncoder(height=16, width=24)"}

    found = read(FeatureCache(tmp_path, PixelEncoder()))
    assert sorted(found) == sorted(KEYS)
    assert torch.equal(torch.stack([found[key] for key in KEYS]), x)
    assert list(read(cache, [KEYS[5], "other"])) == [KEYS[5]]
    assert read(cache, ["other"]) == {}


def flip(content, i, bits=1):
    return content[:i] + bytes([content[i] ^ bits]) + content[i + 1 :]


def flip_directory(offset, bits=1):
    """Damages an entry of the directory of the archive."""
    return lambda content: flip(content, content.index(b"PK\x01\x02") + offset, bits)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: flip(content, len(content) // 2),
        lambda _: b"",
        lambda _: b"no archive",
        lambda content: content[:-100],
        flip_directory(6, 0x80),  # Needs a later version.
        flip_directory(8),  # Is encrypted.
        flip_directory(10),  # Is compressed by an unknown method.
        flip_directory(10, 14),  # Is compressed by a known one.
        flip_directory(16),  # Has another checksum.
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
        found = read(cache)
    assert len(found) == 4
    assert all(torch.equal(found[key], x[KEYS.index(key)]) for key in found)
    assert not path.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(cache)) == 4


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
            found = read(cache, ["a", "b"])
            assert all(torch.equal(row, x["ab".index(key)]) for key, row in found.items())
            num_found += len(found)
    assert 0 < num_found < 2 * len(content)  # Some bytes, such as a date, do not matter.


def test_array_that_is_shorter_than_its_file(tmp_path):
    cache = FeatureCache(tmp_path, PixelEncoder())
    cache.write(["a", "b"], torch.randn(2, 300))
    path = next(cache.folder.glob("*.npz"))
    path.write_bytes(path.read_bytes().replace(b"(2, 300)", b"(2, 100)"))
    with pytest.warns(UserWarning, match="are damaged .*CRC"):
        assert read(cache, ["a", "b"]) == {}


def test_damaged_file_in_a_folder_that_is_read_only(tmp_path, monkeypatch):
    def unlink(*args, **kwargs):
        raise PermissionError

    cache = FeatureCache(tmp_path, PixelEncoder())
    cache.write(["a"], torch.ones(1, 2))
    next(cache.folder.glob("*.npz")).write_bytes(b"")
    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.warns(UserWarning, match="are damaged"):
        assert read(cache, ["a"]) == {}


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    cache = FeatureCache(tmp_path, PixelEncoder())
    cache.write(KEYS[:1], torch.ones(1, 2))
    before = sorted(os.listdir(cache.folder))
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.write(KEYS[1:], torch.ones(5, 2))
    assert sorted(os.listdir(cache.folder)) == before


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file", PixelEncoder())
    with pytest.warns(UserWarning, match="not kept.* Set TORCH_IMF_CACHE") as warned:
        cache.write(KEYS[:1], torch.ones(1, 2))
        cache.write(KEYS[1:2], torch.ones(1, 2))
    assert len(warned) == 1
    assert read(cache) == {}


def test_many_writers_share_a_folder(tmp_path):
    x = torch.arange(6.0).view(6, 1)

    def work(size):
        cache = FeatureCache(tmp_path, PixelEncoder())
        for _ in range(5):
            for i in range(0, 6, size):
                cache.write(KEYS[i : i + size], x[i : i + size])
                for key, row in read(cache).items():
                    assert row.item() == KEYS.index(key)

    threads = [Thread(target=work, args=(size,)) for size in (1, 2, 3, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = FeatureCache(tmp_path, PixelEncoder())
    assert len(read(cache)) == 6
    assert len(list(cache.folder.iterdir())) == 6 + 3 + 2 + 1
    assert sum(len(found) for found, _ in cache.read(KEYS)) == 6  # Each row once.


def test_open(tmp_path, cache, monkeypatch):
    encoder = PixelEncoder()
    assert FeatureCache.open(encoder, False) is None
    assert FeatureCache.open(encoder, True).folder.parent == cache
    assert FeatureCache.open(encoder, tmp_path / "a").folder.parent == tmp_path / "a"
    monkeypatch.delenv("TORCH_IMF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureCache.open(encoder, True).folder.parent == Path(tmp_path, ".cache/torch_imf")
    assert not (tmp_path / ".cache").exists()

    with pytest.raises(ValueError, match="cannot be told from others.*'cache=False'"):
        FeatureCache(tmp_path, object())
