from .add_inverse import AddInverse as AddInverse
from .drop_modality import DropModality as DropModality
