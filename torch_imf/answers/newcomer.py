import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch_geometric.data import Data

from torch_imf.answers.entities import (
    NEW,
    Entity,
    add_entities,
    channels,
    entity_features,
    parts,
)
from torch_imf.data.graph import prepare, split_facts
from torch_imf.evaluation.ranking import StreamedScores, inference, twin
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.models import Ensemble
from torch_imf.nn.models.fold_in import newcomer, regression
from torch_imf.nn.views import View


class Newcomer:
    r"""A graph and a model with one entity more, at the end, which may be any that the graph lacks:
    for each question, it alone is encoded.

    Args:
        model (torch.nn.Module): A trained model.
        data (Data): Its graph.
        encoders (dict, optional): The encoders of its features. (default: :obj:`None`)
    """

    def __init__(
        self, model: Module, data: Data, encoders: Mapping[str, Any] | None = None
    ) -> None:
        self.given = model, channels(model, data), encoders
        zeros = {f"x_{name}": torch.zeros(size) for name, size in self.given[1].items()}
        self.model, self.data = add_entities(model, data, [{"name": NEW, "id": NEW, **zeros}])
        known = torch.stack(split_facts(prepare(model, data), "train"))
        self.lins: list[Tensor | None] = [
            None if getattr(part, "struct", None) is None else regression(part, known)
            for part in parts(model)
        ]

    def scores(self, scores: StreamedScores, entity: Entity) -> StreamedScores:
        r"""Returns the scores if an entity was the last one, given those of some other."""
        device, found = self.data.edge_index.device, entity_features(*self.given, entity)
        x_dict, mask_dict = ({name: x.to(device) for name, x in y.items()} for y in found)
        out, ones = copy.copy(scores), []
        out.model = model = twin(scores.model)
        for part, lin in zip(parts(model), self.lins, strict=True):
            if isinstance(part, View):
                part.describe(x_dict, mask_dict)
                ones.append(part)
                continue
            for name, module in part.features.items():
                if not bool(mask_dict[name]):
                    missing = module.row.new_tensor([module.num_rows])
                    module.row = torch.cat([module.row[:-1], missing])
            ones.append(newcomer(part, x_dict, mask_dict, lin))
        one: Any = ones[0]
        if isinstance(model, Ensemble):
            one = twin(model)
            one.members = ModuleList(ones)
        with inference(one) as one:
            z = one.encode()
            key = one.key(z)
        out.z, out.key = _with_last(scores.z, z), _with_last(scores.key, key)
        return out


def _with_last(x_dict: Tensors, last_dict: Tensors) -> Tensors:
    # Views without embeddings know entities by number.
    return {
        view: torch.cat([x[:-1], last_dict[view]]) if x.is_floating_point() else x
        for view, x in x_dict.items()
    }
