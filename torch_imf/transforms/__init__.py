from .add_inverse import AddInverse
from .drop_modality import DropModality

__all__ = classes = ["AddInverse", "DropModality"]
