r"""Flags drawn from one line of text each.

A *spec* is a list of layers separated by ``;`` and painted in order on white.
A layer is a name, one or more colours and some numbers:
``v #002395 white #ed2939``, or ``h white; disc #bc002d .5 .5 .3``.

============  ========================  ========================================
Layer         Numbers                   Draws (its colours run ...)
============  ========================  ========================================
``h``         ``[x0 y0 x1 y1]``         rectangle, or stripes (downwards)
``v``         ``[x0 y0 x1 y1]``         rectangle, or stripes (rightwards)
``line``      ``x0 y0 x1 y1 width``     straight band (from its left on the way)
``cross``     ``x y width [arm]``       upright cross (from its axes outwards)
``triangle``  ``[depth]``               hoist triangle (from the hoist)
``poly``      ``x y x y x y ...``       polygon (downwards)
``disc``      ``x y r [ry]``            disc or ellipse (from its centre)
``crescent``  ``x y r cut [dx dy]``     disc less a disc of radius cut, which is
                                        moved by dx and dy (from its centre)
``star``      ``x y r [n inner turn]``  star or sun of n points, whose inner
                                        radius is a share of r (from its centre)
``stars``     ``r x y x y ...``         five-pointed stars (from their centres)
``union``     ``[x1 y1]``               Union Jack to x1, y1 (field, white, red)
============  ========================  ========================================

Positions are shares of the width and of the height, turns are shares of a full
turn, other lengths are shares of the height. A colour is ``#rrggbb`` or a name
from :data:`COLORS`; several colours share a layer, by weight: ``h red gold:2 red``.
"""

import math
import re
from collections.abc import Callable, Container
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLES = 4  # Samples per pixel along each side.

COLORS = {
    "black": "#000000",
    "blue": "#0038a8",
    "crimson": "#c8102e",
    "forest": "#006a4e",
    "gold": "#fcd116",
    "green": "#009543",
    "grey": "#808080",
    "lime": "#1eb53a",
    "navy": "#012169",
    "orange": "#ff8200",
    "red": "#ce1126",
    "ruby": "#d21034",
    "scarlet": "#ed2939",
    "white": "#ffffff",
    "yellow": "#ffff00",
}


class Grid(NamedTuple):
    """The sample positions of a flag, as shares of its width and height."""

    x: Tensor  # [1, W]
    y: Tensor  # [H, 1]
    aspect: float

    def box(self, x0: float, y0: float, x1: float, y1: float) -> "Grid":
        """Return the same positions as shares of the given rectangle."""
        if x1 <= x0 or y1 <= y0:
            raise ValueError(f"Invalid rectangle (got '{x0} {y0} {x1} {y1}')")
        x, y = (self.x - x0) / (x1 - x0), (self.y - y0) / (y1 - y0)
        return Grid(x, y, self.aspect * (x1 - x0) / (y1 - y0))

    def offset(self, x: float, y: float) -> tuple[Tensor, Tensor]:
        """Return the way from a point to each position, in flag heights."""
        return (self.x - x) * self.aspect, self.y - y  # [1, W], [H, 1]


def draw_flag(spec: str, height: int = 24, width: int = 36) -> Tensor:
    """Draw a flag, smoothed by averaging :obj:`4 x 4` samples per pixel.

    Args:
        spec (str): The layers of the flag, see the table of this module.
        height (int, optional): The height in pixels. (default: :obj:`24`)
        width (int, optional): The width in pixels. (default: :obj:`36`)

    Returns:
        The RGB values as a :obj:`torch.uint8` tensor of shape :obj:`[3, height, width]`.
    """
    for name, size in [("height", height), ("width", width)]:
        if size < 1:
            raise ValueError(f"Invalid '{name}' argument (got '{size}')")
    x = (torch.arange(SAMPLES * width) + 0.5) / (SAMPLES * width)
    y = (torch.arange(SAMPLES * height) + 0.5) / (SAMPLES * height)
    grid = Grid(x.view(1, -1), y.view(-1, 1), width / height)
    canvas = torch.full((y.numel(), x.numel(), 3), 255.0)
    for layer in spec.split(";"):
        paint(canvas, grid, layer.strip())
    pixels = F.avg_pool2d(canvas.permute(2, 0, 1), SAMPLES)  # [3, height, width]
    return pixels.round().to(torch.uint8)


