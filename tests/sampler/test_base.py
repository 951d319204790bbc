import pytest
import torch

from torch_imf.sampler import Sampler, UniformSampler, classes, sampler_resolver


def test_sampler():
    sampler = Sampler(5, num_negatives=2)
    assert str(sampler) == "Sampler(5, num_negatives=2, index=None)"
    with pytest.raises(NotImplementedError):
        sampler(*torch.zeros(3, 1, dtype=torch.long))


def test_sampler_resolver():
    sampler = sampler_resolver("uniform", 5)
    assert isinstance(sampler, UniformSampler)
    assert sampler_resolver(sampler) is sampler
    with pytest.raises(ValueError, match="Could not resolve 'none'") as error:
        sampler_resolver("none")
    assert all(name in str(error.value) for name in classes)
