import pytest
import torch

from torch_imf.nn import AdaMFFusion, SideBySide, StackFusion, WeightedFusion

SIZES = {"struct": 6, "visual": 6, "text": 4}


def reference(fusion, x_dict, mask_dict, i):
    """Eq. 4-5 for one entity, modality by modality in double precision."""
    names, e, weight = list(SIZES), {}, {}
    for k, name in enumerate(names):
        e[name] = x_dict[name][i].double()
        if name in fusion.lins:
            lin = fusion.lins[name]
            e[name] = lin.weight.double() @ e[name] + lin.bias.double()
        product = torch.zeros(6).double()
        if fusion.att is not None:
            product = fusion.att[k % fusion.att.size(0)].double() * e[name].tanh()
        there = name not in mask_dict or mask_dict[name][i]
        weight[name] = there * (product if fusion.elementwise else product.sum().expand(6)).exp()
    total = sum(weight.values())
    alpha = torch.stack([weight[name] / total for name in names])
    return sum(alpha[k] * e[name] for k, name in enumerate(names)), alpha


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
def test_adamf_fusion(elementwise, shared, adaptive):
    fusion = AdaMFFusion(SIZES, 6, elementwise, shared, adaptive)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    x_dict = {name: torch.randn(5, size) for name, size in SIZES.items()}
    mask_dict = {
        "visual": torch.tensor([True, False, True, False, True]),
        "text": torch.tensor([True, True, False, False, True]),
    }
    out, alpha = fusion(x_dict, mask_dict, return_attention_weights=True)
    assert out.size() == (5, 6) and alpha.size() == ((5, 3, 6) if elementwise else (5, 3))
    assert torch.allclose(alpha.sum(dim=1), torch.ones(()))
    assert torch.equal(fusion(x_dict, mask_dict), out)
    for i in range(5):
        expected, weight = reference(fusion, x_dict, mask_dict, i)
        assert torch.allclose(out[i].double(), expected, atol=1e-6)
        weight = weight if elementwise else weight[:, 0]
        assert torch.allclose(alpha[i].double(), weight, atol=1e-6)
    if not adaptive:  # The mean of what is there.
        assert torch.allclose(alpha[3].flatten(1 - alpha[3].dim())[0].max(), torch.ones(()))


def test_adamf_fusion_without_any_modality():
    fusion = AdaMFFusion({"visual": 4, "text": 4}, 4)
    x_dict = {name: torch.randn(3, 4, requires_grad=True) for name in ("visual", "text")}
    mask = torch.tensor([True, False, True])
    out, alpha = fusion(x_dict, {"visual": mask, "text": mask}, return_attention_weights=True)
    assert out[1].tolist() == [0, 0, 0, 0] and alpha[1].tolist() == [0, 0]
    out.sum().backward()
    assert all(x.grad.isfinite().all() and (x.grad[1] == 0).all() for x in x_dict.values())
    assert fusion.att.grad.isfinite().all()


def test_adamf_fusion_parts():
    fusion = AdaMFFusion({"struct": 4, "text": 4}, 4, shared=True)
    assert str(fusion) == "AdaMFFusion({'struct': 4, 'text': 4}, 4)"
    assert fusion.att.size() == (1, 4) and len(fusion.lins) == 0


def test_stack_fusion(refuses):
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
    for sizes in ({}, {"struct": 4}, {"visual": 4, "text": 4}, {"struct": 4, "visual": 5}):
        refuses(("needs 'struct' and at least one modality", lambda x=sizes: StackFusion(x)))


def test_side_by_side(refuses):
    fusion = SideBySide({"struct": 4, "visual": 4, "text": 4})
    assert str(fusion) == "SideBySide({'struct': 4, 'visual': 4, 'text': 4}, 16)"
    assert len(list(fusion.parameters())) == 0
    x_dict = {name: torch.randn(3, 4) for name in ("struct", "visual", "text")}
    s, v, t = x_dict.values()
    assert torch.allclose(fusion(x_dict), torch.cat([s, v, t, s + v + t], dim=-1))
    mask_dict = {
        "visual": torch.tensor([True, False, False]),
        "text": torch.tensor([True, True, False]),
    }
    out = fusion(x_dict, mask_dict)
    mean = (s[1] + t[1]) / 2
    assert torch.allclose(out[1], torch.cat([s[1], mean, t[1], s[1] + mean + t[1]]))
    assert torch.allclose(out[2], torch.cat([s[2], s[2], s[2], 3 * s[2]]))
    # Without structure, of an entity without anything:
    fusion = SideBySide({"visual": 4, "text": 4})
    out = fusion({"visual": v, "text": t}, mask_dict)
    assert torch.allclose(out[2], torch.cat([v[2], t[2], v[2] + t[2]]))
    refuses(
        ("needs modalities of one size", lambda: SideBySide({"struct": 4, "visual": 5})),
        ("SideBySide needs at least one modality", lambda: SideBySide({})),
    )


def test_weighted_fusion(refuses):
    fusion = WeightedFusion({"struct": 4, "visual": 4, "text": 4}, 4)
    assert fusion.weight == {"struct": 0.2, "visual": 0.4, "text": 0.4}
    assert len(list(fusion.parameters())) == 0
    s, v, t = torch.randn(3, 2, 4)
    x_dict = {"struct": s, "visual": v, "text": t}
    assert torch.allclose(fusion(x_dict), 0.2 * s + 0.4 * v + 0.4 * t)
    out = fusion(x_dict, {"text": torch.tensor([True, False])})
    assert torch.allclose(out[1], (s[1] + 2 * v[1]) / 3)
    own = WeightedFusion({"a": 4, "b": 4}, 4, {"b": 3, "a": 1})
    assert torch.allclose(own({"a": s, "b": t}), s / 4 + 3 * t / 4)
    for weight in ({"a": 1.0}, {"a": 1.0, "b": 0.0}):
        refuses(
            ("'weight' needs a positive", lambda x=weight: WeightedFusion({"a": 4, "b": 4}, 4, x))
        )
