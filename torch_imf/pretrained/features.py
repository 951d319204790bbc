from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity, Module, Parameter

from torch_imf.evaluation.ranking import inference
from torch_imf.nn.models import MultimodalKGE
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.pretrained.settings import make

#: What only training needs, or what is kept in another form.
LEFT_OUT = ("features.", "struct.", "loss_fn.sampler.")


class ProjectedFeatures(FrozenFeatures):
    r"""What a model needs of the features of a modality to predict: their
    projections, which stay as they are, and the vector for entities without.
    It stands in for the :class:`FrozenFeatures` that it was made from.

    Args:
        x (torch.Tensor): The projections of the :math:`M` entities that have
            the modality, of shape :obj:`[M, C]`.
        mask (torch.Tensor): Which entities these are, of shape :obj:`[N]`.

    Raises:
        ValueError: If there is not one projection for each of these entities.
    """

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        torch.nn.Module.__init__(self)
        if mask.dim() != 1 or mask.dtype != torch.bool or x.dim() != 2:
            raise ValueError("Projections need to be a matrix, and their mask a boolean vector")
        if x.size(0) != int(mask.sum()):
            raise ValueError(f"There are {x.size(0)} projections for {int(mask.sum())} entities")
        self.full = bool(mask.all())
        self.register_buffer("x", x)
        row = (mask.cumsum(0) - 1).where(mask, mask.sum())
        self.register_buffer("row", row, persistent=False)
        self.lin = Identity()  # type: ignore[assignment]
        self.missing = Parameter(x.new_empty(x.size(1)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.missing, std=1 / self.missing.numel() ** 0.5)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.x.size(1)}, "
            f"coverage={self.x.size(0)}/{self.row.numel()})"
        )


def prediction_state(model: MultimodalKGE) -> dict[str, Tensor]:
    r"""Returns all tensors that a model needs to predict, on the CPU: its
    parameters and buffers, what its structural module gives, and the
    projections and the mask of each modality in place of its features.
    """
    state = {k: x for k, x in model.state_dict().items() if not k.startswith(LEFT_OUT)}
    features: Any = getattr(model, "features", {})
    struct = getattr(model, "struct", None)
    with inference(model):
        if isinstance(struct, Module):
            state["node_emb.weight"] = struct()
        for name, module in features.items():
            state[f"features.{name}.x"] = module.lin(module.x)
            state[f"features.{name}.missing"] = module.missing
            state[f"features.{name}.mask"] = module.mask
    state.update({name: getattr(model, name) for name in model.prediction_buffers})
    return {name: x.detach().cpu().contiguous() for name, x in state.items()}


def rebuild(
    description: dict[str, Any], state: dict[str, Tensor], classes: Sequence[type[Module]] = ()
) -> MultimodalKGE:
    r"""Makes a model that predicts from its settings and
    :meth:`prediction_state`, in evaluation mode. Nothing random is drawn from
    the generator of the process.

    Raises:
        ValueError: If settings and tensors do not fit each other.
    """
    state = dict(state)
    names = description.get("x_dict", [])
    masks = {name: state.pop(f"features.{name}.mask") for name in names}
    num_nodes, table = description["num_nodes"], state.get("node_emb.weight", torch.empty(0))
    if table.size() != (num_nodes, description["hidden_channels"]):
        raise ValueError(
            f"The embeddings of entities are of shape {list(table.size())} (expected "
            f"{[num_nodes, description['hidden_channels']]})"
        )
    tensors: dict[str, Any] = {}
    if description.get("freeze_struct"):
        tensors["struct"] = table
    if "x_dict" in description:  # The constructor makes modules of features, which we replace.
        tensors["x_dict"] = {name: torch.zeros(num_nodes, 1) for name in names}
        tensors["mask_dict"] = masks
    with torch.random.fork_rng(devices=[]):
        model = make(description, classes, **tensors)
        for name in names:
            x = state.get(f"features.{name}.x", torch.empty(0))
            model.features[name] = ProjectedFeatures(x, masks[name])
    for name in model.prediction_buffers:
        old, x = getattr(model, name), state.pop(name, torch.empty(0))
        if x.dim() != old.dim() or x.size(0) != old.size(0):
            raise ValueError(f"'{name}' is of shape {list(x.size())} (expected {list(old.size())})")
        model.register_buffer(name, x, persistent=False)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f"The parameters do not fit the settings ({error})") from error
    return model.eval()
