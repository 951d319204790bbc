import pytest
import torch


@pytest.fixture
def random_norms():
    """Gives the batch normalisations of a scorer statistics of their own."""

    def draw(scorer):
        for norm in scorer.norms:
            for x in (norm.running_mean, norm.bias.data):
                torch.nn.init.normal_(x)
            for x in (norm.running_var, norm.weight.data):
                torch.nn.init.uniform_(x, 0.5, 2.0)

    return draw
