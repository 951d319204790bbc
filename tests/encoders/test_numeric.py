import math

import pytest
import torch

from torch_imf.encoders import NumericEncoder


def test_numeric_encoder():
    encoder = NumericEncoder()
    assert str(encoder) == "NumericEncoder(span=100.0)"

    index = torch.tensor([0, 1, 2, 0, 3])
    attributes = ["year", "year", "year", "area", "area"]
    values = torch.tensor([1900.0, 1950.0, 2000.0, 1.0, 1e6])
    x, mask = encoder(index, attributes, values, num_nodes=5)

    assert x.size() == (5, 4)
    assert mask.tolist() == [True] * 4 + [False]
    assert x.dtype == torch.float32
    assert x[:, 2].tolist() == [1, 0, 0, 1, 0]  # area
    assert x[:, 3].tolist() == [1, 1, 1, 0, 0]  # year
    assert x[4].tolist() == [0, 0, 0, 0]

    z = math.asinh(50 / (50 / 1.349))  # The quartiles are 1925 and 1975.
    assert torch.allclose(x[:3, 1], torch.tensor([-z, 0, z]))
    assert torch.allclose(x[0, 0], -x[3, 0])  # Areas are on a logarithmic scale.
    assert torch.equal(x, encoder(index, attributes, values, num_nodes=5)[0])


def test_numeric_encoder_outliers():
    values = torch.cat([torch.linspace(1900, 2000, 101), torch.tensor([-383.0])])
    x = NumericEncoder()(torch.arange(102), ["born"] * 102, values, num_nodes=102)[0][:, 0]
    assert x.abs().max() < 6
    assert x.argmin() == 101
    assert x[:101].diff().gt(0).all()
    assert x[100] - x[0] > 2  # The outlier does not squeeze the others.


def test_numeric_encoder_constant_and_repeated():
    index = torch.tensor([0, 0, 1, 2])
    x, _ = NumericEncoder()(index, ["a", "a", "a", "b"], torch.tensor([1.0, 3.0, 2.0, 7.0]), 3)
    assert torch.allclose(x[:2, 0], torch.zeros(2), atol=1e-6)  # Symmetric around the median.
    assert x[2].tolist() == [0, 0, 0, 1]

    x, mask = NumericEncoder()(torch.empty(0, dtype=torch.long), [], torch.empty(0), num_nodes=3)
    assert x.size() == (3, 0) and not mask.any()


def test_numeric_encoder_bad_input():
    encoder = NumericEncoder()
    index = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="one entity and one attribute per value"):
        encoder(index, ["a"], torch.ones(2), num_nodes=2)
    with pytest.raises(ValueError, match="'b' of entity 1 is not finite"):
        encoder(index, ["a", "b"], torch.tensor([1.0, math.nan]), num_nodes=2)
    with pytest.raises(ValueError, match="entities 0 to 1, but there are 1"):
        encoder(index, ["a", "b"], torch.ones(2), num_nodes=1)
    with pytest.raises(ValueError, match="'span' needs to be greater than 1"):
        NumericEncoder(span=0.5)


def test_numeric_encoder_transforms_what_comes_later():
    encoder = NumericEncoder()
    index = torch.arange(4)
    values = torch.tensor([1.0, 2.0, 1e6, 5.0])
    x, _ = encoder(index, ["a", "a", "a", "b"], values, num_nodes=4)
    later, mask = encoder.transform(
        torch.tensor([0, 1, 1, 2]), ["a", "b", "a", "c"], torch.tensor([2.0, 5.0, -1.0, 1.0]), 3
    )
    assert torch.equal(later[0], x[1])
    assert later[1].tolist() == [x[0, 0].item(), 0, 1, 1]  # No less than all before.
    assert mask.tolist() == [True, True, False]  # Nobody has seen "c".
