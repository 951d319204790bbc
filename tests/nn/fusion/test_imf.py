import pytest
import torch

from torch_imf.nn import IMFFusion


def test_imf_fusion_equals_equation_4():
    fusion = IMFFusion({"s": 4, "v": 6, "t": 5}, 8, rank=1, latent_channels=3)
    assert str(fusion) == "IMFFusion({'s': 4, 'v': 6, 't': 5}, 8, rank=1)"
    for lin in [*fusion.lins.values(), *fusion.out_lins.values()]:
        torch.nn.init.zeros_(lin.bias)  # The equation has none.
    x_dict = {"s": torch.randn(7, 4), "v": torch.randn(7, 6), "t": torch.randn(7, 5)}
    expected = torch.ones(7, 8)
    for name, x in x_dict.items():
        latent = (x @ fusion.lins[name].weight.t()).relu()
        expected = expected * (latent @ fusion.out_lins[name].weight.t())
    assert torch.allclose(fusion(x_dict), expected, atol=1e-6)


def test_imf_fusion_sums_ranks():
    fusion = IMFFusion({"s": 4, "t": 5}, 8, rank=3)
    x_dict = {"s": torch.randn(7, 4), "t": torch.randn(7, 5)}
    latent = fusion.latent(x_dict)
    assert all(x.size() == (7, 8) and x.min() >= 0 for x in latent.values())
    factors = [fusion.out_lins[name](x).view(7, 3, 8) for name, x in latent.items()]
    expected = sum(factors[0][:, i] * factors[1][:, i] for i in range(3))
    assert torch.allclose(fusion(x_dict), expected, atol=1e-6)

    # A missing modality is the factor one:
    out = fusion(x_dict, {"t": torch.zeros(7, dtype=torch.bool)})
    assert torch.allclose(out, factors[0].sum(1), atol=1e-6)


def test_imf_fusion_errors():
    with pytest.raises(ValueError, match="at least one modality and a positive rank"):
        IMFFusion({}, 8)
    with pytest.raises(ValueError, match="at least one modality and a positive rank"):
        IMFFusion({"s": 4}, 8, rank=0)
