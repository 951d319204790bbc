r"""Samplers corrupt the tails of facts into negatives. Heads are corrupted as
the tails of inverse triples.
"""

from typing import Any

from torch_geometric.resolver import resolver

from .base import Sampler
from .bernoulli import BernoulliSampler
from .joint import JointSampler
from .kbgan import KBGANSampler
from .loader import NegativeLoader
from .mans import MANSSampler
from .uniform import UniformSampler

classes = [
    "BernoulliSampler",
    "JointSampler",
    "KBGANSampler",
    "MANSSampler",
    "UniformSampler",
]

__all__ = [
    *classes,
    "NegativeLoader",
    "Sampler",
    "sampler_resolver",
]


def sampler_resolver(query: Sampler | str, *args: Any, **kwargs: Any) -> Sampler:
    r"""Returns the sampler named :obj:`query`, *e.g.*, :obj:`"uniform"`."""
    return resolver(
        [globals()[name] for name in classes], {}, query, Sampler, None, *args, **kwargs
    )
