import pytest
import torch

from torch_imf.registry import classes, resolve


@pytest.fixture(params=list(classes("fusion").values()))
def fusion(request):
    return request.param({"s": 4, "t": 6}, 8).eval()


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


def test_errors(fusion, refuses):
    s, t = torch.randn(5, 4), torch.randn(5, 6)
    refuses(
        ("expects modalities of sizes", lambda: fusion({"s": s})),
        ("expects modalities of sizes", lambda: fusion({"s": s, "t": t[:, :5]})),
        ("disagree on the number of entities", lambda: fusion({"s": s, "t": t[:4]})),
        (f"{type(fusion).__name__} needs at least one", lambda: type(fusion)({}, 8)),
    )


@pytest.mark.parametrize("name", ["imf", "mutan", "adamf"])
def test_by_name(name):
    assert str(resolve("fusion", name, {"s": 4}, 8)).lower().startswith(f"{name}fusion({{'s': 4}}")
