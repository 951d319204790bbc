import pytest
import torch

from torch_imf import KGE, Predictor, pretrained_graph, save_pretrained
from torch_imf.data import TripletIndex, add_decisions
from torch_imf.datasets import Countries


@pytest.fixture(scope="module")
def data():
    return Countries(text=None, visual=None, numeric=None)[0]


@pytest.fixture
def decide(tmp_path):
    def write(*rows: str):
        path = tmp_path / "decisions.tsv"
        path.write_text(
            "\n".join(("head relation tail decision reviewer".replace(" ", "\t"), *rows))
        )
        return path

    return write


def test_add_decisions(data, decide):
    held_out = data.edge_index[:, data.test_mask][:, 0].tolist(), data.edge_type[data.test_mask][0]
    (head, tail), rel = held_out
    test_fact = f"{data.node_ids[head]}\t{data.rel_ids[rel]}\t{data.node_ids[tail]}"
    path = decide(
        "France\tborders\tPoland\taccept\tann",
        "France\tborders\tPoland\trefuse\tbob",
        "France\tborders\tPoland\taccept\teve",  # Two of three.
        "Chile\tborders\tPoland\taccept\tann",
        "Chile\tborders\tPoland\trefuse\tann",  # The last word.
        "Chile\tborders\tIceland\taccept\tann",
        "Chile\tborders\tIceland\trefuse\tbob",  # Nobody knows.
        "Chile\tborders\tMalta\tunsure\tann",
        "Atlantis\tborders\tMalta\taccept\tann",
        f"{test_fact}\taccept\tann",
    )
    with pytest.warns(UserWarning) as told:
        out = add_decisions(data, path)
    messages = [str(x.message) for x in told]
    assert "decisions.tsv', line 10: There is no entity 'Atlantis'" in messages[0]
    assert "1 accepted facts are of validation or test" in messages[1]
    row = {name: i for i, name in enumerate(data.node_names)}
    borders = data.rel_names.index("borders")
    assert out.edge_index[:, -1].tolist() == [row["France"], row["Poland"]]
    assert out.edge_type.numel() == data.edge_type.numel() + 1 and out.edge_type[-1] == borders
    assert [bool(out[f"{x}_mask"][-1]) for x in ("train", "val", "test")] == [True, False, False]
    assert out.refused.tolist() == [[row["Chile"]], [borders], [row["Poland"]]]
    assert data.get("refused") is None and torch.equal(out.test_mask[:-1], data.test_mask)
    with pytest.warns(UserWarning):
        path = decide("Chile\tborders\tPoland\taccept\tann", "a\tborders\tb\taccept\tann")
        assert add_decisions(out, path).refused.size(1) == 0  # The last word counts.


def test_refused_facts_are_not_proposed(data, decide, tmp_path):
    model = KGE(data.num_nodes, data.num_relations, 4, scorer="distmult")
    first = Predictor(model, data).complete(20)
    rows = (f"{x.head_id}\t{x.rel_id}\t{x.tail_id}\trefuse\tann" for x in first[:10])
    save_pretrained(model, tmp_path / "model", add_decisions(data, decide(*rows)))
    out = pretrained_graph(tmp_path / "model")
    assert TripletIndex(*out.refused).triple_key.numel() == 10
    found = Predictor(model, out).complete(10)
    key = [(x.head_index, x.rel_type, x.tail_index) for x in found]
    assert key == [(x.head_index, x.rel_type, x.tail_index) for x in first[10:]]


def test_add_decisions_refuses(data, decide, refuses):
    path = decide("France\tborders\tPoland\tperhaps\tann")
    refuses(("line 2: a decision is one of", lambda: add_decisions(data, path)))
    path = decide("Atlantis\tborders\tPoland\taccept\tann")
    refuses(("line 2: There is no entity 'Atlantis'", lambda: add_decisions(data, path)))
    path = decide()
    refuses(("holds no decisions", lambda: add_decisions(data, path)))
