import math

import pytest
import torch

from torch_imf.encoders import NumericEncoder


def test_numeric_encoder():
    encoder = NumericEncoder()
    assert str(encoder) == "NumericEncoder(span=100.0)"
    attributes = ["year", "year", "year", "area", "area"]
    inputs = torch.tensor([0, 1, 2, 0, 3]), attributes, torch.tensor([1900.0, 1950, 2000, 1, 1e6])
    x, mask = encoder(*inputs, num_nodes=5)
    assert x.size() == (5, 4) and x.dtype == torch.float32
    assert mask.tolist() == [True] * 4 + [False]
    assert x[:, 2].tolist() == [1, 0, 0, 1, 0]  # area
    assert x[:, 3].tolist() == [1, 1, 1, 0, 0]  # year
    assert x[4].tolist() == [0, 0, 0, 0]
    z = math.asinh(50 / (50 / 1.349))  # The quartiles are 1925 and 1975.
    assert torch.allclose(x[:3, 1], torch.tensor([-z, 0, z]))
    assert torch.allclose(x[0, 0], -x[3, 0])  # Areas are on a logarithmic scale.


def test_outliers():
    values = torch.cat([torch.linspace(1900, 2000, 101), torch.tensor([-383.0])])
    x = NumericEncoder()(torch.arange(102), ["born"] * 102, values, num_nodes=102)[0][:, 0]
    assert x.abs().max() < 6 and x.argmin() == 101
    assert x[:101].diff().gt(0).all()
    assert x[100] - x[0] > 2  # The outlier does not squeeze the others.


def test_constant_and_repeated():
    index = torch.tensor([0, 0, 1, 2])
    x, _ = NumericEncoder()(index, ["a", "a", "a", "b"], torch.tensor([1.0, 3.0, 2.0, 7.0]), 3)
    assert torch.allclose(x[:2, 0], torch.zeros(2), atol=1e-6)  # Symmetric around the median.
    assert x[2].tolist() == [0, 0, 0, 1]
    x, mask = NumericEncoder()(torch.empty(0, dtype=torch.long), [], torch.empty(0), num_nodes=3)
    assert x.size() == (3, 0) and not mask.any()


@pytest.mark.parametrize(
    "attributes, last, num_nodes, match",
    [
        (["a"], 1.0, 2, "one entity and one attribute per value"),
        (["a", "b"], math.nan, 2, "'b' of entity 1 is not finite"),
        (["a", "b"], 1.0, 1, r"'index' holds ids outside \[0, 1\)"),
    ],
)
def test_bad_input(attributes, last, num_nodes, match):
    with pytest.raises(ValueError, match=match):
        NumericEncoder()(torch.tensor([0, 1]), attributes, torch.tensor([1.0, last]), num_nodes)
    with pytest.raises(ValueError, match="'span' needs to be greater than 1"):
        NumericEncoder(span=0.5)


def test_what_comes_later():
    encoder = NumericEncoder()
    values = torch.tensor([1.0, 2.0, 1e6, 5.0])
    x, _ = encoder(torch.arange(4), ["a", "a", "a", "b"], values, num_nodes=4)
    later, mask = encoder.transform(
        torch.tensor([0, 1, 1, 2]), ["a", "b", "a", "c"], torch.tensor([2.0, 5.0, -1.0, 1.0]), 3
    )
    assert torch.equal(later[0], x[1])
    assert later[1].tolist() == [x[0, 0].item(), 0, 1, 1]  # No less than all before.
    assert mask.tolist() == [True, True, False]  # Nobody has seen "c".
