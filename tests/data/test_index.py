import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.data.index import distinct_facts
from torch_imf.transforms import AddInverse

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

LARGEST = torch.iinfo(torch.long).max
MAX_QUERIES = 25


@st.composite
def graphs(draw):
    """Draws triples, some of them twice, and others to ask for, most of them near by: of few
    entities, where triples meet, and of as many as just fit 64 bits, or no longer do.
    """
    num_relations = draw(st.sampled_from([1, 2, 3, 1000, 2**20]))
    largest = LARGEST // max(num_relations, MAX_QUERIES)
    root = int((LARGEST / num_relations) ** 0.5)
    edges = [1, 2, 5, root - 1, root, root + 1, largest - 1, largest]
    num_nodes = min(draw(st.sampled_from(edges)), largest)
    node = st.one_of(
        st.integers(0, min(4, num_nodes - 1)),
        st.integers(max(0, num_nodes - 3), num_nodes - 1),
        st.integers(0, num_nodes - 1),
    )
    rel = st.one_of(st.integers(0, min(2, num_relations - 1)), st.integers(0, num_relations - 1))
    triples = draw(st.lists(st.tuples(node, rel, node), max_size=MAX_QUERIES))
    triples += draw(st.lists(st.sampled_from(triples), max_size=5)) if triples else []
    other = draw(st.lists(st.tuples(node, rel, node), max_size=10))
    # Beyond what the index has seen, on either side:
    far = st.sampled_from([-1, -LARGEST - 1, num_nodes, num_nodes + 1, LARGEST])
    beyond = draw(st.lists(st.tuples(st.one_of(node, far), st.one_of(rel, far), far), max_size=5))
    beyond += [(t, r, h) for h, r, t in beyond] + [(h, t, r) for h, r, t in beyond]
    return triples, [*triples, *other, *beyond]


def tensors(triples):
    return torch.tensor(triples, dtype=torch.long).view(-1, 3).t().contiguous()


def given(*args):
    settings = hypothesis.settings(derandomize=True, deadline=None, max_examples=40, database=None)
    return lambda test: settings(hypothesis.given(*args)(test))


@given(graphs())
def test_equals_a_dict_of_sets(graph):
    triples, asked = graph
    known = {}
    for h, r, t in triples:
        known.setdefault((h, r), set()).add(t)
    index = TripletIndex(*tensors(triples))
    assert len(index) == len(set(triples))
    assert list(zip(*(x.tolist() for x in index.queries()), strict=True)) == sorted(known)

    h, r, t = tensors(asked)
    row, col = index(h, r)
    expected = [(i, x) for i, (h, r, _) in enumerate(asked) for x in known.get((h, r), ())]
    assert sorted(zip(row.tolist(), col.tolist(), strict=True)) == sorted(expected)
    assert row.tolist() == sorted(row.tolist())
    assert index.contains(h, r, t).tolist() == [t in known.get((h, r), ()) for h, r, t in asked]
    assert index.find(h, r)[1].tolist() == [(h, r) in known for h, r, _ in asked]
    # In any order, and all pairs at once:
    other = TripletIndex(*tensors(list(set(triples)) + triples[::-2]))
    assert torch.equal(index(h, r), other(h, r)) and torch.equal(index.ptr, other.ptr)
    out = index.contains(h[:, None], r[:, None], t)
    assert out.tolist() == [[t in known.get((h, r), ()) for _, _, t in asked] for h, r, _ in asked]


@given(st.integers(0, 3), st.integers(0, 3))
def test_ids_that_are_too_large_are_refused(rel, num_others):
    # Never an answer that is wrong: queries, and triples by the position of their query, fit.
    others = [(i, 0, 0) for i in range(num_others)]
    for tail in (LARGEST - 1, LARGEST // (rel + 1) - 1, LARGEST // (num_others + 1) - 1):
        triples = [*others, (0, rel, tail), (5, rel, tail)]
        queries = {triple[:2] for triple in triples}
        if (tail + 1) * max(rel + 1, len(queries)) > LARGEST:
            with pytest.raises(ValueError, match=f"too large .got a largest one of {tail}"):
                TripletIndex(*tensors(triples))
        else:
            index = TripletIndex(*tensors(triples))
            assert index.contains(*tensors(triples)).all()
            assert index(*tensors(triples)[:2])[1].max() == tail


@given(graphs())
def test_distinct_facts(graph):
    triples, _ = graph
    h, r, t = tensors(triples)
    sizes = (int(torch.cat([h, t, r.new_zeros(1)]).max()) + 1, int(max([0, *r.tolist()])) + 1)
    fact, index = distinct_facts(torch.stack([h, t]), r, *sizes)
    assert list(zip(*fact.tolist(), strict=True)) == sorted(set(triples))
    assert torch.equal(fact[:, index], torch.stack([h, r, t]))
    assert torch.equal(TripletIndex(h, r, t).facts(), fact)


@pytest.mark.parametrize(
    "triples, match",
    [
        (([0, 1], [0], [1, 2]), "same length"),
        (([-1], [0], [0]), "outside"),
        (([0.5], [0], [0]), "integer"),
        (([[0]], [[0]], [[0]]), "one-dimensional"),
    ],
)
def test_errors(triples, match):
    with pytest.raises(ValueError, match=match):
        TripletIndex(*(torch.tensor(x) for x in triples))


def test_integers_of_32_bits():
    # Their products would overflow:
    h, r, t = torch.tensor([[99999, 5, 99999], [50000, 2, 50000], [7, 3, 7]], dtype=torch.int32)
    index = TripletIndex(h, r, t)
    assert str(index) == "TripletIndex(2, num_queries=2)" and index.contains(h, r, t).all()
    assert index(h, r)[1].tolist() == t.tolist() and not index.contains(h, r, t.flip(0) + 1).any()
    fact, index = distinct_facts(torch.stack([h, t]), r, 100000, 50001)
    assert fact.tolist() == [[5, 99999], [2, 50000], [3, 7]] and index.tolist() == [1, 0, 1]


def test_from_data_indexes_both_directions(fake):
    index = TripletIndex.from_data(fake)
    head, rel, tail = fake.edge_index[0], fake.edge_type, fake.edge_index[1]
    assert index.contains(tail, rel + fake.num_relations, head).all()
    assert len(TripletIndex.from_data(AddInverse()(fake))) == len(index)
    for data in (fake, AddInverse()(fake.clone())):
        part = TripletIndex.from_data(data, data.test_mask)
        assert len(part) == 2 * int(fake.test_mask.sum())
    assert torch.equal(part.contains(head, rel, tail), fake.test_mask)
