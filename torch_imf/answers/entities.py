r"""Entities that are added to a trained model and its graph."""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.explanation import model_modalities
from torch_imf.data import modalities
from torch_imf.data.graph import (
    MASKS,
    TYPES,
    check_features,
    digest_facts,
    digest_names,
    has_inverse,
    prepare,
    split_facts,
)
from torch_imf.data.index import both_sides, distinct_facts
from torch_imf.data.names import Lookup
from torch_imf.evaluation.ranking import check_whole
from torch_imf.io import some, warn
from torch_imf.io.facts import split_types
from torch_imf.io.quantities import to_number
from torch_imf.io.sealed import EARLIER
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.models import Ensemble, MultimodalKGE
from torch_imf.nn.models.fold_in import fold_in, stand_in
from torch_imf.registry import checked

if TYPE_CHECKING:
    import pandas as pd

Model = TypeVar("Model", bound=Module)
Entity = Mapping[str, Any]
#: What an entity calls its content in each modality.
CONTENT = {"text": "text", "visual": "image", "numeric": "numbers"}
KEYS = ("name", "id", "types", *CONTENT.values())
#: What an entity without a name is called.
NEW = "new entity"


@checked
def add_entities(
    model: Model,
    data: Data,
    entities: "Sequence[Entity] | pd.DataFrame",
    facts: Iterable[Sequence[str | int]] = (),
    encoders: Mapping[str, Any] | None = None,
) -> tuple[Model, Data]:
    r"""Adds entities to a trained model and its graph, and returns a new model and a new graph, in
    which they come last, to be asked, evaluated and saved as any. What is there stays as it is:
    those given are not changed, and the scores among old entities are the same (on a CPU, to the
    last bit).

    .. code-block:: python

        atlantis = {"name": "Atlantis", "text": "Atlantis. A kingdom below the sea."}
        facts = [("Atlantis", "continent", "Europe")]
        model, data = add_entities(model, data, [atlantis], facts, dataset.encoders)

    Features are made by the encoders that made those of the graph, of texts that are like its own.
    The structural embedding of a new entity is what its features let expect, by a regression over
    the others and, where it has facts, is fitted to these with all else fixed, which takes a few
    milliseconds. Facts become training facts.

    In an :class:`~torch_imf.nn.Ensemble`, :class:`~torch_imf.nn.TypePrior` counts facts for new
    entities, not for old ones, :class:`~torch_imf.nn.RuleView` applies the rules that it has to all
    facts, but never leads from one old entity to another by a new one, and for
    :class:`~torch_imf.nn.FeatureView`, new entities are candidates and queries that cast no votes.

    Args:
        model (torch.nn.Module): A trained model, or an :class:`~torch_imf.nn.Ensemble`.
        data (Data): Its graph.
        entities (list[dict] or DataFrame): The entities. Each has a :obj:`name`, and an :obj:`id`
            if that is another, perhaps a list of :obj:`types`, and some of a :obj:`text`, an
            :obj:`image` (a path, an image as :class:`torch.uint8` tensor, or a list of them),
            :obj:`numbers` (a dictionary), and features that are ready (:obj:`x_text`, and so on for
            any modality).
        facts (list[tuple], optional): Head, relation and tail of each fact that is known of them,
            by name, identifier or number. (default: :obj:`()`)
        encoders (dict, optional): The encoders by modality, as :obj:`dataset.encoders`, or
            :meth:`~torch_imf.pretrained_encoders` of a saved model. (default: :obj:`None`)

    Raises:
        ValueError: If an entity is there already, or nothing is known of it; a fact is about an
            unknown entity or relation, or about old entities alone; features are not of the size
            that the model knows; there is no encoder for what is given, or an image cannot be read.
    """
    if not isinstance(model, MultimodalKGE | Ensemble):
        raise ValueError(
            f"Entities are added to a model of this package (got a '{type(model).__name__}')"
        )
    prepared = prepare(model, data)
    check_whole(model)
    entries = _entries(entities)
    labels = [[str(x.get(key, x["name"])) for x in entries] for key in ("id", "name")]
    _check_names(data, entries, *labels)
    first, size = int(data.num_nodes), len(entries)
    x_dict, mask_dict = _features(channels(model, data), entries, encoders or {})
    out_data = _named(data, *labels)
    given: list[Any] = [x.get("types", ()) for x in entries]
    if data.get(TYPES) is not None or any(given):
        old = data.get(TYPES) or [[] for _ in range(first)]
        new = [split_types(x) if isinstance(x, str) else list(x) for x in given]
        out_data[TYPES] = [*old, *new]
    triples = _triples(out_data, facts, first)
    _check_known(model, labels[1], mask_dict, triples[::2])
    _add_rows(out_data, data, x_dict, mask_dict, triples)

    out: Any = copy.deepcopy(model)
    device = prepared.edge_index.device
    x_dict, mask_dict = ({k: x.to(device) for k, x in y.items()} for y in (x_dict, mask_dict))
    head_index, rel_type, tail_index = triples.to(device)
    sides = both_sides(head_index, rel_type, tail_index, int(data.num_relations))
    both = torch.stack(sides)
    if isinstance(out, Ensemble):
        out.extend(size, x_dict, mask_dict, both)
    else:
        out.extend(size, x_dict, mask_dict)
    known = torch.stack(split_facts(prepared, "train"))
    for part in parts(out):
        if isinstance(part, MultimodalKGE) and part.struct is not None:
            stand_in(part, first, known)
            if both.numel() > 0:
                fold_in(part, first, both, known)
    for part in {out, *parts(out)}:
        if names := getattr(part, "known_names", None):
            part.known_names = {**names, **digest_names(out_data), **digest_facts(out_data)}
    return out, out_data


