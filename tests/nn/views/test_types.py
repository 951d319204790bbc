import torch

from torch_imf.nn import TypePrior


def test_type_prior(fake):
    view = TypePrior().fit(fake)
    train = fake.train_mask
    (head, tail), rel = fake.edge_index[:, train], fake.edge_type[train]
    for r in range(2 * fake.num_relations):
        there = tail[rel == r] if r < fake.num_relations else head[rel == r - fake.num_relations]
        expected = there.bincount(minlength=fake.num_nodes).float().log1p()
        out = view(torch.tensor([3, 4]), torch.tensor([r, r]))["types"]
        assert torch.allclose(out, expected.expand(2, -1))
    assert str(view) == "TypePrior()"
