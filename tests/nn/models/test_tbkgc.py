import torch

from torch_imf.data import modalities
from torch_imf.nn import IKRL, TBKGC, TransE


def test_tbkgc_is_ikrl_and_the_energy_of_sums(fake):
    args = (fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    model, ikrl = TBKGC(*args), IKRL(*args)
    ikrl.load_state_dict(model.state_dict())
    head, rel, tail = fake.edge_index[0, :9], fake.edge_type[:9], fake.edge_index[1, :9]
    h, t = (sum(model.encode(index)["fused"].chunk(2, dim=-1)) for index in (head, tail))
    sums = TransE(8)(h, model.rel_emb(rel), t)
    assert torch.allclose(model(head, rel, tail), ikrl(head, rel, tail) + sums, atol=1e-5)
