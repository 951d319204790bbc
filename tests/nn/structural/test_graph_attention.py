import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call
from torch_geometric.nn import GATConv

from torch_imf.nn import StructuralEncoder
from torch_imf.nn.structural import graph_attention


@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("is_paper", [False, True])
@pytest.mark.parametrize("edge_attention", [False, True])
def test_an_encoder_is_a_stack_of_gat_convs(monkeypatch, same, edge_attention, is_paper, chunk):
    monkeypatch.setattr(graph_attention, "CHUNK", chunk)
    # Some edges occur twice, or lead from a node to itself; the last nodes have none.
    edge_index, edge_type = torch.randint(10, (2, 60)), torch.randint(6, (60,))
    form = {"normalize": not is_paper, "residual": not is_paper}
    encoder = StructuralEncoder(12, 3, 8, edge_attention=edge_attention, **form)
    x, rel = encoder.node_emb.weight, encoder.rel_embedding()
    for i, conv in enumerate(encoder.convs):
        torch.nn.init.normal_(conv.bias)
        plain = GATConv(8, 2, heads=4, edge_dim=encoder.edge_dim, fill_value=0.0)
        assert set(plain.state_dict()) == set(conv.state_dict())
        x = x if i == 0 else F.elu(x)
        args = (edge_index, rel[edge_type]) if edge_attention else (edge_index,)
        out = functional_call(plain, dict(conv.named_parameters()), (x, *args))
        x = out if is_paper else x + out
    params = dict(encoder.named_parameters())
    if not edge_attention:
        del params["rel_emb.weight"]
    expected = x if is_paper else F.normalize(x, dim=-1)
    same(encoder(edge_index, edge_type), expected, list(params.values()), atol=1e-5)
