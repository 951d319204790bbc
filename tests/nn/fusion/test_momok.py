import torch

from torch_imf.nn import MoMoKFusion


def test_momok_fusion():
    sizes = {"struct": 4, "text": 6}
    fusion = MoMoKFusion(sizes, 5, rank=3).eval().double()
    assert str(fusion) == f"MoMoKFusion({sizes}, 5, rank=3)"
    x_dict = {name: torch.randn(4, size, dtype=torch.double) for name, size in sizes.items()}
    mask = torch.tensor([True, False, True, False])
    out = fusion(x_dict, {"text": mask})
    for i in range(4):
        expected = 0.0
        for rank in range(3):
            e = {}
            for name in ["struct", *(["text"] if mask[i] else [])]:
                lin, row = fusion.lins[name], slice(5 * rank, 5 * rank + 5)
                e[name] = (lin.weight[row] @ x_dict[name][i] + lin.bias[row]).relu()
            alpha = torch.stack([fusion.att @ x for x in e.values()]).softmax(dim=0)
            expected = expected + sum(a * x for a, x in zip(alpha, e.values(), strict=True))
        assert torch.allclose(out[i], expected)
    nothing = fusion(x_dict, {"text": mask, "struct": mask})
    assert nothing[1].abs().max() == 0 and torch.equal(nothing[0], out[0])
