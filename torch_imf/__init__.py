import warnings

from torch_imf.registry import attach

# PyG uses what PyTorch has deprecated, about which its users can do nothing:
warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
