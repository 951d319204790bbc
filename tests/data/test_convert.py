import pytest
import torch
from torch_geometric.data import Data, HeteroData, InMemoryDataset
from torch_geometric.nn.kge import ComplEx, DistMult, RotatE, TransE

from torch_imf import evaluate, fit
from torch_imf.data import TripletIndex, modalities, to_graph, to_hetero
from torch_imf.data.graph import MASKS, check_graph, facts_by_split
from torch_imf.transforms import AddInverse

MASK_SIZES = [80, 10, 10]


def stock(size=100, **kwargs):
    # Distinct facts over 12 entities and 4 relations, as PyTorch Geometric has them.
    torch.manual_seed(0)
    code = torch.randperm(12 * 12 * 4)[:size]
    edge_index = torch.stack([code // 48, code % 12])
    return Data(edge_index=edge_index, edge_type=code // 12 % 4, **kwargs)


def split(data):
    parts = data.edge_index.split(MASK_SIZES, dim=1), data.edge_type.split(MASK_SIZES)
    return [Data(edge_index=x, edge_type=y) for x, y in zip(*parts, strict=True)]


def with_splits(data, names):
    out = Data(num_nodes=12)
    for name, part in zip(names, split(data), strict=True):
        out[f"{name}_edge_index"], out[f"{name}_edge_type"] = part.edge_index, part.edge_type
    both = AddInverse()(Data(**data.to_dict(), num_relations=4))
    out.edge_index, out.edge_type = both.edge_index, both.edge_type
    return out


def facts(data):
    return {name: set(map(tuple, fact.t().tolist())) for name, fact in facts_by_split(data).items()}


def test_random_split():
    data = stock(num_nodes=14, x=torch.rand(14, 3), x_text=torch.rand(14, 2))
    data.text_mask = torch.arange(14) < 9
    data.edge_index, data.edge_type = (
        torch.cat([data.edge_index, data.edge_index[:, :20]], dim=1),  # Of which some repeat.
        torch.cat([data.edge_type, data.edge_type[:20]]),
    )
    out = to_graph(data, seed=3)
    check_graph(out)
    assert [int(out[mask].sum()) for mask in MASKS] == MASK_SIZES
    assert (out.num_nodes, out.num_relations, out.num_edges) == (14, 4, 100)
    found = facts(out)
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    assert set.union(*found.values()) == set(zip(head, rel, tail, strict=True))
    assert not found["unsplit facts"]
    assert facts(to_graph(data, seed=3)) == found != facts(to_graph(data, seed=4))
    assert set(out.edge_type[out.train_mask].tolist()) == {0, 1, 2, 3}
    x_dict, mask_dict = modalities(out)
    assert list(x_dict) == ["node", "text"] and int(mask_dict["text"].sum()) == 9


@pytest.mark.parametrize(
    "make",
    [
        split,
        lambda data: dict(zip(("train", "valid", "test"), split(data), strict=True)),
        lambda data: with_splits(data, ("train", "valid", "test")),
        lambda data: with_splits(data, ("train", "val", "test")),
        lambda data: Data(
            **data.to_dict(),
            **{m: (torch.arange(100) // 10).clamp(min=7) == 7 + i for i, m in enumerate(MASKS)},
        ),
    ],
)
def test_ready_splits(make):
    data = stock()
    expected = [x.edge_index for x in split(data)]
    out = to_graph(make(data))
    assert (out.num_nodes, out.num_relations) == (12, 4)
    for mask, edge_index in zip(MASKS, expected, strict=True):
        assert torch.equal(out.edge_index[:, out[mask]], edge_index)


@pytest.mark.parametrize("given", [None, 4])
def test_inverse_triples_do_not_leak(given):
    out = to_graph(inverse(), num_relations=given)
    assert out.num_relations == 4 and out.num_edges == 100
    train = TripletIndex.from_data(out, out.train_mask)
    head, tail = out.edge_index[:, out.test_mask]
    assert not train.contains(head, out.edge_type[out.test_mask], tail).any()


def inverse():
    data = stock()
    return Data(
        edge_index=torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1),
        edge_type=torch.cat([data.edge_type, data.edge_type + 4]),
    )


def test_hetero_data():
    data = HeteroData()
    data["film"].x = torch.ones(5, 3)
    data["person"].num_nodes = 4
    data["film", "by", "person"].edge_index = torch.tensor([[0, 1, 2, 3, 4], [0, 1, 2, 3, 0]])
    data["person", "rev_by", "film"].edge_index = torch.tensor([[0, 1], [0, 1]])
    data["film", "cites", "film"].edge_index = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    out = to_graph(data, shares=(0.6, 0.2, 0.2))
    assert out.node_ids[4:6] == ["film:4", "person:0"] and out.num_nodes == 9
    data["person"].node_names = ["Ann", "Bob", "Cid", "Dan"]
    assert to_graph(data).node_names[4:6] == ["film:4", "Ann"]
    assert out.rel_ids == ["by", "cites"]
    assert (4, 0, 5) in set.union(*facts(out).values()) and out.num_edges == 10
    assert to_hetero(out).edge_types == [("film", "by", "person"), ("film", "cites", "film")]
    data["film", "by", "film"].edge_index = torch.tensor([[0], [1]])  # Of that name, too.
    names = ["film__by__person", "cites", "film__by__film"]
    assert to_graph(data, shares=(0.6, 0.2, 0.2)).rel_ids == names
    data["film", "by", "place"].edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"'place'\), but not all nodes: set their 'num_nodes'"):
        to_graph(data)
    assert out.x_film.sum() == 15 and out.film_mask.tolist() == [True] * 5 + [False] * 4


def hetero(high, **kwargs):
    data = HeteroData()
    data["film"].num_nodes, data["person"].num_nodes = 5, kwargs.pop("num_persons", 3)
    for name in ("by", "for"):
        index = torch.tensor([[0, 1, 2], [0, 1, high]])
        data["film", name, "person"].edge_index = index
    for name, value in kwargs.items():
        data["film", "by", "person"][name] = value
    return data


def flags(*sizes):
    return dict(zip(MASKS, (torch.ones(size, dtype=torch.bool) for size in sizes), strict=False))


@pytest.mark.parametrize(
    "given, kwargs, match",
    [
        (stock(**flags(100, 100)), {}, r"has \['train_mask', 'val_mask'\], but lacks others"),
        (stock(**flags(99, 100, 100)), {}, r"'train_mask' needs .* of shape \[100\]"),
        (
            stock(),
            {"num_relations": 3},
            "facts of relations from 'num_relations' .3. on are no inv",
        ),
        (stock(), {"num_relations": True}, "'num_relations' needs to be .*got True"),
        (stock(), {"num_relations": "4"}, "'num_relations' needs to be .*got '4'"),
        (stock(num_nodes=9), {}, r"'edge_index' holds ids outside \[0, 9\)"),
        (stock(num_nodes=12.5), {}, "'num_nodes' needs to be a whole number .*got 12.5"),
        (Data(edge_index=-stock().edge_index, edge_type=stock().edge_type), {}, "ids outside"),
        (Data(edge_index=[[0], [1]], edge_type=torch.zeros(1)), {}, "the tensors 'edge_index'"),
        (hetero(3), {}, "'edge_index' of .*, for 'person' holds ids outside"),
        (hetero(2, num_persons=None), {}, "'num_nodes' of 'person' needs to be a whole number"),
        (hetero(2, **flags(3, 3, 3)), {}, "Only some of the edge types have a 'train_mask'"),
        (stock(), {"shares": (2, -0.5, -0.5)}, "Invalid 'shares' argument"),
        (stock(), {"shares": (0.9, 0.1, 0)}, "Invalid 'shares' argument"),
    ],
)
def test_nothing_is_lost_without_a_word(given, kwargs, match):
    with pytest.raises(ValueError, match=match):
        to_graph(given, **kwargs)


@pytest.mark.parametrize("name", ["node_names", "x"])
def test_splits_of_other_nodes(name):
    x = list("abcdefghijkl") if name == "node_names" else torch.rand(12, 3)
    for values, differ in (
        ([x, x, x], False),
        ([x, x, [*reversed(x)]], True),
        ([None, x, x], True),
    ):
        parts = split(stock())
        for part, value in zip(parts, values, strict=True):
            part[name] = torch.stack(value) if name == "x" and isinstance(value, list) else value
        if not differ:
            assert len(to_graph(parts)[name.replace("x", "x_node")]) == 12
            continue
        with pytest.raises(ValueError, match=f"need to be of the same '{name}"):
            to_graph(parts)


def test_masks_over_nodes_are_no_splits():
    out = to_graph(stock(num_nodes=14, **flags(14)))
    assert [int(out[mask].sum()) for mask in MASKS] == MASK_SIZES


def test_an_edge_is_in_one_split():
    data = stock()
    masks = {name: torch.ones(data.num_edges, dtype=torch.bool) for name in MASKS}
    with pytest.raises(ValueError, match=f"{data.num_edges} edges are in several of the masks"):
        to_graph(stock(**masks))


class OneGraph(InMemoryDataset):
    def __init__(self, *parts):
        super().__init__()
        self.data, self.slices = self.collate(list(parts))


def test_datasets_and_errors():
    parts = split(stock())
    out = to_graph([OneGraph(part) for part in parts])
    assert torch.equal(out.edge_index, to_graph(parts).edge_index)
    for given, match in (
        (parts[:2], "Expected one graph, or those of three splits .got 2"),
        ({"train": parts[0], "dev": parts[1]}, "'train', 'val' and 'test' .got .'train', 'dev'"),
        (OneGraph(*parts), "got a 'OneGraph'"),
        (Data(edge_index=parts[0].edge_index), "'edge_type' .E., the relation of each edge"),
        (Data(**parts[0].to_dict(), edge_label_index=parts[0].edge_index), "RandomLinkSplit"),
        ([1, 2, 3], "Expected a graph of PyTorch Geometric .got a 'int'"),
        (HeteroData(), "has no edges"),
        (Data(edge_index=torch.ones(2, 0).long(), edge_type=torch.ones(0).long()), "no facts"),
    ):
        with pytest.raises(ValueError, match=match):
            to_graph(given)
    for given in (stock(), parts, OneGraph(stock())):
        with pytest.raises(ValueError, match="'torch_imf.data.to_graph' makes one"):
            fit(TransE(12, 4, 8), given)


@pytest.mark.parametrize("cls", [TransE, ComplEx, DistMult, RotatE])
def test_models_of_pyg(cls):
    data = to_graph(stock())
    torch.manual_seed(2)
    model = cls(data.num_nodes, data.num_relations, 16)
    before = evaluate(model, data, "train")["mrr"]
    history = fit(model, data, epochs=20, lr=0.02, batch_size=32, patience=None, progress=False)
    assert history[-1]["loss"] < history[0]["loss"]
    assert evaluate(model, data, "train")["mrr"] > before + 0.02
