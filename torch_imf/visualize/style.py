from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Settings of what matplotlib draws, by their names.
Style = dict[str, Any]

#: Colours that people with any kind of colour blindness tell apart, of the `"Color Universal
#: Design" <https://jfly.uni-koeln.de/color/>`_ palette of Okabe and Ito.
COLORS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"),
    *("#7f7f7f", "#000000"),
)
#: A view has the same colour in every figure.
VIEW_COLORS = dict(zip(("struct", "text", "visual", "numeric", "fused"), COLORS, strict=False))
MARKERS = "osD^vPXp*"
DARK, LIGHT = "#333333", "#d9d9d9"
TITLE, TEXT, SMALL = 11, 10, 9
#: Fonts that hold the scripts that matplotlib's own one lacks, used where they are installed.
FALLBACKS = (
    *("Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Hebrew"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Microsoft YaHei", "PingFang"),
)


def view_colors(names: Iterable[str]) -> dict[str, str]:
    r"""Returns a colour for each view: that of :obj:`VIEW_COLORS`, and another
    one for those it does not know.
    """
    names = list(names)
    used = {VIEW_COLORS.get(name) for name in names}
    others = [color for color in COLORS if color not in used]
    out, number = {}, 0
    for name in names:
        if name in VIEW_COLORS:
            out[name] = VIEW_COLORS[name]
        else:
            out[name] = others[number % len(others)]
            number += 1
    return out


def shorten(name: str, width: int = 26) -> str:
    r"""Returns a name on one line of at most :obj:`width` characters, without
    its middle if it is longer: both ends tell names apart.
    """
    name = " ".join(name.split()) or " "
    if len(name) <= width:
        return name
    left = (width - 1) // 2
    return f"{name[:left].rstrip()}…{name[len(name) - (width - 1 - left) :].lstrip()}"


def label_of(name: str, labels: Mapping[str, str] | None, width: int = 16) -> str:
    r"""Returns what to show for a view."""
    return shorten((labels or {}).get(name, name), width)


def ink(color: Any) -> str:
    r"""Returns black or white, whichever is read better on a colour of
    matplotlib.
    """
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(color)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.52 else "black"


def make_axes(ax: "Axes | None", width: float, height: float) -> "tuple[Figure, Axes]":
    r"""Returns where to draw: the given axes and their figure, or new ones of
    so many inches. A new figure belongs to the caller alone: no window shows
    it, and it is freed as any object.
    """
    if ax is None:
        fig = make_figure(width, height)
        return fig, fig.add_subplot()
    return cast("Figure", ax.figure), ax


def make_figure(width: float, height: float, dpi: int = 150) -> "Figure":
    r"""Returns a new figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def beside(ax: "Axes", y: float, text: str, points: float, x: float = 1) -> None:
    r"""Writes text that ends so many points from the right of axes, or from
    the left for :obj:`x=0`, at the height of :obj:`y` in data.
    """
    ax.annotate(
        text,
        (x, y),
        xycoords=ax.get_yaxis_transform(),
        xytext=(points, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=TEXT,
        color=DARK,
        annotation_clip=False,
    )


def finish(ax: "Axes", title: str = "", spines: Iterable[str] = ()) -> None:
    r"""Gives axes their title and only the given spines, and makes all of
    their text plain.
    """
    ax.set_title(title, fontsize=TITLE, color=DARK, pad=8)
    ax.tick_params(labelsize=TEXT, labelcolor=DARK, color=DARK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_fontsize(TEXT)
        label.set_color(DARK)
    for name, spine in ax.spines.items():
        spine.set_visible(name in set(spines))
        spine.set_color(DARK)
    make_plain(ax)


def make_plain(artist: "Artist") -> None:
    r"""Makes all text within axes or a figure plain: a dollar sign starts no
    formula, and scripts that the font lacks are looked up in others that are
    installed.
    """
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_fontfamily(fonts())


@cache
def fonts() -> list[str]:
    r"""Returns the fonts to look for a letter in, in this order."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]
