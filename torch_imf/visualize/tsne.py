from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from torch_imf.visualize.style import (
    COLORS,
    LIGHT,
    MARKERS,
    SMALL,
    Style,
    finish,
    make_axes,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_tsne(
    x: Tensor,
    labels: Sequence[str],
    ax: "Axes | None" = None,
    title: str = "",
    outline: Tensor | None = None,
    seed: int = 0,
    legend: bool = True,
) -> "Figure":
    r"""Plots embeddings in two dimensions by t-SNE, as Figure 7 of the `"IMF:
    Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper: a mark per entity, a colour and
    a shape per class. Of more than eight classes, the seven largest have a
    colour, and the others are grey.

    Args:
        x (torch.Tensor): The embeddings, of shape :obj:`[M, C]` with at least
            four rows.
        labels (list[str]): The class of each, of length :math:`M`.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        title (str, optional): The title. (default: :obj:`""`)
        outline (torch.Tensor, optional): Which marks to outline, of shape
            :obj:`[M]`. (default: :obj:`None`)
        seed (int, optional): The seed of t-SNE. (default: :obj:`0`)
        legend (bool, optional): If set to :obj:`False`, shows no legend.
            (default: :obj:`True`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there are fewer than four embeddings, not one label
            each, or embeddings are all the same, NaN or infinite.
    """
    position = project(x, labels, seed)
    edge = torch.zeros(x.size(0), dtype=torch.bool) if outline is None else outline.cpu()
    fig, ax = make_axes(ax, 5.4, 4.6)
    classes = [name for name, _ in sorted(Counter(labels).items(), key=lambda x: (-x[1], x[0]))]
    kept = classes if len(classes) <= len(COLORS) else classes[: len(COLORS) - 1]
    groups = {name: [label == name for label in labels] for name in sorted(kept)}
    colors = dict(zip(groups, COLORS, strict=False))
    if len(kept) < len(classes):
        name = f"{len(classes) - len(kept)} others"
        groups[name] = [label not in set(kept) for label in labels]
        colors[name] = LIGHT
    for i, (name, rows) in enumerate(groups.items()):
        mask = torch.tensor(rows)
        style: Style = {"color": colors[name], "marker": MARKERS[i], "label": shorten(name, 22)}
        left, up = position[mask].t().tolist()
        ax.scatter(left, up, s=22, linewidths=0, alpha=0.85, **style)
        left, up = position[mask & edge].t().tolist()
        style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.9}
        ax.scatter(left, up, s=52, zorder=3, **style)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.06)
    if legend:
        ax.legend(
            fontsize=SMALL,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncol=min(3, len(groups)),
            frameon=False,
            handletextpad=0.1,
            columnspacing=1,
        )
    finish(ax, title, spines=("left", "right", "top", "bottom"))
    for spine in ax.spines.values():
        spine.set_color(LIGHT)
    return fig


def project(x: Tensor, labels: Sequence[str], seed: int = 0) -> Tensor:
    r"""Projects embeddings to two dimensions by t-SNE, of shape
    :obj:`[M, 2]`.
    """
    from sklearn.manifold import TSNE

    if x.dim() != 2 or x.size(0) < 4 or x.size(0) != len(labels):
        raise ValueError(
            f"t-SNE needs a matrix of at least four embeddings and a label each (got one of shape "
            f"{list(x.size())} and {len(labels)} labels)"
        )
    x = x.detach().cpu().float()
    if not bool(x.isfinite().all()) or bool((x == x[0]).all()):
        raise ValueError("t-SNE needs finite embeddings that are not all the same")
    perplexity = min(30.0, (x.size(0) - 1) / 3)
    init = "pca" if x.size(1) > 1 else "random"
    tsne = TSNE(perplexity=perplexity, init=init, random_state=seed)
    return torch.from_numpy(tsne.fit_transform(x.numpy()))


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
