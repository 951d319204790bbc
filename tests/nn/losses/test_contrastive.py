import pytest
import torch

from torch_imf.nn import Contrastive, contrastive_loss, info_nce_loss


@pytest.mark.parametrize("pairs", [None, [("struct", "text")]])
def test_contrastive(pairs, refuses):
    x_dict = {name: torch.randn(6, 4) for name in ("struct", "text", "visual")}
    mask_dict = {"text": torch.rand(6) < 0.7}
    out = Contrastive(0.5, pairs=pairs)(x_dict, mask_dict)
    assert torch.allclose(out, 0.5 * contrastive_loss(x_dict, mask_dict, pairs))
    out = Contrastive(0.5, 0.1, pairs)(x_dict, mask_dict)
    assert torch.allclose(out, 0.5 * info_nce_loss(x_dict, mask_dict, 0.1, pairs))
    assert str(Contrastive(0.1)) == "Contrastive(weight=0.1, temperature=None)"
    refuses(
        ("'weight' cannot be negative", lambda: Contrastive(-1.0)),
        ("'temperature' needs to be positive", lambda: Contrastive(temperature=0.0)),
    )
