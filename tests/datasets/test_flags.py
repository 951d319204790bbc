import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from torch_imf.datasets import flags as module
from torch_imf.datasets.flags import COLORS, LAYERS, draw_flag

MIRROR = os.environ.get("TORCH_IMF_MIRROR")


@pytest.fixture(scope="module")
def specs() -> dict[str, str]:
    path = Path(module.__file__).parent / "files" / "countries" / "flags.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "id\tflag"
    return {name: spec for name, spec in (row.split("\t") for row in rows)}


@pytest.fixture(scope="module")
def flags(specs: dict[str, str]) -> Tensor:
    return torch.stack([draw_flag(spec) for spec in specs.values()])  # [197, 3, 24, 36]


def test_tricolour() -> None:
    blue, red = (0, 35, 149), (206, 17, 38)
    expected = torch.full((3, 24, 36), 255, dtype=torch.uint8)
    expected[:, :, :12] = torch.tensor(blue, dtype=torch.uint8).view(3, 1, 1)
    expected[:, :, 24:] = torch.tensor(red, dtype=torch.uint8).view(3, 1, 1)
    assert torch.equal(draw_flag("v #002395 white red"), expected)
    turned = draw_flag("h #002395 white red", height=36, width=24)
    assert torch.equal(turned, expected.transpose(1, 2))


def test_symmetry() -> None:
    flag = draw_flag("v green:2 white green:2; disc red .5 .5 .3; star gold .5 .5 .2 6")
    assert torch.equal(flag, flag.flip(-1))
    flag = draw_flag("h red; cross white .5 .5 .2; cross gold .5 .5 .1 .3")
    assert torch.equal(flag, flag.flip(-1)) and torch.equal(flag, flag.flip(-2))
    flag = draw_flag("union navy white red")
    assert torch.equal(flag, flag.flip(-1, -2)) and not torch.equal(flag, flag.flip(-1))


def test_average() -> None:
    assert draw_flag("h black white:3", 1, 1).flatten().tolist() == [191] * 3
    assert draw_flag("v black white", 2, 1).flatten().tolist() == [128] * 6
    share = 1 - draw_flag("h black; disc white .5 .5 .4", 96, 96).float().mean() / 255
    assert share.item() == pytest.approx(1 - torch.pi * 0.4**2, abs=1e-3)


@pytest.mark.parametrize("height, width", [(24, 36), (1, 1), (7, 5), (224, 224)])
def test_size(height: int, width: int) -> None:
    flag = draw_flag("union navy white red; stars gold .1 .7 .7 .9 .9", height, width)
    assert flag.size() == (3, height, width) and flag.dtype == torch.uint8


# A layer, and pixels (row, column) of a 24 x 36 flag inside and outside of it.
PROBES = [
    ("cross red .5 .5 .2", (1, 18), (1, 10)),
    ("cross red .5 .5 .2 .3", (6, 18), (3, 18)),
    ("crescent red .5 .5 .4 .3 .1 0", (12, 10), (12, 18)),
    ("crescent red .5 .5 .4 .3", (12, 26), (12, 18)),
    ("disc red .5 .5 .4", (4, 18), (1, 18)),
    ("disc red .5 .5 .4 .2", (12, 10), (4, 18)),
    ("h red", (0, 0), None),
    ("h red .5 .25 1 .75", (12, 30), (3, 30)),
    ("v red .5 .25 1 .75", (12, 30), (12, 10)),
    ("line red 0 0 1 1 .2", (6, 9), (18, 9)),
    ("line red 0 .5 .5 .5 .2", (12, 16), (12, 20)),
    ("poly red 0 0 1 0 0 1", (4, 4), (20, 30)),
    ("poly red 0 0 1 0 0 1 1 1", (4, 18), (12, 4)),
    ("star red .5 .5 .5", (6, 18), (22, 18)),
    ("star red .5 .5 .5 5 .382 .5", (17, 18), (1, 18)),
    ("star red .5 .5 .5 4 .2", (12, 14), (5, 11)),
    ("stars red .2 .2 .3 .8 .7", (17, 29), (12, 18)),
    ("triangle red", (12, 14), (12, 20)),
    ("triangle red .25", (2, 0), (12, 12)),
    ("union white white red .5 .5", (6, 2), (18, 2)),
]


@pytest.mark.parametrize("layer, inside, outside", PROBES)
def test_layer(layer: str, inside: tuple[int, int], outside: tuple[int, int] | None) -> None:
    flag = draw_flag(layer)
    assert flag[:, inside[0], inside[1]].tolist() == [206, 17, 38]
    if outside is not None:
        assert flag[:, outside[0], outside[1]].tolist() == [255] * 3


