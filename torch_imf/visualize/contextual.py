from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.data.lookup import Lookup
from torch_imf.evaluation.ranking import inference
from torch_imf.visualize.style import (
    DARK,
    SMALL,
    TEXT,
    TITLE,
    Style,
    label_of,
    make_figure,
    make_plain,
    shorten,
)
from torch_imf.visualize.tsne import plot_tsne, silhouette

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ContextualEmbeddings(NamedTuple):
    r"""Head entities before and after the transformation under a relation."""

    relation: str
    before: Tensor
    """Their embeddings in a view, of shape :obj:`[M, C]`."""
    after: Tensor
    """Their queries under the relation, of shape :obj:`[M, Q]`."""
    label: Tensor
    """The tail of a fact of each, of shape :obj:`[M]`."""
    held_out: Tensor
    """Whether this fact is no training fact, of shape :obj:`[M]`."""


def plot_contextual(
    model: Module,
    data: Data,
    relations: str | Sequence[str] | Sequence[int],
    view: str | None = None,
    *,
    num_classes: int = 5,
    num_nodes: int = 500,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
) -> "Figure":
    r"""Plots the head entities of relations by t-SNE, before and after the
    contextual transformation, as Figure 7 of the `"IMF: Interactive Multimodal
    Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_
    paper: one row of two panels per relation, a colour per tail. Heads whose
    fact is held out have an outline, and the silhouette of tails in the title
    is theirs: those of training facts were pulled to their tails.

    For panels of one's own there are :meth:`contextual_embeddings` and
    :meth:`plot_tsne`.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph.
        relations (list[str] or list[int]): The relations, by name, identifier
            or number: such that many heads share a tail.
        view (str, optional): The view. If :obj:`None`, the fused one or,
            without it, the first. (default: :obj:`None`)
        num_classes (int, optional): The number of tails, of which those with
            most heads are shown. (default: :obj:`5`)
        num_nodes (int, optional): The number of heads per relation, drawn at
            random if there are more. (default: :obj:`500`)
        names (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)
        seed (int, optional): The seed of the draw and of t-SNE.
            (default: :obj:`0`)

    Raises:
        ValueError: If a relation is unknown or has fewer than four heads with
            one of these tails, or an argument is invalid.
    """
    sizes = {"num_classes": num_classes, "num_nodes": num_nodes}
    found = contextual_embeddings(model, data, relations, view, **sizes, seed=seed)
    views: list[str] = list(model.views)  # type: ignore[arg-type]
    view = ("fused" if "fused" in views else views[0]) if view is None else view
    node_names = Lookup.of_entities(data).names
    # Many marks make a large file:
    fig = make_figure(7.6, 0.3 + 4.4 * len(found), dpi=120)
    parts = fig.subfigures(len(found), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, item in zip(parts, found, strict=True):
        axes = part.subplots(1, 2)
        classes = [node_names[i] for i in item.label.tolist()]
        for ax, x, text in ((axes[0], item.before, "before"), (axes[1], item.after, "after")):
            title = f"{text} the transformation{_silhouette(x, item)}"
            plot_tsne(x, classes, ax, title, item.held_out, seed, legend=False)
            ax.title.set_fontsize(TEXT)
        part.suptitle(shorten(item.relation, 60), fontsize=TITLE, color=DARK)
        style: Style = {
            "fontsize": SMALL,
            "frameon": False,
            "handletextpad": 0.1,
            "columnspacing": 1,
        }
        handles = axes[0].get_legend_handles_labels()
        part.legend(*handles, loc="outside lower center", ncol=3, **style)
        make_plain(part)
    note = "outlined, and in silhouettes: facts that training does not hold"
    note = f"{label_of(view, names)} view; {note}"
    fig.supxlabel(note, fontsize=SMALL, color=DARK)
    return fig


def contextual_embeddings(
    model: Any,
    data: Data,
    relations: str | Sequence[str] | Sequence[int],
    view: str | None = None,
    num_classes: int = 5,
    num_nodes: int = 500,
    seed: int = 0,
) -> list[ContextualEmbeddings]:
    r"""Returns the embeddings of head entities in a view before and after the
    contextual transformation under relations; the arguments are those of
    :meth:`plot_contextual`. A head of several of the tails counts for that
    which most heads have.
    """
    views = list(model.views)
    view = ("fused" if "fused" in views else views[0]) if view is None else view
    if view not in views or min(num_classes, num_nodes) < 1:
        raise ValueError(
            f"'view' needs to be one of {views}, and 'num_classes' and 'num_nodes' positive (got "
            f"'{view}', {num_classes} and {num_nodes})"
        )
    data = prepare(model, data)
    rows = Lookup.of_relations(data).rows("relations", relations).tolist()
    if not all(0 <= r < data.num_relations for r in rows):
        raise ValueError(
            f"'relations' needs to be of {data.num_relations} base relations (got {rows})"
        )
    names, out = Lookup.of_relations(data).names, []
    with inference(model):
        z = model.encode()
        for r in rows:
            fact = (data.edge_type == r).nonzero().view(-1)
            tail, group, count = data.edge_index[1, fact].unique(
                return_inverse=True, return_counts=True
            )
            order = count.argsort(descending=True, stable=True)
            place = torch.empty_like(order)
            place[order] = torch.arange(order.numel(), device=order.device)
            fact = fact[place[group].argsort(stable=True)]  # Those of the largest tails first.
            fact = fact[torch.isin(data.edge_index[1, fact], tail[order[:num_classes]])]
            fact = _first(fact, data.edge_index[0, fact])
            if fact.numel() < 4:
                raise ValueError(
                    f"'{names[r]}' has {fact.numel()} heads with one of its {num_classes} largest "
                    f"tails, but t-SNE needs at least four. Choose another relation"
                )
            perm = torch.randperm(fact.numel(), generator=torch.Generator().manual_seed(seed))
            fact = fact[perm[:num_nodes].sort().values.to(fact.device)]
            head, tail = data.edge_index[:, fact]
            query = model.query({v: x[head] for v, x in z.items()}, torch.full_like(head, r))
            held_out = ~data.train_mask[fact]
            out.append(
                ContextualEmbeddings(names[r], z[view][head], _flat(query[view]), tail, held_out)
            )
    return out


def _first(fact: Tensor, head: Tensor) -> Tensor:
    # The first fact of each head, in their order.
    _, group = head.unique(return_inverse=True)
    position = torch.arange(fact.numel(), device=fact.device)
    first = torch.full_like(position, fact.numel()).scatter_reduce(0, group, position, "amin")
    return fact[first[first < fact.numel()].sort().values]


def _flat(x: Tensor) -> Tensor:
    return x.reshape(x.size(0), -1)


def _silhouette(x: Tensor, item: ContextualEmbeddings) -> str:
    label = item.label[item.held_out]
    if not 2 <= label.unique().numel() < label.numel():
        return ""
    return f", silhouette {silhouette(x[item.held_out], label):.2f}".replace("-", "−")
