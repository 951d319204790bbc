import pytest
import torch
from torch_geometric.data import Data

from torch_imf.transforms import DropModality


def test_drop_modality():
    mask = torch.arange(20) < 10
    data = Data(num_nodes=20, x_text=torch.ones(20, 3) * mask[:, None], text_mask=mask)
    transform = DropModality("text", 0.3, seed=1)
    assert str(transform) == "DropModality('text', ratio=0.3, seed=1)"
    out = transform(data)
    assert int(out.text_mask.sum()) == 7
    assert not (out.text_mask & ~mask).any()
    assert torch.equal(out.x_text.any(dim=1), out.text_mask)
    assert torch.equal(out.text_mask, transform(data).text_mask)
    assert int(data.text_mask.sum()) == 10

    assert not DropModality("text", 1.0)(data).text_mask.any()
    out = DropModality("text", 0.5)(Data(num_nodes=4, x_text=torch.ones(4, 1)))
    assert int(out.text_mask.sum()) == 2


def test_drop_modality_errors():
    with pytest.raises(ValueError, match="'ratio' needs to be in"):
        DropModality("text", 1.5)
    with pytest.raises(ValueError, match="holds no modality 'audio'"):
        DropModality("audio", 0.5)(Data(num_nodes=2, x_text=torch.ones(2, 1)))
