import pytest
import torch
from torch_geometric.nn import GATConv

from torch_imf.nn.structural import StructuralEncoder, graph_attention
from torch_imf.nn.structural.graph_attention import GraphAttention, Neighbors, weighted_sum


def random_graph(num_edges=60, num_nodes=12, num_types=3):
    # Some edges occur twice, or lead from a node to itself; the last nodes have none.
    return torch.randint(num_nodes - 2, (2, num_edges)), torch.randint(num_types, (num_edges,))


@pytest.mark.parametrize("num_edges", [0, 60])
def test_neighbors(num_edges):
    edge_index, edge_type = random_graph(num_edges)
    out = Neighbors.of(edge_index, edge_type, 12)
    expected = [(i, i, -1) for i in range(12)]
    for i, j, k in torch.cat([edge_index, edge_type.view(1, -1)]).t().tolist():
        expected += [(i, j, k)] if i != j else []
    edges = torch.stack([out.source, out.target, out.edge_type]).t().tolist()
    assert sorted(map(tuple, edges)) == sorted(expected)
    for index, ptr in ((out.target, out.ptr), (out.source[out.perm], out.perm_ptr)):
        assert torch.equal(index, index.sort()[0])
        assert [index.tolist().index(i) for i in range(12)] == ptr.tolist()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_weighted_sum_equals_that_of_messages(chunk, monkeypatch):
    monkeypatch.setattr(graph_attention, "CHUNK", chunk)
    neighbors = Neighbors.of(*random_graph(), 12)
    x = torch.randn(12, 2, 3, dtype=torch.double, requires_grad=True)
    alpha = torch.rand(neighbors.source.numel(), 2, dtype=torch.double, requires_grad=True)
    message = alpha.unsqueeze(-1) * x[neighbors.source]
    expected = torch.zeros_like(x).index_add(0, neighbors.target, message)
    out, weight = weighted_sum(x, alpha, neighbors), torch.randn_like(x)
    assert torch.allclose(out, expected)
    for a, b in zip(
        torch.autograd.grad((out * weight).sum(), [x, alpha]),
        torch.autograd.grad((expected * weight).sum(), [x, alpha]),
        strict=True,
    ):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("edge_dim", [None, 5])
def test_graph_attention_equals_gat_conv(edge_dim):
    edge_index, edge_type = random_graph()
    conv = GraphAttention(8, 4, heads=2, edge_dim=edge_dim)
    assert str(conv) == "GraphAttention(8, 4, heads=2)"
    plain = GATConv(8, 4, heads=2, edge_dim=edge_dim, fill_value=0.0)
    torch.nn.init.normal_(conv.bias)
    plain.load_state_dict(conv.state_dict())
    x, type_emb = torch.randn(12, 8, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    if edge_dim is None:
        out, expected = conv(x, Neighbors.of(edge_index, edge_type, 12)), plain(x, edge_index)
    else:
        out = conv(x, Neighbors.of(edge_index, edge_type, 12), type_emb)
        expected = plain(x, edge_index, type_emb[edge_type])
    assert torch.allclose(out, expected, atol=1e-6)

    weight = torch.randn_like(out)
    inputs = [x] if edge_dim is None else [x, type_emb]
    for a, b in zip(
        torch.autograd.grad((out * weight).sum(), [*inputs, *conv.parameters()]),
        torch.autograd.grad((expected * weight).sum(), [*inputs, *plain.parameters()]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_registered_graph_is_sorted_once(fake, monkeypatch):
    calls = []
    neighbors = Neighbors.of
    monkeypatch.setattr(Neighbors, "of", lambda *args: calls.append(args) or neighbors(*args))
    encoder = StructuralEncoder(fake.num_nodes, fake.num_relations, 8)
    first = encoder.encode(fake)
    encoder(), encoder()
    assert len(calls) == 1
    given = encoder(encoder.edge_index.clone(), encoder.edge_type)
    assert torch.equal(given, first) and len(calls) == 2

    data = fake.clone()
    data.train_mask[data.train_mask.nonzero()[:50]] = False
    other = encoder.encode(data)
    assert len(calls) == 3 and not torch.allclose(other, first)
