import torch
from torch import Tensor

from torch_imf.nn.models.one_to_n import OneToNLoss
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.sampler import MANSSampler, Sampler


def check_views(
    views: list[str] | None,
    x_dict: dict[str, Tensor],
    mask_dict: dict[str, Tensor],
) -> list[str]:
    r"""Returns the views of a model, all of them by default.

    Raises:
        ValueError: If a view is unknown, or a modality cannot be one.
    """
    for name in x_dict:
        # Names of views that are there anyway, and those that a ModuleDict cannot hold:
        if name in ("struct", "fused") or "." in name or hasattr(torch.nn.ModuleDict, name):
            raise ValueError(f"A modality cannot be called '{name}'. Rename 'x_{name}'")
    for name, mask in mask_dict.items():
        if not bool(mask.any()):
            raise ValueError(f"Modality '{name}' is missing for every entity. Leave it out")
    choices = ["struct", *x_dict, *(["fused"] if x_dict else [])]
    if views is None:
        return choices
    unknown = sorted(set(views) - set(choices))
    if unknown or len(views) == 0 or len(set(views)) < len(views):
        raise ValueError(f"'views' need to be distinct ones of {choices} (got {list(views)})")
    return list(views)


def check_embedding(name: str, init: Tensor, weight: Tensor) -> None:
    r"""Raises a :class:`ValueError` if embeddings to start from do not fit a
    table.
    """
    if init.size() != weight.size() or not bool(init.isfinite().all()):
        raise ValueError(
            f"Initial embeddings '{name}' need to be finite and of shape {list(weight.size())} "
            f"(got shape {list(init.size())})"
        )


def check_mix(sampler: Sampler | None, mask_dict: dict[str, Tensor]) -> None:
    r"""Raises a :class:`ValueError` if a sampler replaces modalities that a
    model does not join, or that its entities lack.
    """
    if not isinstance(sampler, MANSSampler):
        return
    if not set(sampler.modalities) <= set(mask_dict):
        raise ValueError(
            f"MANSSampler replaces {sampler.modalities} in joint embeddings (the model joins "
            f"{list(mask_dict)})"
        )
    for name, mask in zip(sampler.modalities, sampler.mask, strict=True):
        # Entities that both lack it would not differ:
        if bool((mask.cpu() & ~mask_dict[name].cpu()).any()):
            raise ValueError(
                f"Some entities lack modality '{name}'. MANSSampler needs the 'mask_dict' of the "
                f"model"
            )


def make_loss(
    loss: str | OneToNLoss | SampledLoss, label_smoothing: float, regularization: float
) -> OneToNLoss | SampledLoss:
    r"""Returns a loss of a model, a 1-N loss where it is given by name.

    Raises:
        ValueError: If the loss is none, or would leave an argument unused.
    """
    if isinstance(loss, str):
        return OneToNLoss(loss, label_smoothing, regularization)
    if not isinstance(loss, OneToNLoss | SampledLoss):
        raise ValueError(f"Invalid 'loss' argument (got '{loss}', choose 'bce', 'ce' or a loss)")
    if label_smoothing != 0 or regularization != 0:
        raise ValueError(
            f"'label_smoothing' and 'regularization' are of the losses 'bce' and 'ce' (got "
            f"{label_smoothing} and {regularization} with {loss})"
        )
    return loss
