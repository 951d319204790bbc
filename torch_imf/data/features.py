import torch
from torch import Tensor
from torch_geometric.data import Data


def modalities(data: Data) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Collects the modality features of a graph: every :obj:`x_<name>` of
    :obj:`data`, with its :obj:`<name>_mask` (all :obj:`True` if absent).

    Returns:
        The dictionaries :obj:`x_dict` (:obj:`[N, D]` each) and
        :obj:`mask_dict` (:obj:`[N]` each), in alphabetical order.

    Raises:
        ValueError: If a modality has the wrong number of rows or non-finite
            values.
    """
    x_dict, mask_dict = {}, {}
    for key in sorted(data.keys()):
        if key.startswith("x_"):
            name = key[2:]
            x_dict[name] = data[key]
            mask_dict[name] = (
                data[f"{name}_mask"]
                if f"{name}_mask" in data
                else torch.ones(data[key].size(0), dtype=torch.bool, device=data[key].device)
            )
    check_features(x_dict, mask_dict, int(data.num_nodes))
    return x_dict, mask_dict


def check_features(
    x_dict: dict[str, Tensor],
    mask_dict: dict[str, Tensor] | None,
    num_nodes: int,
) -> None:
    r"""Raises a :class:`ValueError` that names the modality whose features or
    mask do not fit a graph of :obj:`num_nodes` entities.
    """
    for name, x in x_dict.items():
        if x.dim() != 2 or x.size(0) != num_nodes or not x.is_floating_point():
            raise ValueError(
                f"Features of modality '{name}' need to be floats of shape [{num_nodes}, *] "
                f"(got shape {list(x.size())} of {x.dtype})"
            )
        bad = ~finite_rows(x)
        if bool(bad.any()):
            raise ValueError(
                f"Features of modality '{name}' hold NaN or infinite values in "
                f"{int(bad.sum())} rows (first: {int(bad.nonzero()[0])}). Mask such rows as "
                f"missing and set them to zero"
            )
    for name, mask in (mask_dict or {}).items():
        if name not in x_dict:
            raise ValueError(f"Mask of unknown modality '{name}' (known: {sorted(x_dict)})")
        if mask.size() != (num_nodes,) or mask.dtype != torch.bool:
            raise ValueError(
                f"The mask of modality '{name}' needs to be boolean of shape [{num_nodes}] "
                f"(got shape {list(mask.size())} of {mask.dtype})"
            )


def finite_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix hold neither NaN nor infinity, of shape
    :obj:`[N]`. As below, a few rows at a time, so that what is computed on the
    way takes no memory to speak of.
    """
    return torch.cat([part.isfinite().all(dim=-1) for part in x.split(1024)])


def nonzero_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix are not all zero, of shape :obj:`[N]`."""
    return torch.cat([(part != 0).any(dim=-1) for part in x.split(1024)])
