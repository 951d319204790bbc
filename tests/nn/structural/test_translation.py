import torch

from torch_imf.nn import StructuralEncoder


def test_energy_and_its_inverse(fake):
    encoder = StructuralEncoder(fake.num_nodes, fake.num_relations, 8).eval()
    x = encoder.encode(fake)
    assert x.size() == (fake.num_nodes, 8) and not x.requires_grad
    head, rel, tail = fake.edge_index[0, :5], fake.edge_type[:5], fake.edge_index[1, :5]
    energy = encoder.energy(x, head, rel, tail)
    expected = [
        float((x[h] + encoder.rel_emb.weight[r].detach() - x[t]).abs().sum())
        for h, r, t in zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True)
    ]
    assert torch.allclose(energy, torch.tensor(expected))
    assert torch.allclose(encoder.energy(x, tail, rel + fake.num_relations, head), energy)
    assert torch.allclose(encoder.predict(head, rel).gather(1, tail[:, None])[:, 0], -energy)
    base = encoder.rel_embedding().chunk(2)
    assert torch.equal(base[0], -base[1])
