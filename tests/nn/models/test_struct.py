import pytest
import torch

from torch_imf import fit
from torch_imf.nn import IMF, KGE, RSME, AdaMF, StructuralEmbedding


class Table(torch.nn.Module):
    def __init__(self, num_nodes, dropout=0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(num_nodes, 16))
        self.dropout = dropout

    def forward(self):
        return 2 * torch.dropout(self.weight, self.dropout, self.training)


@pytest.mark.parametrize("cls", [IMF, KGE, AdaMF, RSME])
@pytest.mark.parametrize("freeze", [False, True])
def test_embeddings_to_start_from(fake, build, cls, freeze):
    x = torch.randn(fake.num_nodes, 16)
    struct = StructuralEmbedding(x, freeze=True) if freeze else x
    model = build(cls, 16, struct=struct)
    assert torch.equal(model.embed()["struct"], x)
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    assert torch.equal(model.embed()["struct"], x) == freeze
    model.reset_parameters()
    assert torch.equal(model.embed()["struct"], x)
    assert not any(key.startswith("struct") for key in model.state_dict())
    assert len(model.objectives()[0].parameters) == sum(1 for _ in model.parameters()) - freeze


@pytest.mark.parametrize("cls", [IMF, AdaMF])
@pytest.mark.parametrize("freeze", [False, True])
def test_embeddings_from_a_module(fake, build, cls, freeze):
    module = Table(fake.num_nodes)
    before = module.weight.clone()
    struct = StructuralEmbedding(module, freeze=True) if freeze else module
    model = build(cls, 16, struct=struct)
    index = torch.tensor([3, 1])
    assert torch.equal(model.embed()["struct"], 2 * before)
    assert torch.equal(model.embed(index)["struct"], 2 * before[index])
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    assert torch.equal(module.weight, before) == freeze
    assert torch.equal(model.embed()["struct"], 2 * before) == freeze
    assert not model.node_emb.weight.requires_grad


def test_a_frozen_module_is_called_once(fake, build):
    module = Table(fake.num_nodes, dropout=0.5)
    model = build(IMF, 16, struct=StructuralEmbedding(module, freeze=True)).train()
    assert torch.equal(model.encode()["struct"], 2 * module.weight)
    assert module.training and module.weight.requires_grad  # It is left as it was.


def test_relations_to_start_from(fake, build):
    rel_emb = torch.randn(2 * fake.num_relations, 16)
    model = build(IMF, 16, struct=StructuralEmbedding(rel_emb=rel_emb))
    assert torch.equal(model.rel_emb.weight, rel_emb) and model.node_emb.weight.requires_grad
    own = build(IMF, 16, struct=StructuralEmbedding(rel_emb=rel_emb), shared_relations=False)
    assert torch.equal(own.rel_emb["struct"].weight, rel_emb)
    assert not torch.equal(own.rel_emb["text"].weight, rel_emb)


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_structure_that_is_left_out_is_not_trained(fake, build, cls, tmp_path):
    model = build(cls, struct=False, loss="ce")
    assert "struct" not in model.views and "struct" not in model.fusion.in_channels
    before = model.node_emb.weight.clone()
    ((_, params, loss_fn),) = model.objectives()
    loss_fn(fake.edge_index[0, :6], fake.edge_type[:6], fake.edge_index[1, :6]).backward()
    assert not any(p is model.node_emb.weight for p in params)
    settings = {"lr": 0.01, "checkpoint": tmp_path / "run.pt", "progress": False}
    fit(model, fake, 1, **settings)
    assert torch.equal(model.node_emb.weight, before)
    other = build(cls, struct=False, loss="ce")
    assert [entry["epoch"] for entry in fit(other, fake, 2, **settings)] == [1, 2]


def test_errors(fake, build):
    assert str(StructuralEmbedding()) == "StructuralEmbedding(freeze=False)"
    with pytest.raises(ValueError, match=r"'init' need to be finite and of shape \[\d+, 16\]"):
        build(IMF, 16, struct=torch.zeros(fake.num_nodes, 8))
    rel_emb = torch.full((2 * fake.num_relations, 16), float("inf"))
    with pytest.raises(ValueError, match="'rel_emb' need to be finite and of shape"):
        build(KGE, 16, struct=StructuralEmbedding(rel_emb=rel_emb))
    with pytest.raises(ValueError, match="'struct' needs to be a tensor or a module"):
        build(KGE, 16, struct=torch.zeros(fake.num_nodes, 16).numpy())
    with pytest.raises(ValueError, match="'freeze' needs the embeddings"):
        StructuralEmbedding(freeze=True)
    with pytest.raises(ValueError, match="nothing but structure"):
        build(KGE, struct=False)
    with pytest.raises(ValueError, match="'views' need to be distinct ones of"):
        build(IMF, struct=False, views=["struct"])
