import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from torch_imf.training.checkpoint import best_entry
from torch_imf.visualize.style import COLORS, DARK, LIGHT, SMALL, TEXT, Style, finish, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"mr": "mean rank", "mrr": "MRR"}


def plot_history(
    history: Sequence[Mapping[str, float]],
    ax: "Axes | None" = None,
    metrics: Sequence[str] = ("mrr", "hits@10"),
    title: str = "",
) -> "Figure":
    r"""Plots training curves: validation metrics over epochs, the loss at an
    axis of its own, and the best epoch by the first metric, with its value.

    .. code-block:: python

        history = fit(model, data)
        plot_history(history).savefig("history.png")

    Args:
        history (list[dict[str, float]]): What :meth:`torch_imf.fit` returns.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        metrics (list[str], optional): The metrics to plot, that which selects
            the epoch first. (default: :obj:`("mrr", "hits@10")`)
        title (str, optional): The title. (default: :obj:`""`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there were no validations, or an entry lacks a metric.
    """
    from matplotlib.ticker import MaxNLocator

    if len(history) == 0:
        raise ValueError(
            "There is no validation in the history to plot. Train at least one epoch with 'fit'"
        )
    metrics = [metrics] if isinstance(metrics, str) else metrics
    names = ["epoch", "loss", *metrics]
    absent = sorted({name for entry in history for name in names if name not in entry})
    if absent or len(metrics) == 0:
        raise ValueError(
            f"'metrics' needs to name metrics that every entry of 'history' holds (got "
            f"{list(metrics)}, the first entry holds {list(history[0])})"
        )
    metrics = list(dict.fromkeys(metrics))
    epochs = [entry["epoch"] for entry in history]
    fig, ax = make_axes(ax, 6.4, 3.8)
    marker = "o" if len(history) <= 40 else ""
    lines = []
    for metric, color in zip(metrics, cycle(COLORS), strict=False):
        values = [entry[metric] for entry in history]
        style: Style = {"color": color, "marker": marker, "markersize": 4, "linewidth": 2}
        lines += ax.plot(epochs, values, label=_name(metric), **style)
    other = ax.twinx()
    loss = [entry["loss"] for entry in history]
    style = {"color": COLORS[6], "marker": marker, "markersize": 3, "linewidth": 1.5}
    lines += other.plot(epochs, loss, label="training loss (right)", linestyle="--", **style)
    other.set_ylabel("training loss")

    best = best_entry(history, metrics[0])
    ax.axvline(best["epoch"], color=LIGHT, linewidth=1.2, zorder=0)
    ax.plot(best["epoch"], best[metrics[0]], "o", markersize=10, color=DARK, fillstyle="none")
    value = f"{best[metrics[0]]:.1f}" if metrics[0] == "mr" else f"{best[metrics[0]]:.3f}"
    late = best["epoch"] > (epochs[0] + epochs[-1]) / 2
    ax.annotate(
        f"best: {value}, epoch {best['epoch']:g}",
        (best["epoch"], best[metrics[0]]),
        xytext=(-8 if late else 8, -14),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        fontsize=SMALL,
        color=DARK,
    )
    if "mr" not in metrics and all(math.isfinite(entry[m]) for entry in history for m in metrics):
        ax.set_ylim(0, min(1.0, 1.15 * max(entry[m] for entry in history for m in metrics)) or 1.0)
    other.set_ylim(bottom=min(0.0, *loss))
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation " + (_name(metrics[0]) if len(metrics) == 1 else "metric"))
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    ax.grid(axis="y", color=LIGHT, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.legend(
        handles=lines,
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.18),
        ncol=len(lines),
        frameon=False,
    )
    finish(other, spines=("right",))
    other.tick_params(labelsize=TEXT)
    finish(ax, title, spines=("left", "bottom"))
    return fig


def _name(metric: str) -> str:
    return NAMES.get(metric, metric.capitalize())
