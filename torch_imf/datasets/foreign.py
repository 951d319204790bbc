r"""Graphs of other libraries, by name or as objects, as tables of facts."""

import pickle
import re
import sys
from contextlib import redirect_stdout
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch_geometric.data import Dataset
from torch_geometric.data.data import BaseData

from torch_imf.io import require
from torch_imf.io.tables import graph_rows

if TYPE_CHECKING:
    import pandas as pd

#: `pykeen:codexsmall` and `ogbl-biokg`, say.
FOREIGN = re.compile(r"(pykeen:\S+|ogbl-\w+)")
COLUMNS = ["head", "relation", "tail"]
#: What pickles of arrays and tensors name, by module.
PICKLED = {
    **dict.fromkeys(
        ("numpy._core.multiarray", "numpy.core.multiarray"), ("_reconstruct", "scalar")
    ),
    "numpy": ("ndarray", "dtype"),
    "_codecs": ("encode",),
    "collections": ("OrderedDict",),
    "torch._utils": ("_rebuild_tensor_v2",),
    "torch": ("LongStorage", "IntStorage", "FloatStorage", "DoubleStorage", "BoolStorage"),
}


def read_foreign(name: str) -> "tuple[pd.DataFrame, ...]":
    r"""Returns the training, validation and test facts of a dataset of PyKEEN
    (:obj:`"pykeen:codexsmall"`) or OGB (:obj:`"ogbl-biokg"`, kept in the folder :obj:`data`), which
    their packages download.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If there is no such dataset, or it has no relations.
    """
    kind, _, rest = name.partition(":")
    if kind == "pykeen":
        require("pykeen", "Datasets of PyKEEN", "pykeen")
        from pykeen.datasets import dataset_resolver

        try:
            dataset: Any = dataset_resolver.make(rest)
        except (KeyError, ValueError) as error:
            raise ValueError(f"PyKEEN has no dataset '{rest}' ({error})") from error
        return tuple(map(factory_frame, (dataset.training, dataset.validation, dataset.testing)))
    require("ogb", "Datasets of OGB", "ogb")
    from ogb.linkproppred import LinkPropPredDataset

    def read(file: Any, **options: Any) -> Any:
        return ArrayUnpickler(file, **options).load()

    # OGB prints what it does, and calls `torch.load` without arguments:
    reader = SimpleNamespace(Unpickler=ArrayUnpickler, load=read, __name__="pickle")
    load = partial(torch.load, weights_only=False, pickle_module=reader)
    with redirect_stdout(sys.stderr), patch("torch.load", load):
        split = LinkPropPredDataset(name, root="data").get_edge_split()
    if not all("relation" in split[x] for x in ("train", "valid", "test")):
        raise ValueError(f"'{name}' is no graph of relations, 'ogbl-biokg' and 'ogbl-wikikg2' are")
    return tuple(ogb_frame(split[x]) for x in ("train", "valid", "test"))


class ArrayUnpickler(pickle.Unpickler):
    r"""Reads pickles of arrays of NumPy and tensors. Anything else, which may run code, is refused.
    The one of :meth:`torch.load` does not read the protocol in which OGB saves them.
    """

    def find_class(self, module: str, name: str) -> Any:
        if name not in PICKLED.get(module, ()):
            raise ValueError(f"A file of OGB holds '{module}.{name}', which is refused")
        return super().find_class(module, name)


def factory_frame(factory: Any) -> "pd.DataFrame":
    r"""Returns the facts of a :class:`~pykeen.triples.TriplesFactory`, by numbers if it has no
    names.
    """
    import pandas as pd

    rows = getattr(factory, "triples", None)
    return pd.DataFrame(factory.mapped_triples.numpy() if rows is None else rows, columns=COLUMNS)


def ogb_frame(split: dict[str, Any]) -> "pd.DataFrame":
    r"""Returns the facts of a split of OGB, whose entities are numbered within their types if they
    have any.
    """
    import pandas as pd

    out = pd.DataFrame({name: split[name] for name in COLUMNS}).astype(str)
    for end in ("head", "tail"):
        if f"{end}_type" in split:
            out[f"{end}_types"] = split[f"{end}_type"]
            out[end] = out[f"{end}_types"] + ":" + out[end]
    return out


def as_frame(facts: object) -> "pd.DataFrame | None":
    r"""Returns facts in memory as a DataFrame: a graph of NetworkX, a factory of PyKEEN, an array
    or a list of facts; and :obj:`None` for anything else. Raises a :class:`ValueError` for a graph
    of PyTorch Geometric.
    """
    if isinstance(facts, BaseData | Dataset):
        raise ValueError(
            f"A '{type(facts).__name__}' is a graph of PyTorch Geometric, which "
            f"'torch_imf.data.to_graph(data)' takes, with its features"
        )
    kinds = (list, tuple)
    is_list = isinstance(facts, kinds) and any(
        isinstance(x, kinds) and not isinstance(next(iter(x), ""), kinds) for x in facts
    )
    is_graph = hasattr(facts, "nodes") and hasattr(facts, "edges")
    is_factory = hasattr(facts, "mapped_triples")
    if not (is_list or is_graph or is_factory or getattr(facts, "ndim", 0) == 2):
        return None
    import pandas as pd

    if is_factory:
        return factory_frame(facts)
    if is_graph:
        (_, columns), *rows = graph_rows(facts)
        return pd.DataFrame([row for _, row in rows], columns=columns)
    return facts if isinstance(facts, pd.DataFrame) else pd.DataFrame(facts)
