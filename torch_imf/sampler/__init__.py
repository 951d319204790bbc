r"""Samplers corrupt the tails of facts into negatives. Heads are corrupted as
the tails of inverse triples.
"""

from typing import Any

from torch_geometric.resolver import resolver

from .uniform import UniformSampler

classes = [
    "UniformSampler",
]

__all__ = [*classes, "sampler_resolver"]


def sampler_resolver(query: UniformSampler | str, *args: Any, **kwargs: Any) -> UniformSampler:
    r"""Returns the sampler named :obj:`query`, *e.g.*, :obj:`"uniform"`."""
    return resolver(
        [globals()[name] for name in classes], {}, query, None, "Sampler", *args, **kwargs
    )
