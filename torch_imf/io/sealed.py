r"""Files of tensors and plain values that are what was written: safetensors with a digest of all
that they hold. Nothing that such a file may ask for is run.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

from torch_imf.io.atomic import on_disk
from torch_imf.io.hash import hash_content, hash_tensor
from torch_imf.io.mapped import is_large, map_tensors

DTYPES = {"bool": "BOOL", "uint8": "U8", "bfloat16": "BF16", "complex64": "C64"}
DTYPES |= {f"int{size}": f"I{size}" for size in (8, 16, 32, 64)}
DTYPES |= {f"float{size}": f"F{size}" for size in (16, 32, 64)}
#: What JSON has no form for.
KINDS: dict[str, Callable[[Any], object]] = {"tuple": tuple, "dict": dict}

#: Why the encoder of a dataset may know nothing, and what helps.
EARLIER = (
    "the graph was processed by an earlier version: load it once with 'force_reload=True', or "
    "remove its folder 'processed', and train again"
)


def seal(value: object, file: BinaryIO) -> None:
    r"""Writes tensors, numbers, texts, :obj:`None`, and lists, tuples and dictionaries of these.
    Raises a :class:`ValueError` for anything else. Tensors come back on the CPU.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(value, tensors)).encode()
    tensors["tree"] = torch.frombuffer(bytearray(tree), dtype=torch.uint8)
    header: dict[str, object] = {"__metadata__": {"sha256": _digest(tensors)}}
    # Written here, as the library copies all tensors. The largest types come first, to be aligned.
    order, end = sorted(tensors, key=lambda name: -tensors[name].itemsize), 0
    for name in order:
        x, start = tensors[name], end
        end = start + x.nbytes
        entry = {"dtype": DTYPES[str(x.dtype)[6:]], "shape": list(x.size())}
        header[name] = {**entry, "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    file.write(len(head).to_bytes(8, "little") + head)
    for name in order:
        file.write(tensors[name].view(-1).view(torch.uint8).numpy().data)


def unseal(path: str, mapped: bool = False) -> Any:
    r"""Returns what :meth:`seal` has written, from any file system of :obj:`fsspec`, or leaves
    large floats on the disk, :obj:`mapped` to memory. Raises a
    :class:`ValueError` if a single bit of it is another.
    """
    from safetensors import safe_open

    try:
        with on_disk(path) as name, safe_open(name, "pt") as file:
            # Copies, which stay what they are if the file is written to:
            floats = map_tensors(name) if mapped else {}
            large = {key: x for key, x in floats.items() if is_large(x.nbytes)}
            rest = (key for key in file.keys() if key not in large)
            tensors = {**large, **{key: file.get_tensor(key).clone() for key in rest}}
            digest = (file.metadata() or {})["sha256"]
        if digest != _digest(tensors):
            raise ValueError("its content does not match its digest")
        tree = tensors["tree"].numpy().tobytes()

        def unpack(entry: dict[str, Any]) -> object:
            ((kind, content),) = entry.items()
            return tensors[content] if kind == "tensor" else KINDS[kind](content)

        return json.loads(tree, object_hook=unpack)
    except OSError as e:
        if e.errno is not None:
            raise
        raise ValueError(f"'{path}' is damaged ({e})") from e
    except Exception as e:  # A damaged file can make its reader raise anything.
        raise ValueError(f"'{path}' is damaged ({type(e).__name__}: {e})") from e


def _pack(value: object, tensors: dict[str, Tensor]) -> object:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() if set(map(type, value)) <= {str}:  # Of which there may be millions.
            return value
        case list():
            return [_pack(entry, tensors) for entry in value]
        case tuple():
            return {"tuple": [_pack(entry, tensors) for entry in value]}
        case Mapping():
            pairs = [[_pack(key, tensors), _pack(x, tensors)] for key, x in value.items()]
            return {"dict": pairs}
        case Tensor() if value.layout == torch.strided and str(value.dtype)[6:] in DTYPES:
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous()
            return {"tensor": name}
    kind = f"{value.dtype}" if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"Only dense tensors, numbers, texts, and lists and dictionaries of them can be kept in a "
        f"file (got {kind})"
    )


def _digest(tensors: dict[str, Tensor]) -> str:
    return hash_content(
        "\n".join(f"{name} {hash_tensor(tensors[name])}" for name in sorted(tensors))
    )
