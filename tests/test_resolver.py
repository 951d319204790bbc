import pytest

from torch_imf import nn
from torch_imf.datasets import Countries, FakeMMKG
from torch_imf.resolver import dataset_resolver, model_resolver


def test_dataset_resolver():
    assert isinstance(dataset_resolver("countries", visual=None), Countries)
    dataset = dataset_resolver("fake-mmkg", num_nodes=60)
    assert isinstance(dataset, FakeMMKG)
    assert dataset_resolver(dataset) is dataset
    with pytest.raises(ValueError, match="Could not resolve 'fb16k' among choices .*FB15K237"):
        dataset_resolver("fb16k")


def test_base_classes_are_exported_but_no_choices():
    assert issubclass(nn.JointKGE, nn.MultimodalKGE)
    for name in ("JointKGE", "MultimodalKGE"):
        assert name in nn.__all__
        with pytest.raises(ValueError, match=f"Could not resolve '{name}'"):
            model_resolver(name)
