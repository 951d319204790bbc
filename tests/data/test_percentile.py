import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import mean_rank_percentile


def reference(head_index, rel_type, tail_index, x, mask, num_relations):
    x = x.double() - x[mask].double().mean(dim=0)
    facts = [
        (h, r, t)
        for h, r, t in zip(head_index.tolist(), rel_type.tolist(), tail_index.tolist(), strict=True)
        if mask[h] and mask[t]
    ]
    tails = sorted({t for _, _, t in facts})
    out = [[] for _ in range(num_relations)]
    for h, r, t in facts:
        score = F.cosine_similarity(x[h], x[tails])
        true = score[tails.index(t)]
        equal = (score - true).abs() < 1e-9
        rank = 1 + int(((score > true) & ~equal).sum()) + (int(equal.sum()) - 1) / 2
        out[r].append(rank / len(tails))
    return torch.tensor([sum(x) / len(x) if x else 1.0 for x in out])


@pytest.mark.parametrize("batch_size", [7, 1024])
def test_mean_rank_percentile(batch_size):
    head_index, tail_index = torch.randint(20, (2, 60))
    rel_type = torch.randint(3, (60,))
    x, mask = torch.randn(20, 5), torch.rand(20) < 0.8
    x[3], x[4], mask[3:5] = x[5], x[5], True  # Ties.
    x[~mask] = 100.0
    args = (head_index, rel_type, tail_index, x, mask, 4)
    out = mean_rank_percentile(*args, batch_size=batch_size)
    assert torch.allclose(out, reference(*args), atol=1e-6)
    assert out[3] == 1.0
    assert mean_rank_percentile(*args[:4], torch.zeros(20, dtype=torch.bool), 4).tolist() == 4 * [1]


def test_fake_relations_have_the_percentile_of_their_modality(fake):
    facts = fake.edge_subgraph(fake.train_mask)
    args = (facts.edge_index[0], facts.edge_type, facts.edge_index[1])
    out = mean_rank_percentile(*args, fake.x_visual, fake.visual_mask, fake.num_relations)
    assert out[2] < 0.2 and out[:2].min() > 0.3  # has_colour, next_to and after.
    assert out[3:].tolist() == [1.0, 1.0]  # Topics and sizes have no image.


def test_errors(fake):
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 2\)"):
        args = (fake.edge_index[0], fake.edge_type, fake.edge_index[1])
        mean_rank_percentile(*args, fake.x_visual, fake.visual_mask, 2)