def paint(canvas: Tensor, grid: Grid, layer: str) -> None:
    """Paint one layer: its colours divide the unit interval of its shape."""
    name, *words = layer.split() or [""]
    if name not in LAYERS:
        raise ValueError(f"Invalid layer '{layer}' (choose from {sorted(LAYERS)})")
    numbers = [float(word) for word in words if NUMBER.fullmatch(word)]
    colors = [parse_color(word, layer) for word in words if not NUMBER.fullmatch(word)]
    shape, usage, counts = LAYERS[name]
    if len(numbers) not in counts or not colors:
        raise ValueError(f"Invalid layer '{layer}' (expected '{name} colour ... {usage}')")
    for label, number in zip(usage.split(), numbers, strict=False):
        if label.strip("[]") in SIZES and number <= 0:
            raise ValueError(f"Invalid '{label.strip('[]')}' in layer '{layer}' (got '{number}')")
    level = shape(grid, *numbers)  # [H, W]
    inside = (level >= 0) & (level < 1)
    palette = torch.tensor(colors)  # [num_colors, 4]
    bound = palette[:, 3].cumsum(dim=0) / palette[:, 3].sum()
    color = torch.bucketize(level[inside], bound[:-1], right=True)
    canvas[inside] = palette[color, :3]


def parse_color(word: str, layer: str) -> tuple[float, float, float, float]:
    """Return red, green, blue and the weight of a colour such as `red:2`."""
    name, _, weight = word.partition(":")
    code = COLORS.get(name, name)
    if not re.fullmatch("#[0-9a-f]{6}", code):
        choices = f"choose '#rrggbb' or from {sorted(COLORS)}"
        raise ValueError(f"Invalid colour '{name}' in layer '{layer}' ({choices})")
    if weight and not (NUMBER.fullmatch(weight) and float(weight) > 0):
        raise ValueError(f"Invalid weight '{weight}' in layer '{layer}'")
    red, green, blue = bytes.fromhex(code[1:])
    return red, green, blue, float(weight or 1)


# A shape gives each position a level: in [0, 1) inside, anything else outside.


def h(grid: Grid, x0: float = 0, y0: float = 0, x1: float = 1, y1: float = 1) -> Tensor:
    x, y, _ = grid.box(x0, y0, x1, y1)
    return y.where((x >= 0) & (x < 1), math.inf)


def v(grid: Grid, x0: float = 0, y0: float = 0, x1: float = 1, y1: float = 1) -> Tensor:
    x, y, _ = grid.box(x0, y0, x1, y1)
    return x.where((y >= 0) & (y < 1), math.inf)


def line(grid: Grid, x0: float, y0: float, x1: float, y1: float, width: float) -> Tensor:
    (u, v), dx, dy = grid.offset(x0, y0), (x1 - x0) * grid.aspect, y1 - y0
    length = math.hypot(dx, dy)
    along, across = (u * dx + v * dy) / length, (v * dx - u * dy) / length
    return (across / width + 0.5).where((along >= 0) & (along <= length), math.inf)


def cross(grid: Grid, x: float, y: float, width: float, arm: float = math.inf) -> Tensor:
    u, v = (offset.abs() for offset in grid.offset(x, y))
    return (2 * torch.minimum(u, v) / width).where(torch.maximum(u, v) <= arm, math.inf)


def triangle(grid: Grid, depth: float = 0.5) -> Tensor:
    return grid.x / depth + (2 * grid.y - 1).abs()


