from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex


@dataclass(frozen=True)
class Completion:
    r"""One answer to a query.

    Args:
        index (int): The entity.
        name (str): Its name.
        score (float): Its score over all views, which orders the answers.
        known (bool): Whether the graph holds this fact, in any split.
        views (dict[str, float]): Its score in each view.
    """

    index: int
    name: str
    score: float
    known: bool
    views: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def predict(
    model: torch.nn.Module,
    data: Data,
    head_index: int | Tensor,
    rel_type: int | Tensor,
    k: int = 10,
    keep: Tensor | None = None,
) -> list[list[Completion]]:
    r"""Returns the most likely tails of each query. To ask for heads, pass the
    inverse relation :obj:`rel_type + num_relations`.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph, with names of entities.
        head_index (int or torch.Tensor): The head indices, of shape
            :obj:`[B]`.
        rel_type (int or torch.Tensor): The relation types, of shape
            :obj:`[B]`.
        k (int, optional): The number of answers per query.
            (default: :obj:`10`)
        keep (torch.Tensor, optional): A mask over edges: known facts outside
            of it are left out of the answers, facts inside are kept and
            marked, *e.g.*, :obj:`data.test_mask` to see how test facts rank
            among new ones. If :obj:`None`, all known facts are kept.
            (default: :obj:`None`)

    Raises:
        ValueError: If an id is out of range or :obj:`k` is not positive.
    """
    if k < 1:
        raise ValueError(f"'k' needs to be positive (got {k})")
    device = next(model.parameters()).device
    head_index = torch.as_tensor(head_index, device=device).view(-1)
    rel_type = torch.as_tensor(rel_type, device=device).view(-1)
    training = model.training
    model.eval()
    score, views = model.predict(head_index, rel_type, return_views=True)  # type: ignore[operator]
    model.train(training)

    known = torch.zeros_like(score, dtype=torch.bool)
    row, col = _index(data)(head_index, rel_type)
    known[row, col] = True
    if keep is not None:
        hide = known.clone()
        row, col = _index(data, keep)(head_index, rel_type)
        hide[row, col] = False
        score = score.masked_fill(hide, -torch.inf)

    out = []
    for i, (value, index) in enumerate(zip(*score.topk(min(k, score.size(1))), strict=True)):
        out.append(
            [
                Completion(
                    index=j,
                    name=data.node_names[j] if "node_names" in data else str(j),
                    score=s,
                    known=bool(known[i, j]),
                    views={view: float(x[i, j]) for view, x in views.items()},
                )
                for s, j in zip(value.tolist(), index.tolist(), strict=True)
                if s > -torch.inf
            ]
        )
    return out


def _index(data: Data, mask: Tensor | None = None) -> TripletIndex:
    # Facts in both directions, whether or not the graph holds inverses.
    base = data.edge_type < data.num_relations
    base = base if mask is None else base & mask
    (head, tail), rel = data.edge_index[:, base], data.edge_type[base]
    return TripletIndex(
        torch.cat([head, tail]),
        torch.cat([rel, rel + data.num_relations]),
        torch.cat([tail, head]),
    )
