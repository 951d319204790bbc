r"""What all figures share: colours, sizes, fonts, and the parts they are drawn of."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from torch_imf.io import require

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people with any kind of colour blindness tell apart, of the `"Color Universal
#: Design" <https://jfly.uni-koeln.de/color/>`_ palette of Okabe and Ito.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f7f", "#000000")
#: A view has the same colour in every figure.
NAMES = ("struct", "text", "visual", "numeric", "fused", "paths", "types", "constants")
VIEW_COLORS = dict(zip(NAMES, COLORS, strict=True))
VIEW_COLORS |= {"best path": "#f0e442", "candidates": "#999933"}
MARKERS = "osD^vPXp*"
DARK, LIGHT = "#333333", "#d9d9d9"
TITLE, TEXT, SMALL = 11, 10, 9
#: Fonts that hold the scripts that matplotlib's own one lacks, used where they are installed.
FALLBACKS = (
    *("Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Hebrew"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Microsoft YaHei", "PingFang"),
)


def view_colors(names: Iterable[str]) -> dict[str, str]:
    r"""Returns a colour for each view, known to :obj:`VIEW_COLORS` or not, those of more views than
    there are colours darker. That of :obj:`"struct 2"`, in an ensemble, is a paler one of
    :obj:`"struct"`.
    """
    parts = {name: re.fullmatch(r"(.*?)(?: (\d+))?", name, re.DOTALL) for name in names}
    kinds = {name: (match[1], int(match[2] or 1)) for name, match in parts.items() if match}
    colors = {kind: VIEW_COLORS[kind] for kind, _ in kinds.values() if kind in VIEW_COLORS}
    others = (mixed(color, i, 0) for i in range(1, 100) for color in COLORS)
    for kind, _ in kinds.values():
        if kind not in colors:
            new = (color for color in others if color not in colors.values())
            colors[kind] = next(new, DARK)
    return {name: mixed(colors[kind], number, 255) for name, (kind, number) in kinds.items()}


def mixed(color: str, number: int, other: int) -> str:
    r"""Returns a colour as one of so many parts, whose others are white (255) or black (0)."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{other + int((x - other) / number):02x}" for x in parts)


def shorten(name: str, width: int = 26) -> str:
    r"""Returns a name on one line, without its middle if it is too long."""
    name = " ".join(name.split()) or " "
    if len(name) <= width:
        return name
    left = (width - 1) // 2
    return f"{name[:left].rstrip()}…{name[len(name) - (width - 1 - left) :].lstrip()}"


def label_of(name: str, labels: Mapping[str, str] | None, width: int = 16) -> str:
    r"""Returns what to show for a view."""
    return shorten((labels or {}).get(name, name), width)


def ink(color: Any) -> str:
    r"""Returns black or white, whichever is read better on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(color)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.52 else "black"


def make_axes(ax: "Axes | None", width: float, height: float) -> "tuple[Figure, Axes]":
    r"""Returns the figure of axes and these, or new ones of so many inches, in no window."""
    require("matplotlib", "Figures", "plot")
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(figsize=(width, height), dpi=150, layout="constrained").add_subplot()
    return cast("Figure", ax.figure), ax


def draw_bars(
    ax: "Axes",
    rows: Sequence[Mapping[str, float]],
    colors: Mapping[str, str],
    places: Sequence[float],
    height: float,
    number: str = ".2f",
    labels: Mapping[str, str] | None = None,
) -> None:
    r"""Draws one bar per row at the heights :obj:`places`, divided into a part per name of
    :obj:`colors`, each with its number where there is room.
    """
    total = max(sum(row.values()) for row in rows) or 1.0
    left = [0.0] * len(rows)
    for name, color in colors.items():
        width = [row[name] for row in rows]
        marks: Any = {"color": color, "edgecolor": "white", "linewidth": 1.2}
        bars = ax.barh(places, width, height, left, label=label_of(name, labels), **marks)
        texts = [f"{size:{number}}" if size >= 0.065 * total else "" for size in width]
        ax.bar_label(bars, texts, label_type="center", fontsize=SMALL, color=ink(color))
        left = [start + size for start, size in zip(left, width, strict=True)]
    ax.set(xlim=(0, total), ylim=(places[-1] + 0.6, -0.6), xticks=[])
    ax.tick_params(length=0)


def beside(ax: "Axes", y: float, text: str, points: float, x: float = 1) -> None:
    r"""Writes text that ends so many points from the right of axes, or from the left for
    :obj:`x=0`, at the height of :obj:`y` in data.
    """
    place: Any = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
    look: Any = {"ha": "right", "va": "center", "fontsize": TEXT, "color": DARK}
    ax.annotate(text, (x, y), (points, 0), annotation_clip=False, **place, **look)


def legend_below(ax: "Axes", num_columns: int, y: float = 0, **kwargs: Any) -> None:
    r"""Gives axes a legend beneath them, in so many columns."""
    kwargs |= {"ncol": num_columns, "fontsize": SMALL, "title_fontsize": SMALL, "frameon": False}
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, y), **kwargs)


def finish(ax: "Axes", title: str = "", spines: Collection[str] = ()) -> None:
    r"""Gives axes their title, only the given spines, and plain text."""
    ax.set_title(title, fontsize=TITLE, color=DARK, pad=8)
    ax.tick_params(labelsize=TEXT, labelcolor=DARK, color=DARK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=TEXT, color=DARK)
    for name, spine in ax.spines.items():
        spine.set(visible=name in spines, color=DARK)
    make_plain(ax)


def make_plain(artist: "Artist") -> None:
    r"""Makes all text within axes or a figure plain: a dollar sign starts no formula, and scripts
    that the font lacks are looked up in installed ones.
    """
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        text.set(parse_math=False, fontfamily=fonts())


@cache
def fonts() -> list[str]:
    r"""Returns the fonts to look for a letter in, in this order."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]
