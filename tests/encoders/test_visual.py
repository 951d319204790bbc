import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from torch_imf.datasets.base import tag
from torch_imf.encoders import PixelEncoder, VisualEncoder
from torch_imf.encoders.base import record_of
from torch_imf.registry import describe, make

pytest.importorskip("timm")

MODEL = "test_resnet"  # Half a million parameters.


@pytest.fixture
def weights(tmp_path):
    import timm

    torch.manual_seed(1)
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model(MODEL).state_dict(), path)
    return path


@pytest.fixture
def images(tmp_path):
    from PIL import Image

    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for path in paths:
        pixels = torch.randint(0, 256, (90, 120, 3), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(path)
    return paths


def test_visual_encoder(weights, images):
    import timm
    from PIL import Image

    encoder = VisualEncoder(MODEL, weights, batch_size=2, device="cpu")
    assert str(encoder).startswith(f"VisualEncoder(model='{MODEL}', weights='")
    assert record_of(encoder).startswith(f"{encoder} with timm {timm.__version__}, torchvision ")
    x, mask = encoder([images[0], None, images[1:3], *images[3:]])
    assert mask.tolist() == [True, False, True, True, True]

    model = timm.create_model(MODEL)
    model.load_state_dict(torch.load(weights))
    model.eval().reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.no_grad():
        expected = model(torch.stack([transform(Image.open(path)) for path in images]))
    assert x.size() == (5, expected.size(-1)) and (x[1] == 0).all()
    assert torch.allclose(x[[0, 3, 4]], expected[[0, 3, 4]], atol=1e-5)
    assert torch.allclose(x[2], expected[1:3].mean(dim=0), atol=1e-5)
    pixels = torch.from_numpy(np.asarray(Image.open(images[0])).copy()).permute(2, 0, 1)
    assert torch.allclose(encoder([pixels])[0], expected[:1], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 30_000), (2000, 3)])
def test_thin_images(weights, tmp_path, size):
    from PIL import Image

    encoder = VisualEncoder(MODEL, weights, device="cpu", cache=False)
    images = [Image.new("RGB", size, "teal"), Image.new("RGB", (50, 50), "teal")]
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    resize, sizes = Image.Image.resize, []
    with pytest.MonkeyPatch.context() as context:
        context.setattr(
            Image.Image, "resize", lambda *args, **kw: sizes.append(args[1]) or resize(*args, **kw)
        )
        x, _ = encoder([str(tmp_path / f"{i}.png") for i in range(2)])
    assert torch.allclose(x[0], x[1], atol=1e-5)  # The middle of either is all that is seen.
    assert max(map(max, sizes)) <= 16 * min(map(min, sizes))


def test_features_are_kept(weights, images, cache, monkeypatch):
    encoder = VisualEncoder(MODEL, weights, batch_size=2, device="cpu")
    x, _ = encoder(images)
    (about,) = cache.glob("*/encoder.json")
    assert json.loads(about.read_text())["encoder"] == record_of(encoder)

    # They are told by content, under whatever name:
    monkeypatch.setattr(VisualEncoder, "load", lambda self: pytest.fail("loaded a model"))
    shutil.copy(images[1], images[0])
    again = VisualEncoder(MODEL, weights, batch_size=4)
    assert torch.equal(again(images[::-1])[0], x[[4, 3, 2, 1, 1]])


def test_name_survives_a_file(weights):
    encoder = VisualEncoder(MODEL, weights, data_config={"mean": (0.5, 0.5, 0.5)})
    assert repr(make(json.loads(json.dumps(describe(encoder))))) == repr(encoder)


def test_tag(weights, tmp_path):
    encoders = [
        VisualEncoder(MODEL),
        VisualEncoder("test_vit"),
        VisualEncoder(MODEL, weights),
        VisualEncoder(MODEL, weights, data_config={"crop_pct": 1.0}),
        VisualEncoder(MODEL, weights, model_kwargs={"output_stride": 16}),
    ]
    assert len({tag(encoder) for encoder in encoders}) == len(encoders)
    copy = shutil.copy(weights, tmp_path / "copy.pth")
    other = VisualEncoder(MODEL, copy, batch_size=7, device="meta", cache=False)
    assert tag(other) == tag(encoders[2])
    Path(copy).write_bytes(b"other weights")
    assert tag(other) != tag(encoders[2])


def test_files_of_weights(weights, images, tmp_path):
    from safetensors.torch import save_file

    def encode(path):
        return VisualEncoder(MODEL, path, device="cpu", cache=False)(images[:1])[0]

    state = torch.load(weights)
    name, path = "conv1.0.weight", tmp_path / "weights.safetensors"
    x = encode(weights)
    save_file({key: value.half() for key, value in state.items() if "fc" not in key}, path)
    assert torch.allclose(encode(path), x, atol=1e-2)
    path = tmp_path / "other.pth"
    torch.save({"state_dict": state}, path)
    assert torch.equal(encode(path), x)
    for content, message in [
        ({key: x for key, x in state.items() if key != name}, f'Missing key.*"{name}"'),
        (state | {"fc2.weight": state[name]}, 'Unexpected key.*"fc2.weight"'),
        (state | {name: state[name][:1]}, "size mismatch"),
    ]:
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"other.pth' do not fit the model: [\s\S]*{message}"):
            encode(path)
    torch.save(Path, path)
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match="weights"):  # Nothing is run.
        encode(path)


