import pytest
import torch

from torch_imf.nn import N3, ComplEx, ContextualRelationalScorer, GatedScorer, RotatE
from torch_imf.nn.scorer import distance


def reference(scorer, head, rel, tail):
    """One fact, as its relation sees both ends."""
    gate = rel[-1].sigmoid()
    ends = [gate * x[:4] + (1 - gate) * x[4:] for x in (head, tail)]
    return scorer.scorer(ends[0][None], rel[None, :-1], ends[1][None])[0]


@pytest.mark.parametrize("cls", [ComplEx, RotatE, ContextualRelationalScorer])
@pytest.mark.parametrize("max_pairs", [1, 2**22])
def test_gated_scorer(same, monkeypatch, cls, max_pairs):
    monkeypatch.setattr(distance, "MAX_PAIRS", max_pairs)
    scorer = GatedScorer(cls(4)).double()
    assert str(scorer) == f"GatedScorer({scorer.scorer})"
    assert scorer.dot_product == (cls is ComplEx)
    head, tail = torch.randn(2, 5, 8, dtype=torch.double)
    rel = torch.randn(5, scorer.rel_channels, dtype=torch.double)
    inputs = [x.requires_grad_() for x in (head, rel, tail)]
    expected = torch.stack(
        [torch.stack([reference(scorer, head[i], rel[i], t) for t in tail]) for i in range(5)]
    )
    same(scorer.similarity(scorer.query(head, rel), scorer.key(tail)), expected, inputs)
    rel = torch.zeros(3, scorer.rel_channels)
    scorer.reset_relations(rel)
    assert rel[:, -1].abs().max() == 0 and rel[:, :-1].abs().min() > 0


def test_regularisers_see_what_the_relation_sees():
    scorer = GatedScorer(ComplEx(4))
    entity, rel = torch.randn(6, 8), torch.randn(3, 5)
    facts = head_index, rel_type, tail_index = torch.randint(6, (9,)), torch.arange(9) % 3, None
    facts = head_index, rel_type, tail_index = head_index, rel_type, torch.randint(6, (9,))
    total = 0.0
    for h, r, t in zip(*facts, strict=True):
        gate = rel[r, -1].sigmoid()
        for x in (*(gate * entity[i, :4] + (1 - gate) * entity[i, 4:] for i in (h, t)), rel[r, :4]):
            total += torch.complex(*x.chunk(2)).abs().pow(3).sum()
    assert torch.allclose(N3(0.5)(scorer, entity, rel, facts), 0.5 * total / 9)
