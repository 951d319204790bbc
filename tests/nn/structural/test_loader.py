import pytest
import torch
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.nn.structural.loader import StructuralLoader
from torch_imf.transforms import AddInverse


def graph(fake):
    data = AddInverse()(fake.clone())
    keep = data.train_mask
    return Data(
        edge_index=data.edge_index[:, keep],
        edge_type=data.edge_type[keep],
        num_nodes=data.num_nodes,
    )


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_fact_once_with_negatives_that_are_none(fake, shuffle):
    data = graph(fake)
    loader = StructuralLoader(data, batch_size=50, shuffle=shuffle, num_negatives=3)
    assert str(loader) == f"StructuralLoader({data.num_edges}, batch_size=50, num_neighbors=None)"
    batches = list(loader)
    assert len(batches) == len(loader) == -(-data.num_edges // 50)
    head, rel, tail, neg = (torch.cat(x) for x in zip(*batches, strict=True))
    key = (head * data.num_nodes + tail) * 100 + rel
    expected = (data.edge_index[0] * data.num_nodes + data.edge_index[1]) * 100 + data.edge_type
    assert torch.equal(key.sort().values, expected.sort().values)
    assert torch.equal(key, expected) != shuffle
    index = TripletIndex(data.edge_index[0], data.edge_type, data.edge_index[1])
    assert neg.size() == (data.num_edges, 3)
    assert not index.contains(head.unsqueeze(1), rel.unsqueeze(1), neg).any()


def test_errors(fake):
    data = graph(fake)
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        StructuralLoader(data, batch_size=0)
    data.edge_index, data.edge_type = data.edge_index[:, :0], data.edge_type[:0]
    with pytest.raises(ValueError, match="empty set of triples"):
        StructuralLoader(data)
