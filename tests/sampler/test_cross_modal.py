import pytest
import torch
import torch.nn.functional as F

from torch_imf.sampler import CrossModalAttention


def test_equals_the_equation():
    x_dict = {"visual": torch.randn(7, 5), "text": torch.randn(7, 3)}
    mask = torch.arange(7) != 2
    att = CrossModalAttention(2, x_dict, {"visual": mask}, hidden_channels=8, temperature=0.5)
    assert str(att) == "CrossModalAttention(2, {'visual': 5, 'text': 3}, hidden_channels=8)"
    assert not any(name.startswith("x_") for name in att.state_dict())
    rel_type, tail_index = torch.tensor([0, 3, 1]), torch.tensor([4, 2, 0])
    key_index = torch.tensor([2, 6, 5, 1])
    out = att(rel_type, tail_index, key_index)
    assert out.size() == (3, 4)
    for i, (r, t) in enumerate(zip(rel_type, tail_index, strict=True)):
        rel = att.rel_emb(r)
        beta = att.att(rel).softmax(dim=0).tolist()
        for j, c in enumerate(key_index):
            expected, pairs = 0.0, iter(beta)
            for p in x_dict:
                for q in x_dict:
                    weight = next(pairs)
                    query = (1 + rel) * att.query_lins[p](x_dict[p][t])
                    key = att.key_lins[q](x_dict[q][c])
                    has_both = (p == "text" or mask[t]) and (q == "text" or mask[c])
                    cos = F.cosine_similarity(query, key, dim=0)
                    expected = expected + weight * cos * bool(has_both) / 0.5
            assert torch.isclose(out[i, j], expected, atol=1e-5)


def test_gradient_is_finite_without_modalities():
    att = CrossModalAttention(1, {"visual": torch.randn(4, 3)}, {"visual": torch.zeros(4).bool()})
    out = att(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.arange(4))
    out.sum().backward()
    assert (out == 0).all()
    assert all(p.grad.isfinite().all() for p in att.parameters())
    before = [p.clone() for p in att.parameters()]
    att.reset_parameters()
    assert not any(map(torch.equal, before, att.parameters()))


def test_bad_input():
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match="need to be positive .got 1, 64 and 0"):
        CrossModalAttention(1, {"visual": x}, temperature=0)
    ones = torch.ones(4, dtype=torch.bool)
    for x_dict, mask_dict in (
        ({}, None),
        ({"visual": x, "text": torch.randn(5, 3)}, None),
        ({"visual": x[0]}, None),
        ({"visual": x}, {"visual": ones[:3]}),
        ({"visual": x}, {"text": ones}),
    ):
        with pytest.raises(ValueError, match="of at least one modality, and masks"):
            CrossModalAttention(1, x_dict, mask_dict)
