import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.evaluation import ranking
from torch_imf.evaluation.ranking import NotFinite, check_finite, inference, rank_tails
from torch_imf.nn import KGE


def test_each_query_is_scored_once():
    queries = []

    class Spy(KGE):
        def query(self, head, rel_type):
            queries.extend(rel_type.tolist())
            return super().query(head, rel_type)

    head, rel = torch.tensor([[0, 0, 0, 1, 1, 2, 0], [0, 0, 1, 0, 0, 0, 0]])
    triples = head, rel, torch.arange(7)
    rank_tails(Spy(9, 2, 4), *triples, TripletIndex(*triples))
    assert sorted(queries) == [0, 0, 0, 1]


@pytest.mark.parametrize("max_scores", [1, 40, 2**18])
@pytest.mark.parametrize("batch_size, chunk_size", [(4, 8), (7, 1000), (512, 8), (512, 1000)])
def test_rank_tails_equals_naive(max_scores, batch_size, chunk_size, monkeypatch):
    # Queries of many answers and of one, known ones not ranked, ranked ones not known, and ties.
    monkeypatch.setattr(ranking, "MAX_SCORES", max_scores)
    num_nodes = 30
    table = torch.randint(6, (num_nodes, 4, num_nodes)).float()

    class Table(torch.nn.Module):
        def predict(self, head_index, rel_type):
            return table[head_index, rel_type]

    given = table.clone()
    known = torch.rand(num_nodes, 4, num_nodes) < torch.rand(num_nodes, 4, 1) ** 4
    ranked = (torch.rand_like(table) < 0.5) & known
    ranked.view(-1)[torch.randint(table.numel(), (20,))] = True
    head, rel, tail = ranked.nonzero()[torch.randperm(int(ranked.sum()))].t()
    index = TripletIndex(*known.nonzero().t())
    greater, equal = rank_tails(Table(), head, rel, tail, index, num_nodes, batch_size, chunk_size)
    assert torch.equal(table, given)  # Scores of a model are left as they are.
    score, true = table[head, rel], table[head, rel, tail].unsqueeze(-1)
    other = ~known[head, rel]
    other[torch.arange(head.numel()), tail] = False
    assert torch.equal(greater, ((score > true) & other).sum(dim=-1).float())
    assert torch.equal(equal, ((score == true) & other).sum(dim=-1).float())


def test_inference_leaves_the_mode():
    model = KGE(9, 2, 4)
    with pytest.raises(ZeroDivisionError):
        with inference(model) as twin, torch.autocast("cpu", torch.bfloat16):
            # Other threads may train the model, or score with it, meanwhile:
            assert model.training and not any(module.training for module in twin.modules())
            assert twin.node_emb.weight is model.node_emb.weight
            assert not torch.is_grad_enabled()
            raise ZeroDivisionError
    assert model.training and torch.is_grad_enabled()
    with torch.autocast("cpu", torch.bfloat16), inference(model):
        assert model.predict(torch.tensor([0]), torch.tensor([0])).dtype == torch.float


def test_check_finite():
    for value in (torch.nan, torch.inf, -torch.inf):
        score = torch.randn(20, 30)
        score[4, 5] = value
        with pytest.raises(NotFinite, match="yields 1 NaN or infinite scores"):
            check_finite(score)
    for dtype in (torch.half, torch.bfloat16, torch.float, torch.double):
        score = torch.full((20,), torch.finfo(dtype).max, dtype=dtype)  # Their sum overflows.
        expected = score.to(torch.promote_types(dtype, torch.float))
        torch.testing.assert_close(check_finite(score), expected, rtol=0, atol=0)


def test_without_known_facts():
    model, empty = KGE(9, 2, 4), torch.empty(0, dtype=torch.long)
    torch.nn.init.zeros_(model.node_emb.weight)
    index, one = TripletIndex(empty, empty, empty), torch.tensor([0])
    assert torch.cat(rank_tails(model, one, one, one, index)).tolist() == [0, 8]
    with pytest.raises(ValueError, match="no triples to rank"):
        rank_tails(model, empty, empty, empty, index)
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 4\)"):
        rank_tails(model, one, one + 4, one, index)


def test_equal_vectors_tie_in_every_block():
    # As those of entities without a modality: products of another width may round apart.
    model = KGE(1026, 2, 256, scorer="distmult")
    with torch.no_grad():
        model.node_emb.weight[100:] = torch.randn(256)
    head, rel = torch.arange(512), torch.zeros(512, dtype=torch.long)
    tail = torch.cat([torch.arange(100, 611), torch.tensor([1025])])
    equal = rank_tails(model, head, rel, tail, TripletIndex(head, rel, tail))[1]
    assert (equal == 925).all()
