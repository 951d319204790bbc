import pytest

from torch_imf.data import modalities
from torch_imf.nn import IMF


@pytest.fixture
def build():
    r"""Builds a model of a graph and its modalities."""

    def build(data, cls=IMF, channels=8, **kwargs):
        return cls(data.num_nodes, data.num_relations, channels, *modalities(data), **kwargs)

    return build
