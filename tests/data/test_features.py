import pytest
import torch
from torch_geometric.data import Data

from torch_imf.data import modalities


def test_modalities():
    mask = torch.tensor([True, False, True])
    data = Data(num_nodes=3, x_text=torch.randn(3, 4), x_audio=torch.randn(3, 2), text_mask=mask)
    x_dict, mask_dict = modalities(data)
    assert list(x_dict) == list(mask_dict) == ["audio", "text"]
    assert torch.equal(x_dict["text"], data.x_text)
    assert mask_dict["audio"].all()
    assert torch.equal(mask_dict["text"], mask)
    assert modalities(Data(num_nodes=3)) == ({}, {})


def test_modalities_errors():
    with pytest.raises(ValueError, match=r"'text' need to be floats of shape \[3, \*\]"):
        modalities(Data(num_nodes=3, x_text=torch.randn(2, 4)))
    x = torch.zeros(3, 4)
    x[1, 2] = float("nan")
    with pytest.raises(
        ValueError, match=r"'text' hold NaN or infinite values in 1 rows \(first: 1"
    ):
        modalities(Data(num_nodes=3, x_text=x))
    with pytest.raises(ValueError, match="mask of modality 'text' needs to be boolean"):
        modalities(Data(num_nodes=3, x_text=torch.zeros(3, 4), text_mask=torch.ones(3)))
