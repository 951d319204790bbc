import pytest
import torch

from torch_imf.nn import StackFusion


def test_stack_fusion():
    fusion = StackFusion({"struct": 4, "visual": 4, "text": 4})
    assert str(fusion) == "StackFusion({'struct': 4, 'visual': 4, 'text': 4}, 8)"
    assert len(list(fusion.parameters())) == 0
    x_dict = {name: torch.randn(2, 2, 4) for name in ("text", "struct", "visual")}
    s, v, t = (x_dict[name] for name in ("struct", "visual", "text"))
    assert torch.allclose(fusion(x_dict), torch.cat([s, (v + t) / 2], dim=-1))

    mask_dict = {
        "visual": torch.tensor([[True, True], [False, False]]),
        "text": torch.tensor([[True, False], [True, False]]),
    }
    out = fusion(x_dict, mask_dict)
    assert torch.equal(out[..., :4], s)
    expected = torch.stack([(v + t)[0, 0] / 2, v[0, 1], t[1, 0], s[1, 1]]).view(2, 2, 4)
    assert torch.allclose(out[..., 4:], expected)
    assert torch.allclose(fusion(x_dict, {"text": mask_dict["text"]})[0, 1, 4:], v[0, 1])

    for sizes in ({}, {"struct": 4}, {"visual": 4, "text": 4}):
        with pytest.raises(ValueError, match="needs 'struct' and at least one modality"):
            StackFusion(sizes)
    with pytest.raises(ValueError, match="modalities of one size"):
        StackFusion({"struct": 4, "visual": 5})
