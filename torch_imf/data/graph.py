import copy
import json
import math
from collections.abc import Sequence
from itertools import chain
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.index import TripletIndex, both_sides, check_range
from torch_imf.io import warn
from torch_imf.io.hash import hash_content, hash_tensor
from torch_imf.io.mapped import is_mapped as is_mapped

MASKS = ("train_mask", "val_mask", "test_mask")
#: What entities and relations are called: identifiers, of which each has its own, and names.
NAMES = ("node_ids", "node_names", "rel_ids", "rel_names")
#: The types of each entity, a list of none, one or several.
TYPES = "node_types"

HINT = "'torch_imf.data.to_graph' makes one of what PyTorch Geometric has"


def check_graph(data: Data) -> None:
    r"""Raises a :class:`ValueError` if the facts of a graph, with or without inverse triples, are
    absent, of a wrong shape or type, or out of range.
    """
    if not isinstance(data, Data):
        got = f"got a '{type(data).__name__}', of a dataset it is 'dataset[0]'"
        raise ValueError(f"A graph needs to be a 'Data' ({got}). {HINT}")
    kinds = {"edge_index": torch.long, "edge_type": torch.long, **dict.fromkeys(MASKS, torch.bool)}
    absent = [name for name in [*kinds, "num_relations"] if data.get(name) is None]
    if absent:
        raise ValueError(
            f"The graph lacks {absent}. It needs 'edge_index', 'edge_type', 'num_relations' (of "
            f"base relations), and the masks over edges {list(MASKS)}. {HINT}"
        )
    size = list(getattr(data.edge_index, "shape", ()))[-1:]
    for name, dtype in kinds.items():
        check_tensor(f"'{name}'", data[name], [2, *size] if name == "edge_index" else size, dtype)
    num_relations = check_size("num_relations", data.num_relations)
    check_range("edge_index", data.edge_index, check_size("num_nodes", data.num_nodes))
    check_range("edge_type", data.edge_type, num_relations * (1 + has_inverse(data)))
    if (refused := data.get("refused")) is not None:  # What people have refused, if any.
        check_tensor("'refused'", refused, [3, *refused.shape[1:]], torch.long)
        check_range("refused", refused[::2], data.num_nodes)
        check_range("refused", refused[1], num_relations)
    names_of(data)


def check_size(name: str, value: object) -> int:
    r"""Returns a number of entities or relations, or raises a :class:`ValueError`."""
    x = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(x, bool) or not isinstance(x, Integral) or not 0 <= int(x) < 2**31:
        raise ValueError(f"'{name}' needs to be a whole number below 2^31 (got {x!r:.80})")
    return int(x)


def check_tensor(name: str, x: Any, size: list[int], dtype: torch.dtype) -> None:
    r"""Raises a :class:`ValueError` if a tensor is of another shape or type, or is none."""
    is_tensor = isinstance(x, Tensor)
    if not is_tensor or list(x.size()) != size or x.dtype != dtype:
        got = f"{x.dtype} of shape {list(x.size())}" if is_tensor else f"a '{type(x).__name__}'"
        raise ValueError(f"{name} needs to be a {dtype} tensor of shape {size} (got {got})")


def names_of(data: Data) -> dict[str, list[str]]:
    r"""Returns the names of entities and relations that a graph has, and the types of its entities.
    Raises a :class:`ValueError` if names are not a list of strings, one for each, of which
    identifiers are distinct, or types not a list of lists of strings.
    """
    out = {name: data[name] for name in NAMES if name in data}
    for name, values in out.items():
        size = data.num_nodes if name.startswith("node") else data.num_relations
        is_list = isinstance(values, list | tuple)
        kinds = set(map(type, values)) if is_list else set()
        if not is_list or len(values) != size or not all(issubclass(x, str) for x in kinds):
            got = type(values).__name__
            if is_list:
                other = next((f", one is {x!r:.40}" for x in values if not isinstance(x, str)), "")
                got = f"{len(values)} values{other}"
            raise ValueError(f"'{name}' needs to hold {size} strings (got {got})")
        if name.endswith("ids") and len(set(values)) < len(values):
            raise ValueError(f"'{name}' holds an identifier twice")
    if (types := data.get(TYPES)) is not None:
        is_list = isinstance(types, list | tuple) and len(types) == data.num_nodes
        if not is_list or not all(
            isinstance(x, list | tuple) and all(isinstance(y, str) for y in x) for x in types
        ):
            raise ValueError(f"'{TYPES}' needs to hold {data.num_nodes} lists of strings")
        out[TYPES] = types
    return out


def type_pairs(data: Data) -> tuple[list[str], Tensor]:
    r"""Returns the types of entities that a graph knows of, in alphabetical order, and pairs of an
    entity and its type, of shape :obj:`[2, P]`.
    """
    types = data.get(TYPES) or []
    names = sorted({name for x in types for name in x})
    number = {name: i for i, name in enumerate(names)}
    pairs = [(row, number[name]) for row, x in enumerate(types) for name in x]
    return names, torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()


