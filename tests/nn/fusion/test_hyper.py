import torch

from torch_imf.nn import HyperFusion

SIZES = {"struct": 10, "numeric": 2, "text": 2, "visual": 2}


def inputs(num_nodes=6):
    mask_dict = {name: torch.rand(num_nodes) < 0.5 for name in ("numeric", "text", "visual")}
    return {name: torch.randn(num_nodes, size) for name, size in SIZES.items()}, mask_dict


def test_hyper_fusion(refuses):
    fusion = HyperFusion(SIZES).eval()
    assert str(fusion) == f"HyperFusion({SIZES}, noise=0.2)" and fusion.out_channels == 8
    x_dict, mask_dict = inputs()
    out = fusion(x_dict, mask_dict)
    for i in range(6):
        first, s_1, s_2, v_2, t_2 = x_dict["struct"][i].chunk(5)
        there = [x for x in ("numeric", "visual") if mask_dict[x][i]]
        v_1 = sum(x_dict[name][i] for name in there) / max(len(there), 1)
        t_1 = x_dict["text"][i] * mask_dict["text"][i]
        expected = torch.cat([first, s_1 + s_2, v_1 + v_2, t_1 + t_2])
        assert torch.allclose(out[i], expected, atol=1e-6)
    alone = HyperFusion({"struct": 10, "text": 2}).eval()
    out = alone({name: x_dict[name] for name in ("struct", "text")})
    assert torch.equal(out[:, 6:], x_dict["struct"][:, 8:])
    refuses(
        ("'struct' to be five times as large", lambda: HyperFusion({"struct": 4, "text": 2})),
        ("'struct' to be five times as large", lambda: HyperFusion({"text": 2})),
        ("'noise' needs to be in", lambda: HyperFusion(SIZES, 1.5)),
    )


def test_noise_is_of_training_and_of_a_share():
    x_dict, mask_dict = inputs(2000)
    fusion = HyperFusion(SIZES, 0.3)
    noisy = (fusion(x_dict, mask_dict) != fusion.eval()(x_dict, mask_dict)).view(2000, 4, 2)
    assert not noisy[:, 0].any()
    assert abs(noisy[:, 1:, 0].float().mean() - 0.3) < 0.05


def test_reconstruction_loss():
    fusion = HyperFusion(SIZES).eval()
    x_dict, mask_dict = inputs()
    total = 0.0
    parts = x_dict["struct"].view(6, 5, 2)
    text = x_dict["text"] * mask_dict["text"][:, None]
    weight = torch.stack([mask_dict["numeric"], mask_dict["visual"]], dim=1).float()
    mean = torch.stack([x_dict["numeric"], x_dict["visual"]], dim=1) * weight.unsqueeze(-1)
    mean = mean.sum(dim=1) / weight.sum(dim=1, keepdim=True).clamp(min=1)
    given = [parts[:, 1], mean, text]
    there = [torch.ones(6) > 0, weight.sum(dim=1) > 0, mask_dict["text"]]
    for i, lin in enumerate(fusion.lins):
        x = torch.cat([parts[:, 2 + k] if k == i else given[k] for k in range(3)], dim=-1)
        error = (lin(x) - given[i]).square().mean(dim=1)[there[i]]
        total += error.sum() / max(len(error), 1) / 3
    out = fusion.reconstruction_loss(x_dict, mask_dict)
    assert torch.allclose(out, total)
