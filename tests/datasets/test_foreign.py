import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from torch_imf.data import to_frame, write_triples
from torch_imf.datasets import MultimodalKG


def facts_of(*factories):
    return [sorted(map(tuple, x.triples.tolist())) for x in factories]


def own_facts(data):
    frame = to_frame(data)
    parts = (frame[frame["split"] == x] for x in ("train", "val", "test"))
    return [sorted(x[["head_id", "relation_id", "tail_id"]].itertuples(False)) for x in parts]


@pytest.mark.parametrize(
    "name, sizes",
    [("nations", (14, 55, 1992)), ("kinships", (104, 25, 10686)), ("umls", (135, 46, 6529))],
)
def test_pykeen_by_name(name, sizes):
    # Those that come with the package.
    pytest.importorskip("pykeen")
    from pykeen.datasets import dataset_resolver

    data = MultimodalKG.from_files(f"pykeen:{name}")[0]
    assert (data.num_nodes, data.num_relations, data.num_edges) == sizes
    dataset = dataset_resolver.make(name)
    parts = dataset.training, dataset.validation, dataset.testing
    assert own_facts(data) == facts_of(*parts)
    with pytest.raises(ValueError, match="PyKEEN has no dataset 'nation'"):
        MultimodalKG.from_files("pykeen:nation")


def test_there_and_back_by_pykeen(fake, tmp_path):
    pytest.importorskip("pykeen")
    from pykeen.triples import CoreTriplesFactory, TriplesFactory

    write_triples(fake, tmp_path)
    train = TriplesFactory.from_path(tmp_path / "train.txt")
    known = {
        "entity_to_id": train.entity_to_id,
        "relation_to_id": train.relation_to_id,
    }
    others = [TriplesFactory.from_path(tmp_path / f"{x}.txt", **known) for x in ("valid", "test")]
    parts = [train, *others]
    assert facts_of(*parts) == own_facts(fake)
    assert own_facts(MultimodalKG.from_files(parts)[0]) == own_facts(fake)
    assert own_facts(MultimodalKG.from_folder(tmp_path)[0]) == own_facts(fake)
    # One to be divided, and one without names:
    data = MultimodalKG.from_files(train)[0]
    assert sorted(sum(own_facts(data), [])) == facts_of(train)[0]
    numbers = CoreTriplesFactory.create(train.mapped_triples)
    assert MultimodalKG.from_files(numbers)[0].num_edges == data.num_edges


def test_factories_of_pykeen():
    # As the package has them, with names and without.
    edges = torch.tensor([[i, 0, (i + step) % 9] for i in range(9) for step in (1, 2)])
    labels = np.array([[f"n{h}", f"r{r}", f"n{t}"] for h, r, t in edges.tolist()])
    named = SimpleNamespace(mapped_triples=edges, triples=labels)
    assert MultimodalKG.from_files(named)[0].node_ids[:2] == ["n0", "n1"]
    parts = [SimpleNamespace(mapped_triples=x) for x in (edges[:14], edges[14:16], edges[16:])]
    data = MultimodalKG.from_files(parts)[0]
    assert int(data.train_mask.sum()) == 14 and data.node_ids == list("012345678")


def test_graphs_of_pyg_go_elsewhere(fake):
    for given in (fake, HeteroData(), [fake] * 3):
        with pytest.raises(ValueError, match=r"PyTorch Geometric, which 'torch_imf.data.to_graph"):
            MultimodalKG.from_files(given)