def has_inverse(data: Data) -> bool:
    r"""Tells whether :class:`~torch_imf.transforms.AddInverse` has been applied: half of the facts
    are of inverse relations.
    """
    num_inverse = int((data.edge_type >= data.num_relations).sum())
    half = 0 < 2 * num_inverse == data.edge_type.numel()
    return half and int(data.edge_type.max()) < 2 * data.num_relations


def prepare(model: torch.nn.Module, data: Data) -> Data:
    r"""Checks that a graph is sound and fits a model, and returns it with its facts on the device
    of the model. Its features stay where they are. Raises a :class:`ValueError` if sizes differ, or
    the names that the model has been trained with (:meth:`remember`).
    """
    check_graph(data)
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"A model needs to be a module (got a '{type(model).__name__}')")
    for name, kind in (("num_nodes", "entities"), ("num_relations", "base relations")):
        expected: Any = getattr(model, name, data[name])
        if expected != data[name]:
            raise ValueError(
                f"The model expects {expected} {kind}, but the graph holds {data[name]}"
            )
    known: Any = getattr(model, "known_names", {})
    for kind, names in (("entities", NAMES[:2]), ("relations", NAMES[2:])):
        # Names may be other ones where identifiers are the same:
        key = next((x for x in names if x in known and data.get(x) is not None), None)
        if key is not None and known[key] != _digest(data[key]):
            raise ValueError(
                f"The model was trained with other {kind}, or in another order: their '{key}' are "
                f"not those of this graph. Pass the graph that it was trained on"
            )
    device = next(chain(model.parameters(), model.buffers()), data.edge_index).device
    return copy.copy(data).to(device, "edge_index", "edge_type", *MASKS)


def remember(model: torch.nn.Module, data: Data) -> None:
    r"""Lets a model know, as its attribute :obj:`known_names`, the digests of the names of a graph,
    so that :meth:`prepare` refuses graphs whose rows stand for other entities or relations, and
    those of the facts that it is trained and selected by, for :meth:`warn_of_other_facts`; and as
    its buffer :obj:`seen`, if it has one, which entities have a training fact.
    """
    known: dict[str, str] = getattr(model, "known_names", {})  # type: ignore[assignment]
    model.known_names = {**known, **digest_names(data), **digest_facts(data)}  # type: ignore[assignment]
    seen = getattr(model, "seen", None)
    if isinstance(seen, Tensor):
        seen.fill_(False)[data.edge_index[:, data.train_mask].to(seen.device)] = True


def digest_names(data: Data) -> dict[str, str]:
    r"""Returns a digest of each list of names that a graph has, in its order."""
    return {key: _digest(data[key]) for key in NAMES if data.get(key) is not None}


def _digest(names: Sequence[object]) -> str:
    return hash_content(json.dumps(list(map(str, names))))


def digest_facts(data: Data) -> dict[str, str]:
    r"""Returns a digest of the training and validation facts, in whatever order they are."""
    found = {x: fact for x, fact in facts_by_split(data).items() if x.startswith(("train", "val"))}
    return {x: hash_tensor(TripletIndex(*fact).facts()) for x, fact in found.items()}


def warn_of_other_facts(model: torch.nn.Module, data: Data) -> None:
    r"""Warns if a model was trained or selected by other facts than those of a graph, as it may
    know its test facts.
    """
    known: dict[str, str] = getattr(model, "known_names", {})  # type: ignore[assignment]
    differ = [x for x, digest in digest_facts(data).items() if known.get(x, digest) != digest]
    if differ:
        warn(
            f"The {' and '.join(differ)} of this graph are not those that the model was trained "
            f"and selected by, which may be among those to rank. Evaluate it on the splits that it "
            f"was trained on"
        )


def facts_by_split(data: Data) -> dict[str, Tensor]:
    r"""Returns the base facts of each split, and those of none, of shape :obj:`[3, E]` each."""
    masks = dict(zip(("training", "validation", "test"), (data[x] for x in MASKS), strict=True))
    masks["unsplit"] = ~torch.stack(list(masks.values())).any(dim=0)
    fact = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]])
    base = data.edge_type < data.num_relations
    return {f"{name} facts": fact[:, mask & base] for name, mask in masks.items()}


def without_test(data: Data) -> Data:
    r"""Returns a graph without the facts that are in no split but test. What is trained on it is
    the same; its validation facts are ranked a little lower, as answers by such a fact are not
    known.
    """
    check_graph(data)
    out, kept = copy.copy(data), ~data.test_mask | data.train_mask | data.val_mask
    out.num_nodes = data.num_nodes  # Also if the last one is in no other fact.
    for name in [key for key in data.keys() if key.startswith("edge_") or key in MASKS]:
        out[name] = data[name][..., kept] if name == "edge_index" else data[name][kept]
    out.test_mask = torch.zeros_like(out.test_mask)
    return out


def warn_of_leaks(data: Data, *splits: str) -> None:
    r"""Warns of splits that hold training facts, which a model may know by heart."""
    fact = {name.split()[0]: x for name, x in facts_by_split(data).items()}
    train = TripletIndex(*fact["training"])
    for split in splits:
        is_known = train.contains(*fact[split])
        if bool(is_known.any()):
            warn(
                f"{int(is_known.sum()):,} of {is_known.numel():,} {split} facts are training facts "
                f"as well, so that their ranks tell what is known by heart. The scheme 'clean' of "
                f"a dataset, or 'torch_imf.data.clean_split', repairs this"
            )


