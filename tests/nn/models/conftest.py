import pytest
import torch

from torch_imf.data import modalities
from torch_imf.nn import KGE


@pytest.fixture
def build(fake):
    """Builds a model of the fake graph, the same one for the same arguments."""

    def make(cls, channels=8, data=fake, **kwargs):
        torch.manual_seed(0)
        features = modalities(data) if cls is not KGE else ()
        return cls(data.num_nodes, data.num_relations, channels, *features, **kwargs)

    return make


@pytest.fixture
def batch(fake):
    """Six facts with five negatives each, some of which are none."""
    facts = fake.edge_index[0, :6], fake.edge_type[:6], fake.edge_index[1, :6]
    neg_index = (facts[2].unsqueeze(1) + 1 + torch.randperm(100)[:5]) % fake.num_nodes
    neg_index[0, 1:3] = -1
    return [*facts, neg_index]
