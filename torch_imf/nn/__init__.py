import warnings

with warnings.catch_warnings():
    # PyG uses what PyTorch has deprecated, about which its users can do nothing:
    warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)
    import torch_geometric.nn  # noqa: F401

from torch_imf.registry import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