def entity_features(
    model: Module, sizes: dict[str, int], encoders: Mapping[str, Any] | None, entity: Entity
) -> tuple[Tensors, Tensors]:
    r"""Returns the features :obj:`[1, D]` of one entity in each modality, given their sizes
    (:meth:`channels`), and which of them there are. Raises as :meth:`add_entities` if none are.
    """
    entries = _entries([{"name": NEW, **entity}])
    x_dict, mask_dict = _features(sizes, entries, encoders or {})
    _check_known(model, [entries[0]["name"]], mask_dict, torch.empty(0, dtype=torch.long))
    return x_dict, mask_dict


def parts(model: Module) -> list[Any]:
    r"""Returns the members of an ensemble, or else the model."""
    return list(getattr(model, "members", [model]))


# What is given ##################################################################################


def _entries(entities: "Sequence[Entity] | pd.DataFrame") -> list[dict[str, Any]]:
    # What is known of each entity, without empty cells.
    rows: Any = entities.to_dict("records") if hasattr(entities, "to_dict") else list(entities)
    if not rows:
        raise ValueError("There are no entities to add")
    out = []
    for row in rows:
        if not isinstance(row, Mapping) or not row.get("name", row.get("id")):
            expected = "a list of dictionaries, each with a 'name'"
            raise ValueError(f"Entities need to be {expected} (one of them is {row!r:.80})")
        entry = {str(k): x for k, x in row.items() if not _is_empty(x)}
        entry.setdefault("name", entry.get("id"))
        if unknown := [k for k in entry if k not in KEYS and not k.startswith("x_")]:
            expected = f"expected some of {list(KEYS)}, or features as 'x_text'"
            raise ValueError(f"The entity '{entry['name']}' has {unknown}, {expected}")
        out.append(entry)
    return out


def _is_empty(x: object) -> bool:
    return (
        x is None
        or (isinstance(x, float) and math.isnan(x))
        or (isinstance(x, str) and not x.strip())
    )


