from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from torch_imf.data.graph import NAMES
from torch_imf.evaluation.ranking import check_whole
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.nn.models.scoring import ViewModel
from torch_imf.nn.views import View

#: What queries carry beside those of views, none of which has no name.
SCALE = ""


class Ensemble(ViewModel):
    r"""Views that vote: those of trained models, and such as need no training
    (:class:`~torch_imf.nn.View`). The score of a fact is

    .. math::
        y = \sum_k w_k \, \frac{y_k}{\sigma_{k, r}}

    with a weight for each view, and a scale that may depend on the relation. Weights start as one,
    and :meth:`torch_imf.fit_view_weights` fits them to validation facts. The decision fusion of its
    models (Eq. 11 of IMF) has no part in it, and stays as it is.

    An ensemble is evaluated, asked and saved as any model; there is nothing of it to train. Of
    several views of one name, the second one is called :obj:`"struct 2"`.

    Args:
        members (list[torch.nn.Module]): Trained models, and views that have been made of training
            facts (:meth:`View.fit`).

    Attributes:
        fitted (dict): What :meth:`torch_imf.fit_view_weights` has found: the number of validation
            facts, what scales depend on, and the cross-validated MRR.

    Raises:
        ValueError: If there are none, or they are of different graphs.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, members: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        parts = [x for x in members if isinstance(x, MultimodalKGE | View)]
        if len(members) == 0 or len(parts) < len(members):
            got = [type(x).__name__ for x in members]
            raise ValueError(f"An ensemble is of models and views of this package (got {got})")
        for model in (x for x in parts if isinstance(x, MultimodalKGE)):
            check_whole(model)
        sizes = {(x.num_nodes, x.num_relations) for x in parts}
        if len(sizes) > 1 or (0, 0) in sizes:
            raise ValueError(
                f"Members need to be of one graph, to which views have been fitted "
                f"('View.fit'; got sizes {sorted(sizes)})"
            )
        self.num_nodes, self.num_relations = sizes.pop()
        self.members = torch.nn.ModuleList(members)
        #: The names of the views of each member, and those that they have here.
        self.names: list[dict[str, str]] = []
        self.views: list[str] = []
        for member in parts:
            own: Any = member.scores if isinstance(member, View) else member.views
            names = {name: self._free(name) for name in own}
            self.names.append(names)
            self.views += names.values()
        self.register_buffer("weight", torch.ones(len(self.views)))
        self.register_buffer("scale", torch.ones(2 * self.num_relations, len(self.views)))
        self.fitted: dict[str, Any] = {}
        known: list[Any] = [x.known_names for x in members if hasattr(x, "known_names")]
        for kind, ids, labels in (("entities", *NAMES[:2]), ("relations", *NAMES[2:])):
            if len({x.get(ids) or x.get(labels) for x in known} - {None}) > 1:
                raise ValueError(f"Members are of graphs of other {kind}, or in another order")
        self.known_names = {key: digest for x in known for key, digest in x.items()}

    @property
    def features(self) -> dict[str, FrozenFeatures]:
        r"""The features of each modality, of the first model that has them."""
        models = [x for x in self.members if isinstance(x, MultimodalKGE)]
        return {name: x for model in reversed(models) for name, x in model.features.items()}

    def view_masks(self) -> Tensors:
        out: Tensors = {}
        for member, names in self._members():
            masks = member.masks() if isinstance(member, View) else member.view_masks()
            out |= {names[view]: mask for view, mask in masks.items()}
        return out

    def encode(self, index: Tensor | None = None) -> Tensors:
        out: Tensors = {}
        for member, names in self._members():
            if isinstance(member, View):  # Which knows entities by number.
                every = torch.arange(self.num_nodes, device=self.weight.device)
                out |= dict.fromkeys(names.values(), every if index is None else index)
            else:
                z = member.encode(index)
                out |= {name: z[view] for view, name in names.items()}
        return out

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        out = {SCALE: 1 / self.scale[rel_type]}
        for member, names in self._members():
            if isinstance(member, View):
                found = member(next(head[name] for name in names.values()), rel_type)
            else:
                found = member.query({view: head[x] for view, x in names.items()}, rel_type)
            out |= {name: found[view] for view, name in names.items()}
        return out

    def key(self, tail: Tensors) -> Tensors:
        out: Tensors = {}
        for member, names in self._members():
            if isinstance(member, View):
                out |= {name: tail[name] for name in names.values()}
            else:
                found = member.key({view: tail[name] for view, name in names.items()})
                out |= {name: found[view] for view, name in names.items()}
        return out

    def view_similarity(self, query: Tensors, key: Tensors) -> Tensors:
        out: Tensors = {}
        for member, names in self._members():
            if isinstance(member, View):
                for name in names.values():
                    score, index = query[name], key[name]
                    out[name] = score[:, index] if index.dim() == 1 else score.gather(1, index)
            else:
                parts = ({view: x[name] for view, name in names.items()} for x in (query, key))
                found = member.view_similarity(*parts)
                out |= {name: found[view] for view, name in names.items()}
        scale = query[SCALE].unbind(dim=1)
        return {v: out[v] * s.unsqueeze(-1) for v, s in zip(self.views, scale, strict=True)}

    def fuse(self, score_dict: Tensors) -> Tensor:
        r"""Joins the scores of all views."""
        weight = self.weight.unbind()
        return reduce(add, (w * score_dict[v] for w, v in zip(weight, self.views, strict=True)))

    def view_weights(self) -> dict[str, float]:
        r"""The weight of each view in :meth:`fuse`, which do not sum to one."""
        return dict(zip(self.views, self.weight.tolist(), strict=True))

    def extend(self, size: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor) -> None:
        r"""Adds so many entities at the end of all members, given their raw features and training
        facts :obj:`[3, F]` in both directions.
        """
        for member in self.members:
            given = (facts,) if isinstance(member, View) else ()
            member.extend(size, x_dict, mask_dict, *given)  # type: ignore[operator]
        self.num_nodes += size

    def _members(self) -> zip:
        return zip(self.members, self.names, strict=True)

    def _free(self, name: str) -> str:
        count = 1 + sum(name in names for names in self.names)
        return name if count == 1 else f"{name} {count}"

    def __repr__(self) -> str:
        members = ", ".join(type(x).__name__ for x in self.members)
        return f"{self.__class__.__name__}([{members}])"
