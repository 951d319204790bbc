import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.registry import class_names, resolve
from torch_imf.sampler import Sampler


def test_by_name(build, facts):
    index = TripletIndex(*facts(20))
    for name in class_names("sampler"):
        sampler = build(name, index, 1)
        assert isinstance(sampler, Sampler) and resolve("sampler", sampler) is sampler
        assert str(sampler).startswith(f"{name}(12, num_negatives=1, index={index}")
        assert "\n" not in str(sampler)
    short = resolve("sampler", "uniform", 12, index)
    assert type(short).__name__ == "UniformSampler"


@pytest.mark.parametrize("name", class_names("sampler"))
def test_errors(build, facts, name):
    triples, more = facts(20), torch.arange(13)
    index = TripletIndex(*triples)
    for match, kwargs in (
        ("'num_nodes' needs to be at least 2", {"num_nodes": 1}),
        ("'num_negatives' needs to be positive", {"num_negatives": 0}),
        ("'num_negatives' needs to be positive", {"num_negatives": -1}),
        ("ids of 13 entities", {"index": TripletIndex(more, more % 3, more)}),
    ):
        with pytest.raises(ValueError, match=match):
            build(name, **{"index": index, **kwargs})
    sampler = build(name, index)
    with pytest.raises(ValueError, match=r"one shape \[B\] .got \[\[5\], \[5\], \[4\]\]"):
        sampler(more[:5], more[:5] % 3, more[:4])
    with pytest.raises(ValueError, match="one shape"):
        sampler(*[x.view(-1, 1) for x in triples])