def _check_names(
    data: Data, entries: list[dict[str, Any]], ids: list[str], names: list[str]
) -> None:
    lookup = Lookup.of_entities(data)
    known_ids, known_names = set(lookup.ids), set(lookup.names)
    is_named = [("id" in entry) for entry in entries]
    old = [
        name
        for id_, name, own in zip(ids, names, is_named, strict=True)
        if id_ in known_ids or (not own and name in known_names)
    ]
    if old:
        raise ValueError(
            f"{some(old)}: the graph has such entities already. Give new ones another name, or an "
            f"'id' of their own"
        )
    if same := [x for x, own in zip(names, is_named, strict=True) if own and x in known_names]:
        warn(f"{some(same)}: the graph has others of this name. Ask for each by its identifier")
    if twice := [x for x, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{some(twice)}: given twice. Give each an 'id' of its own")


def channels(model: Module, data: Data) -> dict[str, int]:
    r"""Returns the size of the features of each modality, of the model and of the graph."""
    out: dict[str, int] = {}
    for part in parts(model):
        out |= {name: x.in_channels for name, x in getattr(part, "features", {}).items()}
        out |= part.in_channels() if hasattr(part, "in_channels") else {}
    for name, x in modalities(data)[0].items():
        if out.setdefault(name, x.size(1)) != x.size(1):
            got = f"{out[name]} values in the model, {x.size(1)} in the graph"
            raise ValueError(f"The features 'x_{name}' are of two sizes: {got}")
    return out


def _check_known(model: Module, names: list[str], mask_dict: Tensors, pairs: Tensor) -> None:
    own = model_modalities(model)
    masks = [mask for name, mask in mask_dict.items() if name in own]
    known = torch.stack([torch.zeros(len(names), dtype=torch.bool), *masks]).any(dim=0)
    inside = pairs[pairs >= 0]
    first = int(getattr(model, "num_nodes", 0))
    known[inside[inside >= first] - first] = True
    if not bool(known.all()):
        unknown = [names[i] for i in (~known).nonzero().view(-1).tolist()]
        what = (
            f"some of {sorted(own)}, or a fact" if own else "a fact, as the model has no modality"
        )
        raise ValueError(f"Nothing is known of {some(unknown)}. Give each {what}")


def _triples(data: Data, facts: Iterable[Sequence[str | int]], first: int) -> Tensor:
    # Facts by number, [3, F].
    nodes, relations = Lookup.of_entities(data), Lookup.of_relations(data)
    sizes = (int(data.num_nodes), int(data.num_relations), int(data.num_nodes))
    rows = []
    for fact in facts:
        try:
            if isinstance(fact, str) or len(fact) != 3:
                raise ValueError("expected head, relation and tail")
            head, rel, tail = fact
            row = [
                *nodes.rows("head", head).tolist(),
                *relations.rows("relation", rel).tolist(),
                *nodes.rows("tail", tail).tolist(),
            ]
            if len(row) != 3 or not all(0 <= x < n for x, n in zip(row, sizes, strict=True)):
                raise ValueError("a number is out of range")
        except (ValueError, TypeError) as error:
            raise ValueError(f"The fact {tuple(fact)} cannot be added: {error}") from error
        if max(row[::2]) < first:
            raise ValueError(
                f"The fact {tuple(fact)} is not about a new entity. Train the model again with it"
            )
        rows.append(row)
    if not rows:
        return torch.empty(3, 0, dtype=torch.long)
    head_index, rel_type, tail_index = torch.tensor(rows).t()
    return distinct_facts(torch.stack([head_index, tail_index]), rel_type, *sizes[:2])[0]


# Features #######################################################################################


def _features(
    channels: dict[str, int], entries: list[dict[str, Any]], encoders: Mapping[str, Any]
) -> tuple[Tensors, Tensors]:
    # The features of all entities in each modality, and which of them there are.
    known = {*CONTENT.values(), *(f"x_{name}" for name in channels)}
    known -= {key for name, key in CONTENT.items() if name not in channels}
    if left_out := sorted({k for x in entries for k in x if k not in (*known, *KEYS[:3])}):
        warn(
            f"{some(left_out)}: left out, as the model and its graph know of {list(channels)} only"
        )
    x_dict, mask_dict = {}, {}
    for modality, width in channels.items():
        x = torch.zeros(len(entries), width)
        mask = torch.zeros(len(entries), dtype=torch.bool)
        ready = [i for i, entry in enumerate(entries) if f"x_{modality}" in entry]
        for i in ready:
            x[i], mask[i] = _ready(entries[i], modality, width), True
        key = CONTENT.get(modality, "")
        some_rows = [i for i, entry in enumerate(entries) if key in entry and not mask[i]]
        if some_rows:
            given = [entries[i] for i in some_rows]
            found, has = _encoded(modality, given, encoders)
            if found.size(1) != width:
                raise ValueError(
                    f"The encoder of '{modality}' makes features of {found.size(1)} values, and "
                    f"the model knows those of {width}. Pass the one that made these"
                )
            index = torch.tensor(some_rows)
            x[index], mask[index] = found.float().masked_fill(~has[:, None], 0), has
            if not bool(has.all()):
                names = [given[i]["name"] for i in (~has).nonzero().view(-1).tolist()]
                warn(f"The encoder of '{modality}' finds nothing that it knows in {some(names)}")
        x_dict[modality], mask_dict[modality] = x, mask
    check_features(x_dict, mask_dict, len(entries))
    return x_dict, mask_dict


def _ready(entry: dict[str, Any], modality: str, width: int) -> Tensor:
    x = torch.as_tensor(entry[f"x_{modality}"]).float().cpu().view(-1)
    if x.numel() != width:
        raise ValueError(
            f"'x_{modality}' of '{entry['name']}' has {x.numel()} values, and the model knows "
            f"features of {width}"
        )
    return x


def _encoded(
    modality: str, given: list[dict[str, Any]], encoders: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    key = CONTENT[modality]
    encoder = encoders.get(modality)
    if encoder is None or not hasattr(encoder, "transform") and not callable(encoder):
        raise ValueError(
            f"'{given[0]['name']}' has '{key}', but there is no encoder of '{modality}'. Pass the "
            f"one that made the features of the graph, as encoders=dataset.encoders or "
            f"pretrained_encoders(folder), or give features 'x_{modality}'. If the model was saved "
            f"without one, perhaps {EARLIER}"
        )
    for entry in given:
        if modality == "text" and not isinstance(entry[key], str):
            got = f"got {entry[key]!r:.40}"
            raise ValueError(f"'text' of '{entry['name']}' needs to be a string ({got})")
    content: list[Any] = [[entry[key] for entry in given]]
    if modality == "numeric":
        content = _literals(given, encoder)
    found: Any = getattr(encoder, "transform", encoder)(*content)
    x, has = (
        found if isinstance(found, tuple) else (found, torch.ones(len(given), dtype=torch.bool))
    )
    if modality == "visual" and not bool(has.all()):
        i = int((~has).nonzero()[0])
        why = "; ".join(getattr(encoder, "unreadable", {}).values()) or "there is none"
        raise ValueError(f"The image of '{given[i]['name']}' cannot be read: {why}")
    return x, has


def _literals(given: list[dict[str, Any]], encoder: Any) -> list[Any]:
    # What an encoder of numbers takes.
    index, attributes, values = [], [], []
    for i, entry in enumerate(given):
        if not isinstance(entry["numbers"], Mapping):
            raise ValueError(
                f"'numbers' of '{entry['name']}' need to be a dictionary of attributes"
            )
        for attribute, value in entry["numbers"].items():
            number = to_number(str(value))
            if not math.isfinite(number):
                what = f"'{attribute}' of '{entry['name']}'"
                raise ValueError(f"{what} is neither a number nor a date (got {value!r:.40})")
            index.append(i)
            attributes.append(str(attribute))
            values.append(number)
    known = encoder.state_dict()["attributes"].tolist() if hasattr(encoder, "state_dict") else None
    if known is not None and (others := sorted(set(attributes) - set(known))):
        warn(f"{some(others)}: left out, as the graph has no such numbers, but {some(known)}")
    return [torch.tensor(index), attributes, torch.tensor(values, dtype=torch.double), len(given)]


# The graph ######################################################################################


def _named(data: Data, ids: list[str], names: list[str]) -> Data:
    # A graph that has the names of new entities, too.
    out = copy.copy(data)
    out.num_nodes = int(data.num_nodes) + len(ids)
    if data.get("node_ids") is not None:
        out.node_ids = [*data.node_ids, *ids]
    if data.get("node_names") is not None:
        out.node_names = [*data.node_names, *names]
    elif data.get("node_ids") is None:
        out.node_names = [*map(str, range(int(data.num_nodes))), *names]
    return out


def _add_rows(out: Data, data: Data, x_dict: Tensors, mask_dict: Tensors, triples: Tensor) -> None:
    for name, x in modalities(data)[0].items():
        mask = data.get(f"{name}_mask")
        mask = x.new_ones(len(x), dtype=torch.bool) if mask is None else mask
        out[f"x_{name}"] = torch.cat([x, x_dict[name].to(x)])
        out[f"{name}_mask"] = torch.cat([mask, mask_dict[name].to(mask.device)])
    head_index, rel_type, tail_index = triples.to(data.edge_index.device)
    if has_inverse(data):
        sides = both_sides(head_index, rel_type, tail_index, int(data.num_relations))
        head_index, rel_type, tail_index = sides
    out.edge_index = torch.cat([data.edge_index, torch.stack([head_index, tail_index])], dim=1)
    out.edge_type = torch.cat([data.edge_type, rel_type])
    for name in MASKS:
        new = torch.full_like(rel_type, name == "train_mask", dtype=torch.bool)
        out[name] = torch.cat([data[name], new])
