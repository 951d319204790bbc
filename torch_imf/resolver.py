from typing import Any

from torch_geometric.resolver import resolver

from torch_imf import datasets
from torch_imf.datasets import KGDataset
from torch_imf.nn.fusion import fusion_resolver
from torch_imf.nn.models import model_resolver
from torch_imf.nn.scorer import scorer_resolver
from torch_imf.sampler import sampler_resolver

__all__ = [
    "dataset_resolver",
    "fusion_resolver",
    "model_resolver",
    "sampler_resolver",
    "scorer_resolver",
]


def dataset_resolver(query: KGDataset | str, *args: Any, **kwargs: Any) -> KGDataset:
    r"""Returns the dataset named :obj:`query`, *e.g.*, :obj:`"fb15k-237"`.

    Raises:
        ValueError: If there is none of this name. The message lists them.
    """
    classes = [getattr(datasets, name) for name in datasets.classes]
    return resolver(classes, {}, query, KGDataset, "", *args, **kwargs)
