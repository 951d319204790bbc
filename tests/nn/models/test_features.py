import torch

from torch_imf.nn.models.features import FrozenFeatures


def test_frozen_features():
    x, mask = torch.randn(6, 4), torch.tensor([1, 0, 1, 1, 0, 1]).bool()
    module = FrozenFeatures(x, mask, 3)
    assert str(module) == "FrozenFeatures(4, 3, coverage=4/6)"
    assert torch.equal(module.mask, mask)
    out = module()
    centred = x[mask] - x[mask].mean(0)
    assert torch.allclose(module.x, centred / centred.norm(dim=1).mean(), atol=1e-6)
    assert torch.allclose(out[mask], module.lin(module.x))
    assert torch.equal(out[~mask], module.missing.expand(2, 3))
    index = torch.tensor([[4, 0], [5, 1]])
    assert torch.allclose(module(index), out[index])
    assert set(module.state_dict()) == {"lin.weight", "lin.bias", "missing"}  # No features.

    module = FrozenFeatures(x, torch.ones(6, dtype=torch.bool), 3)
    assert torch.allclose(module(), module.lin(module.x))
    assert torch.allclose(module(index), module()[index])
    other = FrozenFeatures(100 * x + 7, torch.ones(6, dtype=torch.bool), 3)
    assert torch.allclose(module.x, other.x, atol=1e-5)


def test_frozen_features_learn():
    mask = torch.tensor([True, False, True])
    module = FrozenFeatures(torch.randn(3, 4), mask, 3)
    module()[:2].sum().backward()
    assert module.lin.weight.grad.abs().sum() > 0
    assert torch.equal(module.missing.grad, torch.ones(3))


def test_frozen_features_are_cast_once():
    module = FrozenFeatures(torch.randn(5, 4), torch.ones(5, dtype=torch.bool), 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = module()
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, module.lin(module.x))
        low = module._cast()
        assert module._cast() is low
        module.x.mul_(2)
        assert torch.equal(module._cast(), module.x.bfloat16())  # Not what features were before.
    assert torch.equal(module(), module.lin(module.x))  # Not in place of the features.
    assert set(module.state_dict()) == {"lin.weight", "lin.bias", "missing"}


def test_frozen_features_are_cast_for_training_too():
    module = FrozenFeatures(torch.randn(5, 4), torch.ones(5, dtype=torch.bool), 3)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            module()
        module().sum().backward()
    assert module.lin.weight.grad.isfinite().all()
