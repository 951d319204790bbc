import pytest
import torch

from torch_imf.nn import IMFFusion, MutanFusion

SIZES = {"s": 4, "v": 6, "t": 5}


@pytest.fixture
def x_dict():
    return {name: torch.randn(7, size) for name, size in SIZES.items()}


@pytest.mark.parametrize("all_orders, bias", [(True, True), (False, True), (False, False)])
def test_imf_fusion_equals_equation_4(x_dict, all_orders, bias):
    fusion = IMFFusion(SIZES, 8, rank=2, latent_channels=3, all_orders=all_orders, bias=bias)
    assert any(name.endswith("bias") for name in fusion.state_dict()) == bias
    assert str(fusion) == "IMFFusion({'s': 4, 'v': 6, 't': 5}, 8, rank=2)"
    latent = fusion.latent(x_dict)
    expected = torch.zeros(7, 8)
    for rho in range(2):
        product = torch.ones(7, 8)
        for name, x in x_dict.items():
            assert torch.allclose(latent[name], (x @ fusion.lins[name].weight.t()).relu())
            weight = fusion.out_lins[name].weight.view(2, 8, 3)[rho]
            product = product * (float(all_orders) + latent[name] @ weight.t())
        expected = expected + product - float(all_orders)
    assert torch.allclose(fusion(x_dict), expected, atol=1e-6)


def test_imf_fusion_keeps_small_signals_in_low_precision():
    fusion = IMFFusion({"s": 32, "t": 32}, 16)
    x_dict = {name: 1e-3 * torch.randn(50, 32) for name in "st"}
    expected = fusion(x_dict)
    with torch.autocast("cpu", torch.bfloat16):
        out = fusion(x_dict).float()
    assert (out - expected).norm() < 0.02 * expected.norm()


def test_mutan_fusion_equals_its_equation(x_dict):
    fusion = MutanFusion(SIZES, 8, rank=2).eval()
    expected = torch.zeros(7, 8)
    for rho in range(2):
        product = torch.ones(7, 8)
        for name, x in x_dict.items():
            product = product * (x @ fusion.lins[name].weight.view(2, 8, -1)[rho].t()).relu()
        expected = expected + product
    assert torch.allclose(fusion(x_dict), expected.relu(), atol=1e-6)
    assert fusion.latent(x_dict) is x_dict


@pytest.mark.parametrize(
    "cls, kwargs", [(IMFFusion, {"all_orders": x}) for x in (True, False)] + [(MutanFusion, {})]
)
def test_a_missing_modality_is_as_if_there_were_none(x_dict, cls, kwargs):
    others = {"s": x_dict["s"], "t": x_dict["t"]}
    fusion, alone = (cls(x, 8, **kwargs).eval() for x in (SIZES, {"s": 4, "t": 5}))
    alone.load_state_dict(fusion.state_dict(), strict=False)
    out = fusion(x_dict, {"v": torch.zeros(7, dtype=torch.bool)})
    assert torch.allclose(out, alone(others), atol=1e-6)


def test_rank(refuses):
    refuses(("'rank' needs to be positive", lambda: IMFFusion({"s": 4}, 8, rank=0)))
