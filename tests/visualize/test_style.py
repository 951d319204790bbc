import io

import pytest

from torch_imf.visualize import plot_history, style
from torch_imf.visualize.style import COLORS, VIEW_COLORS, make_axes, shorten, view_colors

pytest.importorskip("matplotlib")


def test_view_colors():
    names = ["struct", "audio", "text", "smell"]
    colors = view_colors(names)
    assert list(colors) == names and len(set(colors.values())) == 4
    assert colors["text"] == VIEW_COLORS["text"] == view_colors(["text"])["text"]
    colors = view_colors([*VIEW_COLORS, *"abcdefghijklmnop"])  # More than there are colours.
    assert len(set(colors.values())) == len(VIEW_COLORS) + 16
    assert len(set(COLORS)) == len(COLORS)
    # Those of an ensemble, and the views of a second model:
    names = [*VIEW_COLORS, "struct 2", "struct 3"]
    colors = view_colors(names)
    assert list(colors) == names and len(set(colors.values())) == len(names)
    assert style.mixed("#000000", 2, 255) == "#808080" and style.mixed("#0072b2", 2, 0) == "#003959"
    assert style.mixed("#0072b2", 1, 255) == style.mixed("#0072b2", 1, 0) == "#0072b2"


def test_shorten():
    name = "/people/person/place_of_birth"
    assert [shorten(name, width) for width in (5, 6, 29)] == ["/p…th", "/p…rth", name]
    assert shorten("a \n\tb") == "a b" and shorten("") == " "
    assert style.label_of("text", {"struct": "a"}) == "text"
    assert style.label_of("text", {"text": "descriptions"}, 7) == "des…ons"


def test_without_matplotlib(monkeypatch):
    monkeypatch.setattr("torch_imf.io.find_spec", lambda name: None)
    for plot in (lambda: make_axes(None, 1, 1), lambda: plot_history([{}])):
        with pytest.raises(ImportError, match=r"Figures need 'matplotlib', .*torch_imf\[plot\]"):
            plot()


def test_make_axes_does_not_touch_pyplot():
    import matplotlib.pyplot as plt

    plt.close("all")
    fig, ax = make_axes(None, 4, 3)
    assert plt.get_fignums() == [] and make_axes(ax, 1, 1) == (fig, ax)


def test_finish_makes_any_text_plain(recwarn):
    fig, ax = make_axes(None, 3, 2)
    ax.set_xticks([0, 1], ["$x^$", "\\frac{"])  # No formula, and not to be read as one.
    ax.plot([0, 1], [0, 1], label="$_$")
    ax.legend()
    style.beside(ax, 0.5, "$}$", 20)
    style.finish(ax, "$\\no such$", spines=("left",))
    fig.savefig(io.BytesIO())
    assert [spine.get_visible() for spine in ax.spines.values()] == [True, False, False, False]
    assert ax.get_title() == "$\\no such$" and len(recwarn) == 0
    # Scripts without a font are drawn as boxes:
    ax.set_title("東京都 القاهرة \u0378")
    fig.savefig(io.BytesIO())
    assert style.fonts()[0] == "DejaVu Sans"
