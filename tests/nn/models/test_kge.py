import torch

from torch_imf.nn import KGE, RotatE


def test_kge(refuses):
    model = KGE(10, 3, 8, {"text": torch.ones(10, 2)}, scorer=RotatE(8))  # Features are not used.
    assert model.views == ["struct"] and model.rel_emb.weight.size() == (6, 4)
    assert torch.equal(model.encode()["struct"], model.node_emb.weight)
    index = torch.tensor([3, 1])
    assert torch.equal(model.encode(index)["struct"], model.node_emb.weight[index])
    before = model.node_emb.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, model.node_emb.weight)
    assert model.rel_emb.weight.abs().max() > 1  # Phases, not Xavier.
    refuses(("nothing but structure", lambda: KGE(10, 3, 8, struct=False)))
