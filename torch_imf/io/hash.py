import hashlib
import os

import torch
from torch import Tensor

from torch_imf.io import check_regular


def hash_content(content: str | bytes | memoryview) -> str:
    r"""Returns the SHA-256 of a text or of bytes, in hexadecimal."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def hash_file(path: str | os.PathLike[str]) -> str:
    r"""Returns the SHA-256 of the content of a file, in hexadecimal."""
    from pooch import file_hash

    check_regular(path)
    return file_hash(os.fspath(path))


def hash_tensor(x: Tensor) -> str:
    r"""Returns the type and size of a tensor, and the SHA-256 of its bytes, in hexadecimal."""
    # As bytes, since NumPy does not know every type; the stride of a single value may be any.
    flat = x.detach().cpu().contiguous().as_strided((x.numel(),), (1,))
    data = flat.view(torch.uint8).numpy().data
    return f"{x.dtype}{list(x.size())} {hash_content(data)}"
