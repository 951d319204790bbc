from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

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


def plot_modality_weights(
    weights: Mapping[str, Mapping[str, float]],
    ax: "Axes",
    title: str = "",
    labels: Mapping[str, str] | None = None,
) -> None:
    r"""Plots the weight of each modality, as Figure 5 of the `"Unleashing the
    Power of Imbalanced Modality Information for Multi-modal Knowledge Graph
    Completion" <https://arxiv.org/abs/2402.15444>`_ paper: one bar per row,
    such as a relation, divided by weights.

    Args:
        weights (dict[str, dict[str, float]]): The weight of each modality, in
            each row; the same modalities in all of them.
        ax (matplotlib.axes.Axes): Where to plot.
        title (str, optional): The title. (default: :obj:`""`)
        labels (dict[str, str], optional): Names of modalities to show instead
            of their own. (default: :obj:`None`)

    Raises:
        ValueError: If there are no rows, or they differ in modalities.
    """
    names = [list(row) for row in weights.values()]
    if len(names) == 0 or any(name != names[0] for name in names):
        raise ValueError(f"Expected rows of the same modalities, and at least one (got {names})")
    left = [0.0] * len(weights)
    for i, name in enumerate(names[0]):
        width = [row[name] for row in weights.values()]
        label = (labels or {}).get(name, name)
        ax.barh(range(len(width)), width, left=left, color=f"C{i}", alpha=0.7, label=label)
        for row, (start, size) in enumerate(zip(left, width, strict=True)):
            ax.text(start + size / 2, row, f"{size:.2f}", ha="center", va="center", fontsize=8)
        left = [start + size for start, size in zip(left, width, strict=True)]
    ax.set_yticks(range(len(weights)), list(weights))
    ax.invert_yaxis()
    ax.set_xlim(0, max(left))
    ax.set_xticks([])
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=len(names[0]))
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def plot_tsne(
    x: Tensor,
    labels: Sequence[str],
    ax: "Axes",
    title: str = "",
    outline: Tensor | None = None,
    seed: int = 0,
) -> None:
    r"""Plots embeddings in two dimensions by t-SNE, as Figure 7 of the `"IMF:
    Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper: a dot per entity, a colour per
    class.

    Args:
        x (torch.Tensor): The embeddings, of shape :obj:`[M, C]` with at least
            four rows.
        labels (list[str]): The class of each, of length :math:`M`.
        ax (matplotlib.axes.Axes): Where to plot.
        title (str, optional): The title. (default: :obj:`""`)
        outline (torch.Tensor, optional): Which dots to outline, of shape
            :obj:`[M]`. (default: :obj:`None`)
        seed (int, optional): The seed of t-SNE. (default: :obj:`0`)

    Raises:
        ValueError: If there are fewer than four embeddings, or not one label
            each.
    """
    from sklearn.manifold import TSNE

    if x.size(0) < 4 or x.size(0) != len(labels):
        raise ValueError(
            f"t-SNE needs at least four embeddings and a label each (got {x.size(0)} embeddings "
            f"and {len(labels)} labels)"
        )
    perplexity = min(30.0, (x.size(0) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    position = torch.from_numpy(tsne.fit_transform(x.detach().cpu().float().numpy()))
    edge = torch.zeros(x.size(0), dtype=torch.bool) if outline is None else outline.cpu()
    for i, label in enumerate(sorted(set(labels))):
        mask = torch.tensor([other == label for other in labels])
        left, up = position[mask].t().tolist()
        ax.scatter(left, up, s=14, color=f"C{i}", label=label)
        left, up = position[mask & edge].t().tolist()
        ax.scatter(left, up, s=45, facecolors="none", edgecolors="black", linewidths=0.8)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title, fontsize=9)
    ax.legend(fontsize=7)


def silhouette(x: Tensor, label: Tensor) -> float:
    r"""The mean silhouette of classes of embeddings by cosine distance, in
    :obj:`[-1, 1]`: one if classes are far apart and tight, zero if they
    overlap.

    Args:
        x (torch.Tensor): The embeddings, of shape :obj:`[M, C]`.
        label (torch.Tensor): The class of each, of shape :obj:`[M]`.

    Raises:
        ValueError: If there are no two classes, or as many as embeddings.
    """
    from sklearn.metrics import silhouette_score

    count = label.unique().numel()
    if not 2 <= count < label.numel():
        raise ValueError(
            f"A silhouette needs two classes or more, and fewer than embeddings "
            f"(got {count} classes of {label.numel()} embeddings)"
        )
    return float(silhouette_score(x.detach().cpu().float(), label.cpu(), metric="cosine"))
