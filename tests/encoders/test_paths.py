from pathlib import Path

import fsspec
import pytest

from torch_imf.encoders.paths import basename, is_file, locate, on_disk, suffix


@pytest.mark.parametrize(
    ("path", "name", "end"),
    [
        ("DB15K-visual.pth", "DB15K-visual.pth", ".pth"),
        ("~/a.b/x.NPZ", "x.NPZ", ".npz"),
        ("what?.npz", "what?.npz", ".npz"),
        ("memory://x.npz", "x.npz", ".npz"),
        ("https://www.dropbox.com/s/x/DB15K_ImageData.h5?dl=1", "DB15K_ImageData.h5", ".h5"),
        ("folder/x", "x", ""),
    ],
)
def test_names(path, name, end):
    assert basename(path) == name
    assert suffix(path) == end


def test_on_disk(tmp_path):
    path = tmp_path / "x.npz"
    assert locate(str(path)) == (str(path), True)
    assert not is_file(str(path))
    path.write_bytes(b"content")
    for name in (str(path), f"file://{path}"):
        assert is_file(name)
        with on_disk(name) as file:
            assert file == str(path)
    assert path.exists()


def test_copies_are_removed(tmp_path):
    url = f"memory://{tmp_path.name}/x.npz"
    with fsspec.open(url, "wb") as file:
        file.write(b"content")
    assert is_file(url)
    assert not locate(url)[1]
    with pytest.raises(KeyError), on_disk(url) as name:
        assert Path(name).read_bytes() == b"content"
        raise KeyError
    assert not Path(name).exists()