def warn_of_one_side(rel_type: Tensor, num_relations: int) -> None:
    r"""Warns of facts to train on without inverse triples."""
    if not bool((rel_type >= num_relations).any()):
        warn(
            "The facts to train on have no inverse triples, so that the relations by which heads "
            "are predicted learn nothing. 'torch_imf.transforms.AddInverse' adds them"
        )


def split_facts(
    data: Data, split: str, num_facts: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns the facts of a split (or so many of them at most, drawn at random), and then their
    inverses. Raises a :class:`ValueError` if there is no such split, or it is empty.
    """
    if split not in ("train", "val", "test"):
        raise ValueError(f"Invalid 'split' argument (got '{split}', choose 'train', 'val', 'test')")
    facts = (data[f"{split}_mask"] & (data.edge_type < data.num_relations)).nonzero().view(-1)
    if facts.numel() == 0:
        raise ValueError(f"The '{split}' split holds no facts")
    if num_facts is not None:
        # On the CPU, for the same draw on any device:
        perm = torch.randperm(facts.numel(), generator=torch.Generator().manual_seed(seed))
        facts = facts[perm[:num_facts].to(facts.device)]
    (head_index, tail_index), rel_type = data.edge_index[:, facts], data.edge_type[facts]
    return both_sides(head_index, rel_type, tail_index, data.num_relations)


def loop_relations(data: Data) -> Tensor:
    r"""Returns the base relations in which some training fact is a self-loop."""
    is_loop = data.train_mask & (data.edge_index[0] == data.edge_index[1])
    return (data.edge_type[is_loop] % int(data.num_relations)).unique()


def modalities(data: Data) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Collects the modality features of a graph: every :obj:`x_<name>` of :obj:`data`, with its
    :obj:`<name>_mask` (all :obj:`True` if absent). Returns the dictionaries :obj:`x_dict`
    (:obj:`[N, D]` each) and :obj:`mask_dict` (:obj:`[N]` each), in alphabetical order.

    Raises:
        ValueError: If features or masks are of a wrong shape, or not finite.
    """
    if not isinstance(data, Data):
        raise ValueError(f"A graph needs to be a 'Data' (got a '{type(data).__name__}')")
    x_dict = {key[2:]: data[key] for key in sorted(data.keys()) if key.startswith("x_")}
    mask_dict = {name: modality_mask(data, name) for name in x_dict}
    check_features(x_dict, mask_dict, int(data.num_nodes))
    return x_dict, mask_dict


def modality_mask(data: Data, name: str) -> Tensor:
    r"""Returns which entities have a modality, all of them if there is no mask."""
    x, mask = data[f"x_{name}"], data.get(f"{name}_mask")
    size, device = int(data.num_nodes), getattr(x, "device", None)
    return torch.ones(size, dtype=torch.bool, device=device) if mask is None else mask


def check_features(
    x_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None, num_nodes: int
) -> None:
    r"""Raises a :class:`ValueError` if features or masks do not fit a graph."""
    for name, x in x_dict.items():
        is_dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_meta
        is_fit = is_dense and x.is_floating_point() and x.dim() == 2 and x.size(1) > 0
        if not is_fit or x.size(0) != num_nodes:
            got = f"got a '{type(x).__name__}'"
            if isinstance(x, Tensor):
                kind = "" if is_dense else f", on '{x.device}' as {x.layout}"
                got = f"got shape {list(x.size())} of {x.dtype}{kind}"
            raise ValueError(
                f"Features of modality '{name}' need to be floats of shape [{num_nodes}, *], in a "
                f"dense tensor ({got})"
            )
        bad = (~finite_rows(x)).nonzero().view(-1).tolist()
        if bad:
            raise ValueError(
                f"Features of modality '{name}' hold NaN or infinite values in {len(bad)} rows "
                f"(first: {bad[0]}). Mask such rows as missing and set them to zero"
            )
    for name, mask in (mask_dict or {}).items():
        if name not in x_dict:
            raise ValueError(f"Mask of unknown modality '{name}' (known: {sorted(x_dict)})")
        check_tensor(f"The mask of modality '{name}'", mask, [num_nodes], torch.bool)


def is_finite(x: Tensor) -> bool:
    r"""Returns whether no value is NaN or infinite."""
    # One that is makes the sum so, which takes no memory; that of large ones may overflow, too.
    total = x.detach().sum(dtype=torch.promote_types(x.dtype, torch.float32))
    return math.isfinite(total) or bool(x.isfinite().all())


def finite_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix are finite, a few at a time to spare memory."""
    return torch.cat([part.isfinite().all(dim=-1) for part in x.split(1024)])


def nonzero_rows(x: Tensor) -> Tensor:
    r"""Returns which rows of a matrix are not all zero."""
    return torch.cat([(part != 0).any(dim=-1) for part in x.split(1024)])
