import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.nn import KGE
from torch_imf.ranking import check_finite, inference, metrics, rank_tails


def test_rank_tails_outside_of_the_filter():
    model = KGE(9, 2, 4)
    torch.nn.init.zeros_(model.node_emb.weight)
    empty = torch.empty(0, dtype=torch.long)
    triples = torch.arange(5), torch.tensor([0, 1, 2, 3, 0]), torch.arange(5)
    greater, equal = rank_tails(model, *triples, TripletIndex(empty, empty, empty))
    assert greater.tolist() == [0] * 5
    assert equal.tolist() == [8] * 5


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_each_query_is_scored_once(batch_size):
    model = KGE(9, 2, 4)
    queries = []

    class Spy(KGE):
        def query(self, head, rel_type):
            queries.extend(rel_type.tolist())
            return super().query(head, rel_type)

    model = Spy(9, 2, 4)
    head = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    rel = torch.tensor([0, 0, 1, 0, 0, 0, 0])
    tail = torch.arange(7)
    index = TripletIndex(head, rel, tail)
    greater, equal = rank_tails(model, head, rel, tail, index, batch_size=batch_size)
    assert len(queries) == 4
    score = model.eval().predict(head, rel)
    for i in range(7):
        known = tail[(head == head[i]) & (rel == rel[i])]
        others = [j for j in range(9) if j not in known.tolist()]
        assert int(greater[i]) == int((score[i, others] > score[i, tail[i]]).sum())
        assert int(equal[i]) == 0


def test_metrics():
    out = metrics(torch.tensor([1.0, 2.0, 4.0, 20.0]), ks=(1, 4))
    assert out == pytest.approx({"mr": 6.75, "mrr": 0.45, "hits@1": 0.25, "hits@4": 0.75})


def test_inference_restores_the_mode():
    model = KGE(9, 2, 4)
    with pytest.raises(ZeroDivisionError):
        with inference(model), torch.autocast("cpu", torch.bfloat16):
            assert not model.training and not torch.is_grad_enabled()
            raise ZeroDivisionError
    assert model.training and torch.is_grad_enabled()
    with torch.autocast("cpu", torch.bfloat16), inference(model):
        assert model.predict(torch.tensor([0]), torch.tensor([0])).dtype == torch.float
    assert check_finite(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float
    assert check_finite(torch.ones(1, dtype=torch.double)).dtype == torch.double


def test_errors():
    empty = torch.empty(0, dtype=torch.long)
    index = TripletIndex(empty, empty, empty)
    with pytest.raises(ValueError, match="no triples to rank"):
        rank_tails(KGE(9, 2, 4), empty, empty, empty, index)
    one = torch.tensor([0])
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 4\)"):
        rank_tails(KGE(9, 2, 4), one, one + 4, one, index)
