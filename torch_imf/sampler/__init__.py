r"""Samplers corrupt the tails of facts into negatives. Heads are corrupted as
the tails of inverse triples.
"""

from typing import Any

from torch_geometric.resolver import resolver

from .base import Sampler
from .bernoulli import BernoulliSampler
from .cross_modal import CrossModalAttention
from .gumbel import gumbel_top_k
from .joint import JointSampler
from .kbgan import KBGANSampler
from .loader import NegativeLoader
from .mans import MANSSampler
from .mmrns import MMRNSSampler
from .uniform import UniformSampler

classes = [
    "BernoulliSampler",
    "JointSampler",
    "KBGANSampler",
    "MANSSampler",
    "MMRNSSampler",
    "UniformSampler",
]

__all__ = [
    *classes,
    "CrossModalAttention",
    "NegativeLoader",
    "Sampler",
    "gumbel_top_k",
    "sampler_resolver",
]


def sampler_resolver(query: Sampler | str, *args: Any, **kwargs: Any) -> Sampler:
    r"""Returns the sampler named :obj:`query`, *e.g.*, :obj:`"uniform"`."""
    return resolver(
        [globals()[name] for name in classes], {}, query, Sampler, None, *args, **kwargs
    )