def poly(grid: Grid, *points: float) -> Tensor:
    """Find the inside by the parity of the edges on the way to the right."""
    y = points[1::2]
    inside = torch.zeros(grid.y.numel(), grid.x.numel(), dtype=torch.bool)
    corners = list(zip(points[::2], y, strict=True))
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y0 != y1:
            right = grid.x < x0 + (grid.y - y0) * (x1 - x0) / (y1 - y0)
            inside ^= ((y0 > grid.y) != (y1 > grid.y)) & right
    return h(grid, 0, min(y), 1, max(y)).where(inside, math.inf)


def disc(grid: Grid, x: float, y: float, r: float, ry: float | None = None) -> Tensor:
    u, v = grid.offset(x, y)
    return torch.hypot(u / r, v / (ry or r))


def crescent(
    grid: Grid, x: float, y: float, r: float, cut: float, dx: float = 0, dy: float = 0
) -> Tensor:
    hole = disc(grid, x + dx / grid.aspect, y + dy, cut) < 1
    return disc(grid, x, y, r).where(~hole, math.inf)


def star(
    grid: Grid, x: float, y: float, r: float, n: float = 5, inner: float = 0.382, turn: float = 0
) -> Tensor:
    """Fold the star onto one half of one point, which leaves a single straight edge."""
    u, v = grid.offset(x, y)
    half = math.pi / n
    angle = torch.atan2(u, -v) - 2 * math.pi * turn  # From the upward direction.
    angle = (torch.remainder(angle + half, 2 * half) - half).abs()
    slope = (1 - inner * math.cos(half)) / (inner * math.sin(half))
    return torch.hypot(u, v) / r * (angle.cos() + slope * angle.sin())


def stars(grid: Grid, r: float, *points: float) -> Tensor:
    levels = [star(grid, x, y, r) for x, y in zip(points[::2], points[1::2], strict=True)]
    return torch.stack(levels).amin(dim=0)


def union(grid: Grid, x1: float = 1, y1: float = 1) -> Tensor:
    """Squeeze the 1:2 flag; a third of the level each for field, white and red."""
    box = grid.box(0, 0, x1, y1)._replace(aspect=2)
    upright = cross(box, 0.5, 0.5, 2)
    saltire = torch.stack([line(box, 0, 0, 1, 1, 1), line(box, 0, 1, 1, 0, 1)]) - 0.5
    white = (upright < 1 / 6) | (saltire.abs() < 0.1).any(dim=0)
    saltire *= (0.5 - box.x).sign()  # Red keeps to one side, the other one past the middle.
    thin = ((saltire > 0) & (saltire < 1 / 15)).any(dim=0)
    red = (upright < 0.1) | (thin & (upright >= 1 / 6))
    return ((white.float() + red) / 3 + 0.1).where((box.x < 1) & (box.y < 1), math.inf)


SIZES = {"arm", "cut", "depth", "inner", "n", "r", "ry", "width"}  # Must be positive.
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)")
LAYERS: dict[str, tuple[Callable[..., Tensor], str, Container[int]]] = {
    "cross": (cross, "x y width [arm]", {3, 4}),
    "crescent": (crescent, "x y r cut [dx dy]", {4, 6}),
    "disc": (disc, "x y r [ry]", {3, 4}),
    "h": (h, "[x0 y0 x1 y1]", {0, 4}),
    "line": (line, "x0 y0 x1 y1 width", {5}),
    "poly": (poly, "x y x y x y ...", range(6, 1000, 2)),
    "star": (star, "x y r [n inner turn]", {3, 4, 5, 6}),
    "stars": (stars, "r x y x y ...", range(3, 1000, 2)),
    "triangle": (triangle, "[depth]", {0, 1}),
    "union": (union, "[x1 y1]", {0, 2}),
    "v": (v, "[x0 y0 x1 y1]", {0, 4}),
}
