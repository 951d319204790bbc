import copy

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


def test_types_of_entities(fake, tmp_path):
    # An entity counts as those of its types do on average.
    fake, prior = copy.copy(fake), TypePrior().fit(fake)
    fake.node_types = [
        [] if i == 0 else ["even"] * (i % 2 == 0) + ["all"] for i in range(fake.num_nodes)
    ]
    view = TypePrior().fit(fake)
    query = torch.tensor([0, 0]), torch.tensor([1, fake.num_relations])
    count, found = (x(*query)["types"].expm1() for x in (prior, view))
    index = torch.arange(fake.num_nodes)
    mean = count[:, 1:].mean(dim=1, keepdim=True).expand_as(count).clone()
    even = (index % 2 == 0) & (index > 0)
    mean[:, even] = (mean[:, even] + count[:, even].mean(dim=1, keepdim=True)) / 2
    mean[:, 0] = 0
    assert torch.allclose(found, count + mean, atol=1e-4)
    other = TypePrior()
    other.load_state_dict(view.state_dict())
    assert torch.equal(other(*query)["types"], view(*query)["types"])
    view.extend(1, {}, {}, torch.tensor([[0], [1], [fake.num_nodes]]))
    assert torch.allclose(view(*query)["types"][:, :-1].expm1(), found, atol=1e-4)
