from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, HeteroData

from torch_imf.data.graph import MASKS, NAMES, TYPES, check_graph, check_size, check_tensor
from torch_imf.data.index import TripletIndex, check_range, check_triples, distinct_facts
from torch_imf.data.split import draw_splits
from torch_imf.registry import checked

SPLITS = (("train",), ("val", "valid"), ("test",))
Part: TypeAlias = Data | HeteroData | Dataset


@checked
def to_graph(
    data: Part | Sequence[Part] | Mapping[str, Part],
    num_relations: int | None = None,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Data:
    r"""Makes a graph with split masks and :obj:`num_relations`, as all of this package takes it, of
    what PyTorch Geometric has.

    .. code-block:: python

        splits = [FB15k_237("data", split=split) for split in ("train", "val", "test")]
        data = to_graph(splits)
        model = KGE(data.num_nodes, data.num_relations, 128)
        fit(model, data)

    * Three graphs with :obj:`edge_index` and :obj:`edge_type` are training, validation and test, as
      are :obj:`train_edge_index`, :obj:`valid_edge_index` and :obj:`test_edge_index` of one
      (:class:`~torch_geometric.datasets.RelLinkPredDataset`), and masks over edges.
    * Of one graph without these, the splits are drawn, such that all entities and relations are in
      a training fact. Each fact counts once.
    * The edge types of a :class:`~torch_geometric.data.HeteroData` are the relations, by their
      names where no two share one, apart from reverse ones (:obj:`"rev_..."`). Its nodes are in
      the order of their types, which are kept as :obj:`node_types`.

    Inverse triples :math:`(t, r + |\mathcal{R}|, h)` are left out: whoever needs them adds them,
    and splits that are drawn would hold the one and the other. Names and modalities
    (:obj:`x_<modality>`) stay, and the features :obj:`x` become the modality :obj:`"node"`, or one
    of the name of each type.

    Args:
        data (Data, HeteroData, Dataset, list or dict): The graph, or those of training, validation
            and test in this order or under these names. A dataset stands for its only graph.
        num_relations (int, optional): The number of base relations, if the graph does not hold it.
            If :obj:`None`, the largest relation tells, or half of it where all facts of the upper
            half are inverses of the lower one. (default: :obj:`None`)
        shares (tuple[float, float, float], optional): The shares of splits that are drawn.
            (default: :obj:`(0.8, 0.1, 0.1)`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If there are no facts with relations, they cannot be split, or something would
            be lost: facts beyond :obj:`num_relations` that are no inverses, nodes beyond
            :obj:`num_nodes`, one or two masks over edges, or other names or features of a split.
    """
    if isinstance(data, Mapping):
        found = [[data[name] for name in names if name in data] for names in SPLITS]
        if [len(x) for x in found] != [1, 1, 1]:
            raise ValueError(f"Expected graphs of 'train', 'val' and 'test' (got {list(data)})")
        data = [x[0] for x in found]
    parts = list(map(_one, data if isinstance(data, list | tuple) else [data]))
    if len(parts) not in (1, 3):
        raise ValueError(f"Expected one graph, or those of three splits (got {len(parts)})")
    first = parts[0]
    prefixes = [f"{x}_" for names in SPLITS for x in names if f"{x}_edge_index" in first]
    is_split = len(parts) == 1 and len(prefixes) == 3
    facts = [_facts(first, x) for x in prefixes] if is_split else [_facts(x, "") for x in parts]
    content = _content(first)
    for name, x in (pair for part in parts[1:] for pair in _content(part).items()):
        if not _equal(x, content.get(name)):
            raise ValueError(f"The graphs of the splits need to be of the same '{name}'")
    fact = torch.cat(facts, dim=1)
    if fact.numel() == 0:
        raise ValueError("The graph holds no facts")
    given = [part.num_nodes for part in parts if {"num_nodes", "x"} & set(part.keys())]
    num_nodes = max((check_size("num_nodes", x) for x in given), default=int(fact[::2].max()) + 1)
    check_range("edge_index", fact[::2], num_nodes)
    if num_relations is None:
        num_relations = first.get("num_relations", _num_relations(fact, num_nodes))
    num_relations = check_size("num_relations", num_relations)
    base = fact[1] < num_relations
    shift = torch.tensor([[0], [num_relations], [0]], device=fact.device)
    lost = ~TripletIndex(*fact[:, base]).contains(*(fact[:, ~base] - shift).flip(0))
    if bool(lost.any()):
        raise ValueError(
            f"{int(lost.sum())} facts of relations from 'num_relations' ({num_relations}) on are "
            f"no inverses of others. 'num_relations' is the number of all relations but inverses"
        )
    bases = [fact[1] < num_relations for fact in facts]
    facts = [fact[:, base] for fact, base in zip(facts, bases, strict=True)]
    masks = _masks(first, bases[0].numel(), num_nodes) if len(facts) == 1 else []
    if masks:
        row = torch.stack([mask[bases[0]] for mask in masks])
        fact = facts[0]
    else:
        if len(facts) == 1:
            fact, _ = distinct_facts(facts[0][::2], facts[0][1], num_nodes, num_relations)
            facts = draw_splits(fact, shares, num_nodes, num_relations, seed)
        size = torch.tensor([x.size(1) for x in facts])
        row = torch.arange(3).repeat_interleave(size) == torch.arange(3).view(-1, 1)
        fact = torch.cat(facts, dim=1)
    out = Data(
        edge_index=fact[::2].contiguous(),
        edge_type=fact[1].contiguous(),
        **dict(zip(MASKS, row.to(fact.device), strict=True)),
        num_nodes=num_nodes,
        num_relations=num_relations,
        **content,
    )
    check_graph(out)
    return out


def _one(part: object) -> Data:
    if isinstance(part, Dataset) and len(part) == 1:
        part = part[0]
    if isinstance(part, HeteroData):
        part = _homogeneous(part)
    if not isinstance(part, Data):
        raise ValueError(f"Expected a graph of PyTorch Geometric (got a '{type(part).__name__}')")
    if "edge_label_index" in part:
        raise ValueError(
            "The 'edge_index' of what 'RandomLinkSplit' has split is that of training facts. Pass "
            "the graph as it was before, and the 'shares' of splits"
        )
    return part


def _facts(data: Data, prefix: str) -> Tensor:
    # Heads, relations and tails, of shape [3, E].
    index, kind = (data.get(f"{prefix}edge_{x}") for x in ("index", "type"))
    are_tensors = isinstance(index, Tensor) and isinstance(kind, Tensor)
    if not are_tensors or index.dim() != 2 or len(index) != 2 or kind.size() != index.size()[1:]:
        names = f"the tensors '{prefix}edge_index' [2, E] and '{prefix}edge_type' [E]"
        raise ValueError(f"A graph needs to hold {names}, the relation of each edge (got {data})")
    check_triples(index[0], kind, index[1])
    return torch.stack([index[0], kind, index[1]]).long()


def _masks(data: Data, size: int, num_nodes: int) -> list[Tensor]:
    # The masks of the splits over edges, if there are any. Those over nodes are of another task.
    found = {name: data[name] for name in MASKS if name in data}
    if size != num_nodes:
        found = {n: x for n, x in found.items() if getattr(x, "shape", ()) != (num_nodes,)}
    if found and len(found) < len(MASKS):
        raise ValueError(f"The graph has {list(found)}, but lacks others over edges of {MASKS}")
    for name, mask in found.items():
        check_tensor(f"'{name}'", mask, [size], torch.bool)
    if found and (count := int((sum(mask.long() for mask in found.values()) > 1).sum())):
        raise ValueError(f"{count:,} edges are in several of the masks {list(found)}")
    return list(found.values())


def _equal(x: object, other: object) -> bool:
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        return torch.equal(x, other)
    return bool(x == other)


def _num_relations(fact: Tensor, num_nodes: int) -> int:
    # Half of them, if the upper half of the relations are the inverses of the lower one.
    size = int(fact[1].max()) + 1
    half, is_base = size // 2, fact[1] < size // 2
    (head, rel, tail), other = fact[:, is_base], fact[:, ~is_base]
    found = distinct_facts(torch.stack([head, tail]), rel, num_nodes, size)[0]
    inverse = distinct_facts(other[::2].flip(0), other[1] - half, num_nodes, size)[0]
    return half if size % 2 == 0 and torch.equal(found, inverse) else size


def _content(data: Data) -> dict[str, object]:
    # Names, and the features of modalities with their masks.
    x = {key: data[key] for key in data.keys() if key.startswith("x_")}
    x |= {"x_node": data.x} if data.get("x") is not None else {}
    names = [*NAMES, TYPES, *(f"{key[2:]}_mask" for key in x)]
    return x | {name: data[name] for name in names if name in data}


def _homogeneous(data: HeteroData) -> Data:
    sizes = {x: check_size(f"num_nodes' of '{x}", data[x].num_nodes) for x in data.node_types}
    ends = torch.tensor(list(sizes.values())).cumsum(0)
    start = dict(zip(sizes, (ends - torch.tensor(list(sizes.values()))).tolist(), strict=True))
    types = [
        (head, name, tail)
        for head, name, tail in data.edge_types
        if (tail, name.removeprefix("rev_"), head) not in data.edge_types
        or not name.startswith("rev_")
    ]
    if not types:
        raise ValueError(f"The graph has no edges (got {data})")
    if unknown := [kind for kind in types if not {*kind[::2]} <= set(sizes)]:
        raise ValueError(f"There are edges {unknown[0]}, but not all nodes: set their 'num_nodes'")
    count = Counter(name for _, name, _ in types)
    ids = [kind[1] if count[kind[1]] == 1 else "__".join(kind) for kind in types]
    rels = list(range(len(types)))
    known = data.get("rel_ids")  # As `to_hetero` has them, one for several types of edges.
    if known and {kind[1] for kind in types} <= set(known):
        ids, rels = list(known), [known.index(kind[1]) for kind in types]
    fact = []
    for rel, kind in zip(rels, types, strict=True):
        index = data[kind].get("edge_index")
        check_tensor(f"'edge_index' of {kind}", index, [2, data[kind].num_edges], torch.long)
        for end, node_type in zip(index, kind[::2], strict=True):
            check_range(f"edge_index' of {kind}, for '{node_type}", end, sizes[node_type])
        index = index + torch.tensor([[start[kind[0]]], [start[kind[2]]]])
        fact.append(torch.stack([index[0], torch.full_like(index[0], rel), index[1]]))
    head_index, edge_type, tail_index = torch.cat(fact, dim=1)
    numbered = {kind: [f"{kind}:{i}" for i in range(size)] for kind, size in sizes.items()}
    out = Data(
        edge_index=torch.stack([head_index, tail_index]),
        edge_type=edge_type,
        num_nodes=sum(sizes.values()),
        num_relations=len(ids),
        node_ids=[x for names in numbered.values() for x in names],
        rel_ids=ids,
        node_types=[x for kind, n in sizes.items() for x in data[kind].get(TYPES) or [[kind]] * n],
    )
    for name in NAMES[:2]:
        if any(data[kind].get(name) is not None for kind in sizes):
            out[name] = [x for kind in sizes for x in data[kind].get(name) or numbered[kind]]
    if ids == known and data.get("rel_names") is not None:
        out.rel_names = list(data.rel_names)
    for name in MASKS:
        found = [data[kind][name] for kind in types if name in data[kind]]
        if 0 < len(found) < len(types):
            raise ValueError(f"Only some of the edge types have a '{name}' (of {types})")
        if found:
            out[name] = torch.cat(found)
    for kind, size in sizes.items():
        rows = slice(start[kind], start[kind] + size)
        for key in [x for x in data[kind].keys() if x == "x" or x.startswith("x_")]:
            x, name = data[kind][key], kind if key == "x" else key[2:]
            if f"x_{name}" not in out:
                out[f"x_{name}"] = x.new_zeros(out.num_nodes, x.size(1))
                out[f"{name}_mask"] = torch.zeros(out.num_nodes, dtype=torch.bool)
            if x.size(1) != out[f"x_{name}"].size(1):
                raise ValueError(f"The features 'x_{name}' are of two sizes, also in '{kind}'")
            out[f"x_{name}"][rows] = x
            out[f"{name}_mask"][rows] = data[kind].get(f"{name}_mask", True)
    return out
