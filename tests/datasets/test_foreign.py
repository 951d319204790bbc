import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from torch_imf.data import to_frame
from torch_imf.datasets import MultimodalKG


def test_pykeen_by_name():
    pytest.importorskip("pykeen")
    data = MultimodalKG.from_files("pykeen:nations")[0]
    assert (data.num_nodes, data.num_relations, data.num_edges) == (14, 55, 1992)
    assert "usa" in data.node_ids
    with pytest.raises(ValueError, match="PyKEEN has no dataset 'nation'"):
        MultimodalKG.from_files("pykeen:nation")


def test_factories_of_pykeen():
    # As the package has them, with names and without.
    edges = torch.tensor([[i, 0, (i + step) % 9] for i in range(9) for step in (1, 2)])
    labels = np.array([[f"n{h}", f"r{r}", f"n{t}"] for h, r, t in edges.tolist()])
    named = SimpleNamespace(mapped_triples=edges, triples=labels)
    assert MultimodalKG.from_files(named)[0].node_ids[:2] == ["n0", "n1"]
    parts = [SimpleNamespace(mapped_triples=x) for x in (edges[:14], edges[14:16], edges[16:])]
    data = MultimodalKG.from_files(parts)[0]
    assert int(data.train_mask.sum()) == 14 and data.node_ids == list("012345678")


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


@pytest.mark.parametrize("name, package", [("pykeen:nations", "pykeen"), ("ogbl-biokg", "ogb")])
def test_what_is_not_installed(monkeypatch, name, package):
    monkeypatch.setattr("torch_imf.io.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf'run \'pip install "torch_imf\[{package}\]"'):
        MultimodalKG.from_files(name)
