import pytest
import torch

from torch_imf.nn import fusion as fusions
from torch_imf.registry import class_names, resolve


@pytest.fixture(params=class_names("fusion"))
def fusion(request):
    return getattr(fusions, request.param)({"s": 4, "t": 6}, 8).eval()


def test_any_leading_shape(fusion):
    x_dict = {"s": torch.randn(2, 3, 4), "t": torch.randn(2, 3, 6)}
    mask_dict = {"t": torch.tensor([[True, False, True], [False, True, True]])}
    out = fusion(x_dict, mask_dict)
    assert out.size() == (2, 3, 8)
    flat = fusion({k: x.flatten(0, 1) for k, x in x_dict.items()}, {"t": mask_dict["t"].flatten()})
    assert torch.allclose(out.flatten(0, 1), flat, atol=1e-6)


def test_masked_modality_has_no_influence(fusion):
    x_dict = {"s": torch.randn(5, 4), "t": torch.randn(5, 6)}
    mask_dict = {"t": torch.tensor([True, True, False, False, True])}
    out = fusion(x_dict, mask_dict)
    other = fusion({**x_dict, "t": torch.randn(5, 6)}, mask_dict)
    assert torch.equal(out[2:4], other[2:4])
    assert not torch.isclose(out[:2], other[:2]).all()


def test_errors(fusion):
    with pytest.raises(ValueError, match="expects modalities of sizes"):
        fusion({"s": torch.randn(5, 4)})
    with pytest.raises(ValueError, match="expects modalities of sizes"):
        fusion({"s": torch.randn(5, 4), "t": torch.randn(5, 5)})
    with pytest.raises(ValueError, match="disagree on the number of entities"):
        fusion({"s": torch.randn(5, 4), "t": torch.randn(4, 6)})


def test_fusion_resolver():
    assert isinstance(resolve("fusion", "imf", {"s": 4}, 8), fusions.IMFFusion)
    with pytest.raises(ValueError, match="Could not resolve 'sum' among choices .*IMFFusion"):
        resolve("fusion", "sum", {"s": 4}, 8)
