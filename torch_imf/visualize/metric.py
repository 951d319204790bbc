from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from torch_imf.visualize.style import COLORS, SMALL, finish, make_axes, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_metric(
    values: Mapping[str, Sequence[float]], ax: "Axes | None" = None, label: str = "MRR"
) -> "Figure":
    r"""Plots a metric of several models over seeds: one bar each for the mean,
    with one standard deviation and a dot per seed.

    Args:
        values (dict[str, list[float]]): The values of each model, by its name.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        label (str, optional): The metric. (default: :obj:`"MRR"`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there are no models, or one has no values.
    """
    if len(values) == 0 or any(len(value) == 0 for value in values.values()):
        raise ValueError(f"Expected models with at least one value each (got {dict(values)})")
    fig, ax = make_axes(ax, 1.5 + 1.5 * len(values), 3.4)
    for i, value in enumerate(values.values()):
        x = torch.tensor(value, dtype=torch.double)
        std = float(x.std()) if x.numel() > 1 else 0.0
        color = COLORS[i % len(COLORS)]
        ax.bar(i, float(x.mean()), yerr=std, capsize=4, width=0.6, color=color, alpha=0.6)
        ax.plot([i] * x.numel(), x.tolist(), ".", color="black", markersize=4)
        ax.text(i, float(x.mean()) / 2, f"{float(x.mean()):.3f}", ha="center", fontsize=SMALL)
    ax.set_xticks(range(len(values)), [shorten(name, 20) for name in values])
    ax.set_ylabel(label)
    finish(ax, spines=("left", "bottom"))
    return fig