def test_ogb_by_name(monkeypatch, tmp_path):
    def part(*index):
        fact = np.array([[i, i % 2, (i + 1) % 5] for i in index])
        head, relation, tail = fact.T
        types = {"head_type": ["drug"] * len(fact), "tail_type": ["gene"] * len(fact)}
        return {"head": head, "relation": relation, "tail": tail, **types}

    class LinkPropPredDataset:
        def __init__(self, name, root):
            self.name = name

        def get_edge_split(self):  # By pickle, as OGB does.
            split = {"train": part(*range(5), *range(5, 9)), "valid": part(1), "test": part(2)}
            if self.name == "ogbl-collab":
                split = {x: {"edge": y["head"]} for x, y in split.items()}
            torch.save(split, tmp_path / "split.pt")
            return torch.load(tmp_path / "split.pt")

    ogb, inner = ModuleType("ogb"), ModuleType("ogb.linkproppred")
    inner.LinkPropPredDataset = LinkPropPredDataset
    monkeypatch.setitem(sys.modules, "ogb", ogb)
    monkeypatch.setitem(sys.modules, "ogb.linkproppred", inner)
    monkeypatch.setattr("torch_imf.datasets.foreign.require", lambda *args: None)
    data = MultimodalKG.from_files("ogbl-biokg")[0]
    assert data.node_types[data.node_ids.index("drug:3")] == ["drug"]
    assert set(to_frame(data)["tail_types"]) == {"gene"}
    with pytest.raises(ValueError, match="'ogbl-collab' is no graph of relations"):
        MultimodalKG.from_files("ogbl-collab")


@pytest.mark.parametrize("name", ["ogbl-biokg", "ogbl-wikikg2"])
def test_files_of_ogb(name, monkeypatch, tmp_path, capsys):
    # As the package finds them once they are downloaded.
    pytest.importorskip("ogb")
    import ogb.linkproppred
    import pandas as pd

    folder = Path(ogb.linkproppred.__file__).parent
    about = pd.read_csv(folder / "master.csv", index_col=0, keep_default_na=False)[name]
    root = tmp_path / "data" / name.replace("-", "_")
    is_typed = name == "ogbl-biokg"

    def write(path, rows, **options):
        path = root / "raw" / f"{path}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False, **{"header": False, **options})

    triples = np.array([[i, i % 2, (i + step) % 9] for i in range(9) for step in (1, 2)])
    ends = triples[:, [0, 2]]
    place = "relations/drug___binds___gene" if is_typed else "."
    write(f"{place}/edge", ends)
    write(f"{place}/num-edge-list", [len(ends)])
    write(f"{place}/edge_reltype", triples[:, 1:2])
    write("num-node-list", [9])
    write("num-node-dict", {"drug": [9], "gene": [9]}, header=True)
    write("triplet-type-list", [["drug", "binds", "gene"]])
    (root / f"RELEASE_v{about['version']}.txt").write_text("")
    (root / "processed").mkdir()
    split = root / "split" / about["split"]
    split.mkdir(parents=True)
    for x, rows in (("train", triples[:14]), ("valid", triples[14:16]), ("test", triples[16:])):
        part = dict(zip(("head", "relation", "tail"), rows.T.copy(), strict=True))
        if is_typed:
            part |= {"head_type": ["drug"] * len(rows), "tail_type": ["gene"] * len(rows)}
        if x != "train":
            part["tail_neg"] = np.zeros((len(rows), 3), dtype=np.int64)
        torch.save(part, split / f"{x}.pt", pickle_protocol=4)
    monkeypatch.chdir(tmp_path)
    ids = ("drug:{}", "{}", "gene:{}") if is_typed else 3 * ("{}",)
    expected = [
        sorted(tuple(y.format(x) for x, y in zip(row, ids, strict=True)) for row in rows.tolist())
        for rows in (triples[:14], triples[14:16], triples[16:])
    ]
    for _ in range(2):  # The second time, from what the package has written.
        data = MultimodalKG.from_files(name)[0]
        assert own_facts(data) == expected
    assert (root / "processed" / "data_processed").exists()
    assert capsys.readouterr().out == ""  # As what goes there is what was asked for.
    if is_typed:
        assert data.node_types[data.node_ids.index("drug:3")] == ["drug"]
    for is_zip in (True, False):  # As of new and of old versions of PyTorch.
        entry = {"head": Path("x")}
        torch.save(entry, split / "train.pt", _use_new_zipfile_serialization=is_zip)
        with pytest.raises(ValueError, match="holds 'pathlib.*', which is refused"):
            MultimodalKG.from_files(name)


@pytest.mark.parametrize("name, package", [("pykeen:nations", "pykeen"), ("ogbl-biokg", "ogb")])
def test_what_is_not_installed(monkeypatch, name, package):
    monkeypatch.setattr("torch_imf.io.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf'run \'pip install "torch_imf\[{package}\]"'):
        MultimodalKG.from_files(name)
