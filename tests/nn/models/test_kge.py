import pytest
import torch

from torch_imf.nn import KGE, RotatE


def test_kge():
    model = KGE(10, num_relations=3, hidden_channels=8, scorer=RotatE(8))
    assert str(model) == "KGE(10, num_relations=3, hidden_channels=8)"
    assert model.views == ["struct"] and model.rel_emb.weight.size() == (6, 4)
    assert torch.equal(model.encode()["struct"], model.node_emb.weight)
    index = torch.tensor([3, 1])
    assert torch.equal(model.encode(index)["struct"], model.node_emb.weight[index])

    before = model.node_emb.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, model.node_emb.weight)
    assert model.rel_emb.weight.abs().max() > 1  # Phases, not Xavier.


@pytest.mark.parametrize("scorer", ["contextual", "tucker", "distmult"])
def test_kge_of_no_queries(scorer):
    model = KGE(20, 3, 8, scorer).eval()
    empty = torch.empty(0, dtype=torch.long)
    assert model.predict(empty, empty).size() == (0, 20)
    assert model(empty, empty, empty).size() == (0,)