def test_every_layer_is_probed_and_documented() -> None:
    assert {layer.split()[0] for layer, _, _ in PROBES} == set(LAYERS)
    for name, (_, usage, _) in LAYERS.items():
        line = next(x for x in str(module.__doc__).splitlines() if x.startswith(f"``{name}``"))
        assert f" ``{usage}`` " in line


def test_colors_share_a_layer() -> None:
    flag = draw_flag("disc red gold:3 .5 .5 .4")  # Red up to a quarter of the radius.
    assert flag[:, 12, 18].tolist() == [206, 17, 38]
    assert flag[:, 12, 24].tolist() == [252, 209, 22]
    band = draw_flag("line black white black 0 .5 1 .5 .5")
    assert torch.equal(band, draw_flag("h black white black 0 .25 1 .75"))
    assert torch.equal(draw_flag("h red; h gold .25 0 .5 1"), draw_flag("v red gold red:2"))


@pytest.mark.parametrize(
    "spec, match",
    [
        ("", "Invalid layer ''.*'cross'.*'v'"),
        ("h red;", "Invalid layer ''"),
        ("h red; blob red 1", "Invalid layer 'blob red 1'.*'cross'.*'v'"),
        ("h rod", "Invalid colour 'rod' in layer 'h rod'.*'black'.*'yellow'"),
        ("h #12345", "Invalid colour '#12345'"),
        ("h red:0", "Invalid weight '0' in layer 'h red:0'"),
        ("h red:x", "Invalid weight 'x'"),
        ("h", "Invalid layer 'h'.*expected 'h colour"),
        ("disc red .5 .5", r"Invalid layer 'disc red .5 .5'.*x y r \[ry\]"),
        ("poly red 0 0 1 0 0 1 1", "Invalid layer 'poly"),
        ("disc red .5 .5 0", "Invalid 'r' in layer 'disc red .5 .5 0'"),
        ("line red 0 0 1 1 -1", "Invalid 'width' in layer 'line"),
        ("h red .5 0 .5 1", "Invalid rectangle"),
    ],
)
def test_invalid_spec(spec: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        draw_flag(spec)


def test_invalid_size() -> None:
    with pytest.raises(ValueError, match=r"Invalid 'height' argument \(got '0'\)"):
        draw_flag("h red", height=0)
    with pytest.raises(ValueError, match=r"Invalid 'width' argument \(got '-3'\)"):
        draw_flag("h red", width=-3)


def test_colors() -> None:
    assert len(set(COLORS.values())) == len(COLORS)
    for name, code in COLORS.items():
        assert torch.equal(draw_flag(f"h {name}"), draw_flag(f"h {code}"))


def test_file(specs: dict[str, str]) -> None:
    assert len(specs) == 197 and list(specs) == sorted(specs)
    assert all(name.startswith("country:") and len(name) == 10 for name in specs)


def test_flags_differ(specs: dict[str, str], flags: Tensor) -> None:
    # Proportions are squeezed away, so that Chad and Romania as well as Indonesia and Monaco
    # differ by the shades of their colours only; all the others differ by more.
    pixels = flags.flatten(1).double() / flags[0].numel() ** 0.5
    distance = torch.cdist(pixels, pixels).fill_diagonal_(torch.inf)
    names = [name.removeprefix("country:") for name in specs]
    near = {(names[i], names[j]) for i, j in (distance < 16).nonzero().tolist() if i < j}
    assert distance.min() > 14  # Root mean square over the pixels, of 255.
    assert near == {("ro", "td")}
    assert distance[names.index("id"), names.index("mc")] > 16


@pytest.mark.mirror
@pytest.mark.skipif(MIRROR is None, reason="'TORCH_IMF_MIRROR' is not set")
def test_resemblance(specs: dict[str, str], flags: Tensor) -> None:
    image = pytest.importorskip("PIL.Image")
    real = []
    for name in specs:
        path = Path(str(MIRROR)) / "Countries" / "images" / f"{name[-2:]}.png"
        picture = image.open(path).convert("RGBA")
        picture = image.alpha_composite(image.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("RGB").resize((36, 24), image.Resampling.BOX)
        real.append(torch.tensor(list(picture.tobytes())).view(24, 36, 3).permute(2, 0, 1))
    actual, expected = flags.double() / 255, torch.stack(real).double() / 255
    error = (actual - expected).abs().mean(dim=(1, 2, 3))
    assert error.mean() < 0.02
    assert error.max() < 0.07
    nearest = torch.cdist(expected.flatten(1), actual.flatten(1)).argmin(dim=1)
    assert (nearest == torch.arange(len(specs))).all()
