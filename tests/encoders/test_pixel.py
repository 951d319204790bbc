import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import PixelEncoder


def test_pixel_encoder(cache):
    encoder = PixelEncoder(height=2, width=3)
    assert str(encoder) == "PixelEncoder(height=2, width=3)"

    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    x, mask = encoder([image, None, torch.full((3, 1, 1), 255, dtype=torch.uint8)])
    assert x.size() == (3, 18)
    assert mask.tolist() == [True, False, True]
    expected = image.float().view(3, 2, 2, 3, 2).mean(dim=(2, 4)) / 127.5 - 1
    assert torch.allclose(x[0], expected.view(-1), atol=1e-6)
    assert (x[1] == 0).all()
    assert (x[2] == 1).all()
    assert encoder([])[0].size() == (0, 18)
    assert not cache.exists()


@withPackage("PIL")
def test_pixel_encoder_files(tmp_path):
    from PIL import Image

    path = tmp_path / "image.png"
    image = Image.new("RGBA", (6, 4), (0, 0, 0, 0))  # Transparent ...
    image.paste((255, 0, 0, 255), (0, 0, 3, 4))  # ... with a red left half.
    image.save(path)

    x, mask = PixelEncoder(height=1, width=2)([str(path)])
    assert x.view(3, 2).t().tolist() == [[1, -1, -1], [1, 1, 1]]

    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(UserWarning, match="Cannot read the image .*image.png"):
        x, mask = PixelEncoder()([path])
    assert not mask.any()
    assert x.size() == (1, 1152)


def test_pixel_encoder_bad_input():
    with pytest.raises(ValueError, match="Image 1 needs to be a uint8 tensor .* torch.float32"):
        PixelEncoder()([None, torch.zeros(3, 4, 4)])
    with pytest.raises(ValueError, match=r"Image 0 .*\[1, 4, 4\]"):
        PixelEncoder()([torch.zeros(1, 4, 4, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="at least one cell"):
        PixelEncoder(height=0)
