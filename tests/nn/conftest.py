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
def facts(fake):
    """The first facts of the fake graph."""

    def first(size=None, data=fake):
        return data.edge_index[0, :size], data.edge_type[:size], data.edge_index[1, :size]

    return first


@pytest.fixture
def batch(fake, facts):
    """Six facts with five negatives each, some of which are none."""
    neg_index = (facts(6)[2].unsqueeze(1) + 1 + torch.randperm(100)[:5]) % fake.num_nodes
    neg_index[0, 1:3] = -1
    return [*facts(6), neg_index]


@pytest.fixture
def bare(fake):
    """The fake graph, in which the first entity has no modality."""
    data = fake.clone()
    for name in modalities(data)[0]:
        data[f"{name}_mask"] = data[f"{name}_mask"].index_fill(0, torch.tensor([0]), False)
    return data


@pytest.fixture
def known():
    """Returns what a model knows of an entity, by modality, in double precision."""

    def find(model, node):
        out = {"struct": model.node_emb.weight[node].double()}
        for name, module in model.features.items():
            if module.mask[node]:
                weight, bias = module.lin.weight.double(), module.lin.bias.double()
                weight = weight if module.plan is None else weight + module.plan.double()
                out[name] = weight @ module.x[module.row[node]].double() + bias
        return out

    return find


@pytest.fixture
def same():
    """Checks that two scalars or tensors are equal, and so are their gradients."""

    def check(out, expected, inputs, **kwargs):
        assert torch.allclose(out, expected, **kwargs)
        # An upstream factor shows that what is saved for the backward pass is scaled by it:
        weight = torch.randn_like(out)
        grads = [torch.autograd.grad(x, inputs, weight.to(x.dtype)) for x in (out, expected)]
        for grad, other in zip(*grads, strict=True):
            assert torch.allclose(grad, other, **kwargs)

    return check
