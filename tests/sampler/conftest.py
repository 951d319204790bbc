import pytest
import torch
from torch_geometric.nn.kge import TransE

from torch_imf.data.index import both_sides
from torch_imf.registry import lookup
from torch_imf.sampler import CrossModalAttention

N, R, K = 12, 3, 4


@pytest.fixture
def facts():
    """Random facts of 12 entities and 3 relations, then their inverses."""

    def draw(size, device=None):
        high = (N, R, N)
        return both_sides(*(torch.randint(x, (size,), device=device) for x in high), R)

    return draw


@pytest.fixture
def build():
    """Builds any sampler, of four negatives each."""

    def make(name, index, num_negatives=K, num_nodes=N):
        if index is None and name == "BernoulliSampler":
            pytest.skip("needs an index")
        x_dict = {"visual": torch.randn(N, 5), "text": torch.randn(N, 6)}
        kwargs = {
            "SharedSampler": {"chunk_size": 5},
            "KBGANSampler": {"generator": TransE(N, 2 * R, 8)},
            "MMRNSSampler": {"attention": CrossModalAttention(R, x_dict, temperature=1.0)},
        }.get(name, {})
        sizes = {"num_nodes": num_nodes, "num_negatives": num_negatives}
        return lookup("sampler", name)(index=index, **sizes, **kwargs)

    return make
