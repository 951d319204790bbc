"""Draws the house: the packages of torch_imf, how large they are, and which imports which, read off
the code. An arrow that follows from two others is left out.

    python docs/make_house.py
"""

import argparse
import ast
import os.path as osp
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

FOLDER = Path(__file__).resolve().parent
PACKAGE = FOLDER.parent / "torch_imf"
#: What stands in each room, in a few words.
ABOUT = {
    "registry": "names, arguments, building",
    "io": "tables, RDF, features, downloads",
    "data": "index, loaders, splits, audit",
    "transforms": "inverses, dropped modalities",
    "sampler": "negatives",
    "encoders": "texts, pictures, numbers to vectors",
    "datasets": "files to one graph",
    "evaluation": "exact filtered ranks",
    "nn": "scorers, fusions, losses, models",
    "training": "fit, checkpoints, tune",
    "answers": "predict, complete, explain",
    "hub": "saved models",
    "visualize": "figures",
    "cli": "the shell",
}


def room(module: str) -> str:
    """The room of a module such as `torch_imf.nn.models.imf`."""
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    """The rooms that a file imports, wherever in it it does so."""
    out = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        out |= {room(name) for name in names if name.startswith("torch_imf.")}
    return out


def read_house() -> tuple[dict[str, int], dict[str, set[str]]]:
    """The lines of each room, and the rooms that it imports."""
    lines = dict.fromkeys(ABOUT, 0)
    uses: dict[str, set[str]] = {name: set() for name in ABOUT}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name in ABOUT:
            lines[name] += len(path.read_text().splitlines())
            uses[name] |= imports(path) & set(ABOUT) - {name, "registry"}  # Which all may import.
    uses["registry"] = set()  # What it imports is asked for by others.
    return lines, uses


def levels(uses: dict[str, set[str]]) -> dict[str, int]:
    """How many storeys stand below each room."""

    def height(name: str) -> int:
        return 1 + max((height(other) for other in uses[name]), default=-1)

    return {name: height(name) for name in uses}


def reduced(uses: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others."""

    def below(name: str) -> set[str]:
        return uses[name] | {x for other in uses[name] for x in below(other)}

    return [
        (name, other)
        for name in uses
        for other in sorted(uses[name])
        if not any(other in below(x) for x in uses[name] - {other})
    ]


def draw() -> Figure:
    """The picture, roofs at the top."""
    lines, uses = read_house()
    storey = levels(uses)
    storey["registry"] = -1
    rows = [[x for x in ABOUT if storey[x] == i] for i in range(-1, max(storey.values()) + 1)]
    fig = Figure(figsize=(9, 1.1 * len(rows) + 0.3), dpi=90)
    ax = fig.add_axes((0, 0, 1, 1))
    width, height, place = 2.1, 0.62, {}
    for y, row in enumerate(rows):
        for i, name in enumerate(row):
            place[name] = ((i - (len(row) - 1) / 2) * (width + 0.35), y * 1.05)
    for name, other in reduced(uses):
        (x0, y0), (x1, y1) = place[name], place[other]
        start, end = (x0, y0 - height / 2), (x1, y1 + height / 2)
        style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "#9aa5b1", "linewidth": 1}
        ax.add_patch(FancyArrowPatch(start, end, shrinkA=1, shrinkB=1, zorder=0, **style))
    for name, (x, y) in place.items():
        corner = (x - width / 2, y - height / 2)
        style = {"facecolor": "#eef3f8", "edgecolor": "#4c6a88", "linewidth": 1}
        box = "round,pad=0,rounding_size=0.08"
        ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=box, **style))
        ax.text(x, y + 0.13, name, ha="center", va="center", fontsize=10, weight="bold")
        about = f"{ABOUT[name]}\n{lines[name]:,} lines"
        ax.text(x, y - 0.13, about, ha="center", va="center", fontsize=6.5, color="#44515f")
    ax.set_xlim(-5.2, 5.2)
    ax.set_ylim(-0.55, (len(rows) - 1) * 1.05 + 0.55)
    ax.axis("off")
    return fig


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(FOLDER / "_static" / "figures" / "house.png"))
    args = parser.parse_args()
    draw().savefig(args.out)
    print(osp.relpath(args.out))
