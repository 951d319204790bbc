r"""Multimodal knowledge graphs, each one :class:`~torch_geometric.data.Data` with all facts and a
mask per split.
"""

from torch_imf.registry import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
