import os
import os.path as osp
import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch_geometric.data import InMemoryDataset
from torch_geometric.data.dataset import MISSING, _repr
from torch_geometric.io import fs

from torch_imf.io.atomic import locked, replacing


class Processed(InMemoryDataset):
    r"""A dataset whose processed files are complete whatever happens, and
    made by one process at a time. One that is there is read without a lock.
    """

    def guard(self) -> AbstractContextManager[None]:
        r"""Returns a block that one process at a time may enter, if there is
        something to process.
        """
        if self.root == MISSING or (not self.force_reload and self._is_there()):
            return nullcontext()
        return locked(self.root)

    def _is_there(self) -> bool:
        return all(fs.exists(path) for path in self.processed_paths)

    def _process(self) -> None:
        # As that of PyG, which writes the file that tells the argument in place.
        about = osp.join(self.processed_dir, "pre_transform.pt")
        if not self.force_reload:
            if fs.exists(about):
                with loading(about):
                    told = fs.torch_load(about)
                if told != _repr(self.pre_transform):
                    warnings.warn(
                        f"'{self.processed_dir}' was made with another 'pre_transform'. Pass "
                        f"'force_reload=True' to process the dataset again",
                        stacklevel=4,
                    )
            if self._is_there():
                return
        quiet = not self.log or "PYTEST_CURRENT_TEST" in os.environ
        print("" if quiet else "Processing...\n", file=sys.stderr, end="")
        fs.makedirs(self.processed_dir, exist_ok=True)
        self.process()
        with replacing(about) as file:
            torch.save(_repr(self.pre_transform), file)
        print("" if quiet else "Done!\n", file=sys.stderr, end="")


@contextmanager
def loading(path: str) -> Iterator[None]:
    r"""Says of a processed file that cannot be loaded what to do about it."""
    try:
        yield
    except (pickle.UnpicklingError, RuntimeError, EOFError, AssertionError) as e:
        # Of a file that is no pickle, PyTorch advises to run what it says.
        reason = "" if isinstance(e, pickle.UnpicklingError) else f" ({e})"
        raise RuntimeError(
            f"'{path}' is damaged, pass 'force_reload=True' to process the dataset again{reason}"
        ) from e
