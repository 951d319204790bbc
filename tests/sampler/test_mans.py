import pytest
import torch

from torch_imf.sampler import MANSSampler

N = 9


@pytest.fixture
def batch():
    """Tails with three negatives each."""
    tail_index = torch.randint(N, (2000,))
    zero = torch.zeros_like(tail_index)
    return tail_index, MANSSampler(N, num_negatives=3)(zero, zero, tail_index)


def test_mans_sampler(batch):
    sampler = MANSSampler(N, num_negatives=3, modalities=("visual", "text"), share=0.3)
    assert str(sampler) == (
        "MANSSampler(9, num_negatives=3, index=None, modalities=['visual', 'text'], warmup=0)"
    )
    tail_index, neg_index = batch
    tail = tail_index.unsqueeze(1).expand_as(neg_index)
    out = sampler.mix(tail_index, neg_index)
    assert list(out) == ["struct", "visual", "text"]
    is_mixed = out["struct"] == tail
    assert abs(is_mixed.float().mean() - 0.3) < 0.03
    # Ordinary negatives replace an entity as a whole, the others one modality of two:
    changed = {name: x == neg_index for name, x in out.items()}
    for x in out.values():
        assert torch.equal(x[~is_mixed], neg_index[~is_mixed])
        assert ((x == neg_index) | (x == tail)).all()
    assert torch.equal(changed["visual"] ^ changed["text"], is_mixed)
    assert abs(changed["visual"][is_mixed].float().mean() - 0.5) < 0.05
    # What is no negative stays none:
    mask = torch.rand(neg_index.size()) < 0.5
    out = sampler.mix(tail_index, neg_index.masked_fill(mask, -1))
    assert all(torch.equal(x == -1, mask) for x in out.values())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_two_stages(batch, share):
    sampler = MANSSampler(N, share=share, warmup=2)
    tail_index, neg_index = batch
    for step in range(4):
        out = sampler.mix(tail_index, neg_index)
        is_mixed = out["struct"] == tail_index.unsqueeze(1)
        assert is_mixed.all() if step < 2 or share else not is_mixed.any()
        assert torch.equal(out["visual"], neg_index)
        # Only steps of training count:
        sampler.eval().mix(tail_index, neg_index)
        sampler.train()
    assert sampler.num_steps == 4
    other = MANSSampler(N, share=0.5, warmup=2)
    other.load_state_dict(sampler.state_dict())
    assert other.num_steps == 4 and other.share == share


def test_missing_modalities_are_not_replaced(batch):
    mask = torch.arange(N) % 3 > 0
    sampler = MANSSampler(N, modalities=["visual", "text"], mask_dict={"visual": mask}, share=1.0)
    tail_index, neg_index = batch
    out = sampler.mix(tail_index, neg_index)
    tail = tail_index.unsqueeze(1)
    is_mixed = out["struct"] == tail
    is_visual, is_text = (is_mixed & (out[name] == neg_index) for name in ("visual", "text"))
    both = mask[tail] & mask[neg_index]
    assert not is_visual[~both].any()
    assert abs(is_visual[both].float().mean() - 0.5) < 0.05
    assert abs(is_text.float().mean() - 0.5) < 0.05
    is_ordinary = ~is_visual & ~is_text
    assert all(torch.equal(x[is_ordinary], neg_index[is_ordinary]) for x in out.values())


def test_adapt():
    sampler = MANSSampler(N)
    score, neg_score = torch.tensor([1.0, 2.0]), torch.tensor([[0.0, 1.0, 3.0], [1.0, 4.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, True, False]])
    for x, is_mixed, share in (
        (neg_score, mask, (1 + 2) / (2 + 4)),
        (neg_score - 10, mask, 1 / 6),
        (neg_score, ~mask, 3 / 4),
        (neg_score, mask & ~mask, 0.5),
    ):
        sampler.adapt(score, x, is_mixed)
        assert sampler.share == torch.tensor(share)


@pytest.mark.parametrize(
    "message, kwargs",
    [
        *(("others than 'struct'", {"modalities": x}) for x in ([], ["struct", "visual"])),
        *(("'share' .* in .0, 1. and 'warmup'", x) for x in ({"share": 1.1}, {"warmup": -1})),
        (r"masks of shape \[9\] of \['visual'\]", {"mask_dict": {"text": torch.ones(N).bool()}}),
        (r"masks of shape \[9\] of \['visual'\]", {"mask_dict": {"visual": torch.ones(3) > 0}}),
    ],
)
def test_errors(message, kwargs):
    with pytest.raises(ValueError, match=message):
        MANSSampler(N, **kwargs)
