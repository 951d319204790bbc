import pytest
import torch

from torch_imf.nn import MutanFusion


def test_mutan_fusion_equals_its_equation():
    fusion = MutanFusion({"s": 4, "v": 6}, 8, rank=2).eval()
    assert str(fusion) == "MutanFusion({'s': 4, 'v': 6}, 8, rank=2)"
    x_dict = {"s": torch.randn(7, 4), "v": torch.randn(7, 6)}
    expected = torch.zeros(7, 8)
    for rho in range(2):
        product = torch.ones(7, 8)
        for name, x in x_dict.items():
            product = product * (x @ fusion.lins[name].weight.view(2, 8, -1)[rho].t()).relu()
        expected = expected + product
    assert torch.allclose(fusion(x_dict), expected.relu(), atol=1e-6)
    assert fusion.latent(x_dict) is x_dict
    out = fusion(x_dict, {"v": torch.zeros(7, dtype=torch.bool)})
    alone = (x_dict["s"] @ fusion.lins["s"].weight.t()).relu().view(7, 2, 8).sum(1)
    assert torch.allclose(out, alone, atol=1e-6)


def test_mutan_fusion_errors():
    with pytest.raises(ValueError, match="at least one modality and a positive rank"):
        MutanFusion({}, 8)
