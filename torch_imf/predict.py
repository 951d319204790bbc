from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.graph import prepare
from torch_imf.ranking import check_finite, inference


@dataclass(frozen=True)
class Completion:
    r"""One answer to a query.

    Args:
        index (int): The entity.
        name (str): Its name.
        score (float): Its score over all views, which orders the answers.
        known (bool): Whether the graph holds this fact, in any split.
        views (dict[str, float]): Its score in each view.
        weights (dict[str, float]): The weight of each view.
    """

    index: int
    name: str
    score: float
    known: bool
    views: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


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

    Returns:
        A list of :class:`Completion` per query, best first. The score is an
        average of probabilities in :obj:`[0, 1]` for several views with the
        :obj:`"bce"` loss, and a logit otherwise; those of views are logits.

    Raises:
        ValueError: If an id is out of range, :obj:`k` is not positive, the
            graph does not fit the model, or a score is NaN or infinite.
    """
    if k < 1:
        raise ValueError(f"'k' needs to be positive (got {k})")
    data = prepare(model, data)
    head_index = torch.as_tensor(head_index, device=data.edge_index.device).view(-1)
    rel_type = torch.as_tensor(rel_type, device=data.edge_index.device).view(-1)
    with inference(model):
        out = model.predict(head_index, rel_type, return_views=True)  # type: ignore[operator]
    score, views, weights = out
    check_finite(score)

    known = torch.zeros_like(score, dtype=torch.bool)
    row, col = TripletIndex.from_data(data)(head_index, rel_type)
    known[row, col] = True
    if keep is not None:
        hide = known.clone()
        row, col = TripletIndex.from_data(data, keep.to(known.device))(head_index, rel_type)
        hide[row, col] = False
        score = score.masked_fill(hide, -torch.inf)

    value, index = score.topk(min(k, score.size(1)))
    part = {view: x.gather(1, index).tolist() for view, x in views.items()}
    known = known.gather(1, index)
    return [
        [
            Completion(
                index=entity,
                name=data.node_names[entity] if "node_names" in data else str(entity),
                score=score,
                known=is_known,
                views={view: x[i][j] for view, x in part.items()},
                weights=weights,
            )
            for j, (entity, score, is_known) in enumerate(zip(*row, strict=True))
            if score > -torch.inf
        ]
        for i, row in enumerate(zip(index.tolist(), value.tolist(), known.tolist(), strict=True))
    ]
