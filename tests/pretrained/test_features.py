import pytest
import torch

from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.pretrained import ProjectedFeatures


@pytest.mark.parametrize("full", [False, True])
def test_projected_features(full):
    mask = torch.ones(6, dtype=torch.bool) if full else torch.tensor([1, 0, 1, 1, 0, 0]).bool()
    frozen = FrozenFeatures(torch.randn(6, 12), mask, 4)
    module = ProjectedFeatures(frozen.lin(frozen.x).detach(), mask)
    assert str(module) == f"ProjectedFeatures(4, coverage={6 if full else 3}/6)"
    module.missing.data.copy_(frozen.missing)
    index = torch.tensor([[5, 0, 2], [1, 1, 3]])
    for args in ((), (index,)):
        torch.testing.assert_close(module(*args), frozen(*args))
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(
                module(*args).float(), frozen(*args).float(), rtol=0.05, atol=0.05
            )
    assert torch.equal(module.mask, mask) and module(index).size() == (2, 3, 4)
    # Projections are part of its state, and none of its parameters:
    assert list(module.state_dict()) == ["missing", "x"]
    assert [name for name, _ in module.named_parameters()] == ["missing"]
    before = module.x.clone()
    module.reset_parameters()
    assert torch.equal(module.x, before) and not torch.equal(module.missing, frozen.missing)


def test_errors():
    mask = torch.tensor([True, False])
    with pytest.raises(ValueError, match="2 projections for 1 entities"):
        ProjectedFeatures(torch.zeros(2, 3), mask)
    with pytest.raises(ValueError, match="their mask a boolean vector"):
        ProjectedFeatures(torch.zeros(1, 3), mask.long())
