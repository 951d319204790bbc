from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from torch_imf.predict import Completion

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_completions(
    completions: Sequence[Completion],
    ax: "Axes",
    title: str = "",
    labels: Mapping[str, str] | None = None,
) -> None:
    r"""Plots the part that each view plays in the answers to a query, as
    Figure 4 of the `"IMF: Interactive Multimodal Fusion Model for Link
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: one row per answer,
    best first, one column per view. Cells hold scores, and colours compare the
    answers within a view.

    Args:
        completions (list[Completion]): The answers to one query, as
            :meth:`torch_imf.predict.predict` gives them.
        ax (matplotlib.axes.Axes): Where to plot.
        title (str, optional): The query. (default: :obj:`""`)
        labels (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)

    Raises:
        ValueError: If there are no completions.
    """
    if len(completions) == 0:
        raise ValueError("There are no completions to plot")
    views = list(completions[0].views)
    score = torch.tensor([[c.score, *c.views.values()] for c in completions])
    low, high = score.min(dim=0).values, score.max(dim=0).values
    shade = (score - low) / (high - low).clamp(min=1e-12)
    ax.imshow(shade.tolist(), cmap="Blues", vmax=1.6, aspect="auto")
    for i, row in enumerate(score.tolist()):
        for j, value in enumerate(row):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8)
    ax.axvline(0.5, color="white", linewidth=4)
    ax.set_xticks(range(len(views) + 1), ["all", *((labels or {}).get(v, v) for v in views)])
    ax.set_yticks(
        range(len(completions)), [f"{c.name} *" if c.known else c.name for c in completions]
    )
    ax.tick_params(length=0)
    ax.set_title(title, fontsize=10)
    for spine in ax.spines.values():
        spine.set_visible(False)


def plot_metric(values: Mapping[str, Sequence[float]], ax: "Axes", label: str = "MRR") -> None:
    r"""Plots a metric of several models over seeds: one bar each for the mean,
    with one standard deviation and a dot per seed.

    Args:
        values (dict[str, list[float]]): The values of each model, by its name.
        ax (matplotlib.axes.Axes): Where to plot.
        label (str, optional): The metric. (default: :obj:`"MRR"`)
    """
    for i, value in enumerate(values.values()):
        x = torch.tensor(value, dtype=torch.double)
        std = float(x.std()) if x.numel() > 1 else 0.0
        ax.bar(i, float(x.mean()), yerr=std, capsize=4, width=0.6, color=f"C{i}", alpha=0.6)
        ax.plot([i] * x.numel(), x.tolist(), ".", color="black", markersize=4)
        ax.text(i, float(x.mean()) / 2, f"{float(x.mean()):.3f}", ha="center", fontsize=9)
    ax.set_xticks(range(len(values)), list(values))
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