def test_vgg16():
    import timm

    with torch.device("meta"):
        model = timm.create_model("vgg16", num_classes=0)
        assert model(torch.empty(1, 3, 224, 224)).size() == (1, 4096)


def test_bad_input(weights, images, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no file of weights '.*none.pth'"):
        VisualEncoder(MODEL, tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"Unknown 'data_config' entries \['crop'\]"):
        VisualEncoder(MODEL, weights, data_config={"crop": False})(images)
    with pytest.raises(ValueError, match="no model 'vgg_none' in timm. Did you mean 'vgg"):
        VisualEncoder("vgg_none")(images)
    monkeypatch.setattr("timm.create_model", Mock(side_effect=FileNotFoundError("no network")))
    with pytest.raises(RuntimeError, match="'vgg16' are not on .* 'PixelEncoder' .no network"):
        VisualEncoder()(images)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"all but 'pixel'.* 'pip install \"torch_imf\[visual"):
        VisualEncoder()


@pytest.mark.mirror
def test_published_features():
    mirror = Path(os.environ["TORCH_IMF_MIRROR"])
    with np.load(mirror / "Countries" / "visual_mobilenetv2.npz") as file:
        expected = dict(zip(file["entity"].tolist(), file["feature"], strict=True))
    lines = (mirror / "Countries" / "entity2image.tsv").read_text().splitlines()[1:]
    pairs = [line.split("\t") for line in lines][::50]
    assert len(pairs) == 5

    half = (0.5, 0.5, 0.5)
    encoder = VisualEncoder(
        "mobilenetv2_100",
        weights=mirror / "encoders" / "mobilenetv2_100_same.fp16.safetensors",
        model_kwargs={"pad_type": "same"},
        device="cpu",
        data_config={"mean": half, "std": half, "crop_mode": "squash", "crop_pct": 1.0},
    )
    x, mask = encoder([mirror / "Countries" / path for _, path in pairs])
    assert mask.all()
    y = torch.from_numpy(np.stack([expected[node] for node, _ in pairs])).float()
    assert torch.cosine_similarity(x, y).min() > 0.9999
    assert torch.allclose(x, y, atol=5e-3)


def test_pixel_encoder(cache):
    encoder = PixelEncoder(height=2, width=3)
    assert str(encoder) == "PixelEncoder(height=2, width=3)"
    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    x, mask = encoder([image, None, torch.full((3, 1, 1), 255, dtype=torch.uint8)])
    assert x.size() == (3, 18) and mask.tolist() == [True, False, True]
    expected = image.float().view(3, 2, 2, 3, 2).mean(dim=(2, 4)) / 127.5 - 1
    assert torch.allclose(x[0], expected.view(-1), atol=1e-6)
    assert (x[1] == 0).all() and (x[2] == 1).all()
    assert encoder([])[0].size() == (0, 18) and not cache.exists()
    with pytest.raises(ValueError, match="Image 1 needs to be a uint8 tensor .* torch.float32"):
        encoder([None, torch.zeros(3, 4, 4)])
    with pytest.raises(ValueError, match=r"Image 0 .*\[1, 4, 4\]"):
        encoder([torch.zeros(1, 4, 4, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="'height' needs to be positive"):
        PixelEncoder(height=0)


def test_several_images_are_averaged():
    red, blue = 255 * torch.eye(3, dtype=torch.uint8)[[0, 2], :, None, None].expand(2, 3, 4, 6)
    encoder = PixelEncoder(1, 1)
    x, mask = encoder([[red, blue], None, [], red, [blue, blue]])
    expected = [[0, -1, 0], [0, 0, 0], [0, 0, 0], [1, -1, -1], [-1, -1, 1]]
    assert torch.allclose(x, torch.tensor(expected).float(), atol=1e-6)
    assert mask.tolist() == [True, False, False, True, True] and encoder.unreadable == {}


def test_unreadable_images(tmp_path):
    from PIL import Image

    names = ["zero.png", "also zero.png", "text.jpg", "folder.png", "missing.png"]
    bad, good = [tmp_path / name for name in names], tmp_path / "good.png"
    Image.new("RGB", (6, 4), (255, 0, 0)).save(good)
    bad[0].touch()
    bad[1].touch()
    bad[2].write_text("This is no image.")
    bad[3].mkdir()

    encoder = PixelEncoder(1, 1)
    with pytest.warns(UserWarning) as warned:
        x, mask = encoder([good, None, *bad, [*bad, good]])
    assert len(warned) == 1
    message = str(warned[0].message)
    assert message.startswith("5 images cannot be read and are left out")
    assert all(f"'{name}' (" in message for name in names)
    assert encoder.unreadable.keys() == set(map(str, bad))
    assert "Is a directory" in encoder.unreadable[str(bad[3])]
    assert mask.tolist() == [True, False, *[False] * 5, True]
    assert x[mask].tolist() == [[1, -1, -1]] * 2 and (x[~mask] == 0).all()
    encoder([good])
    assert encoder.unreadable == {}


def test_a_network_that_is_not_there():
    with pytest.raises(ValueError, match=r"no model 'vgg99' in timm. Did you mean 'vgg\d+'\?"):
        VisualEncoder("vgg99").load()
