import os
import struct
import warnings
import zlib

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.image import hash_pixels
from torch_imf.io.images import read_image

RED = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 6)
BLUE = torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 5, 2)


def test_several_images_are_averaged():
    encoder = PixelEncoder(1, 1)
    x, mask = encoder([[RED, BLUE], None, [], RED, [BLUE, BLUE]])
    expected = [[0, -1, 0], [0, 0, 0], [0, 0, 0], [1, -1, -1], [-1, -1, 1]]
    assert torch.allclose(x, torch.tensor(expected).float(), atol=1e-6)
    assert mask.tolist() == [True, False, False, True, True]
    assert encoder.unreadable == {}


def test_hash_pixels():
    assert hash_pixels(RED) == hash_pixels(RED.clone())
    assert hash_pixels(RED) != hash_pixels(RED.reshape(3, 6, 4))
    assert hash_pixels(RED) != hash_pixels(BLUE)


@withPackage("PIL")
@pytest.mark.parametrize(
    "mode, color, suffix, expected",
    [
        ("RGB", (10, 20, 30), "png", [10, 20, 30]),
        ("RGBA", (255, 0, 0, 0), "png", [255, 255, 255]),
        ("LA", (100, 255), "png", [100, 100, 100]),
        ("L", 100, "jpg", [100, 100, 100]),
        ("1", 1, "png", [255, 255, 255]),
        ("P", 0, "gif", [0, 0, 0]),
        ("CMYK", (0, 255, 255, 0), "jpg", [255, 0, 0]),
        ("CMYK", (0, 255, 255, 0), "tif", [255, 0, 0]),
        ("I;16", 257 * 100, "png", [100, 100, 100]),
        ("I", 65535, "tif", [255, 255, 255]),
    ],
)
def test_read_image(tmp_path, mode, color, suffix, expected):
    from PIL import Image

    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (3, 2), color).save(path)
    image = read_image(path)
    assert image.size() == (3, 2, 3)
    assert image.dtype == torch.uint8
    difference = image.int() - torch.tensor(expected).view(3, 1, 1)
    assert difference.abs().max() <= 2  # JPEG is not exact.


@withPackage("PIL")
def test_read_image_transparent_palette(tmp_path):
    from PIL import Image

    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", transparency=0)
    pixels = read_image(str(tmp_path / "image.png"))
    assert pixels.permute(1, 2, 0).tolist() == [[[255, 255, 255], [0, 255, 0]]]


@withPackage("PIL")
def test_unreadable_images(tmp_path):
    from PIL import Image

    names = ["zero.png", "also zero.png", "text.jpg", "truncated.jpg", "folder.png", "missing.png"]
    paths = {name: str(tmp_path / name) for name in names}
    good = tmp_path / "good.png"
    Image.new("RGB", (6, 4), (255, 0, 0)).save(good)
    noise = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(paths["truncated.jpg"])
    content = (tmp_path / "truncated.jpg").read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("This is no image.")
    (tmp_path / "zero.png").touch()
    (tmp_path / "also zero.png").touch()
    os.mkdir(paths["folder.png"])

    encoder = PixelEncoder(1, 1)
    with pytest.warns(UserWarning) as warned:
        x, mask = encoder([good, None, *paths.values(), [*paths.values(), good]])
    assert len(warned) == 1
    message = str(warned[0].message)
    assert message.startswith("6 images cannot be read and are left out")
    assert all(f"'{name}' (" in message for name in names)
    assert encoder.unreadable.keys() == set(paths.values())
    assert "Is a directory" in encoder.unreadable[paths["folder.png"]]
    assert mask.tolist() == [True, False, *[False] * 6, True]
    assert x[mask].tolist() == [[1, -1, -1]] * 2
    assert (x[~mask] == 0).all()

    with pytest.warns(UserWarning, match="6 images"):
        x, mask = encoder(list(paths.values()))
    assert x.size() == (6, 3)
    assert not mask.any()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder([good])
    assert encoder.unreadable == {}


@withPackage("PIL")
def test_images_that_are_too_large(tmp_path, monkeypatch):
    # A picture of 40 gigapixels in a kilobyte, and a file of many bytes:
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x))
        for kind, x in chunks
    )
    (tmp_path / "wide.png").write_bytes(content)
    (tmp_path / "long.png").write_bytes(content.ljust(2001, b"\0"))
    monkeypatch.setattr("torch_imf.encoders.image.LARGEST", 2000)
    encoder = PixelEncoder(1, 1)
    good = torch.zeros(3, 2, 2, dtype=torch.uint8)
    with pytest.warns(UserWarning, match="2 images cannot be read.*'long.png' .*'wide.png' ") as w:
        mask = encoder([str(tmp_path / "wide.png"), str(tmp_path / "long.png"), good])[1]
    assert "more than 2,000 bytes" in str(w[0].message) and "exceeds limit" in str(w[0].message)
    assert mask.tolist() == [False, False, True]


@withPackage("PIL")
def test_images_that_are_programs(tmp_path):
    # PostScript, which Pillow would have drawn by Ghostscript, and a pickle:
    path, marker = tmp_path / "a.png", tmp_path / "marker"
    code = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({marker}) (w) file\n"
    for content in (code.encode(), f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Cannot read the image .*cannot identify"):
            read_image(path)
    assert not marker.exists()
