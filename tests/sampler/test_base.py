import pytest
import torch

from torch_imf.registry import class_names, resolve
from torch_imf.sampler import Sampler, UniformSampler


def test_sampler():
    sampler = Sampler(5, num_negatives=2)
    assert str(sampler) == "Sampler(5, num_negatives=2, index=None)"
    with pytest.raises(NotImplementedError):
        sampler(*torch.zeros(3, 1, dtype=torch.long))


def test_sampler_resolver():
    sampler = resolve("sampler", "uniform", 5)
    assert isinstance(sampler, UniformSampler)
    assert resolve("sampler", sampler) is sampler
    with pytest.raises(ValueError, match="Could not resolve 'none'") as error:
        resolve("sampler", "none")
    assert all(name in str(error.value) for name in class_names("sampler"))
