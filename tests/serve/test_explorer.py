import dataclasses

import pytest
import torch

from torch_imf.answers.results import Answers
from torch_imf.serve.ask import table
from torch_imf.serve.explorer import bar, parts_in_words
from torch_imf.serve.figures import plot_neighbors


def test_about(explorer):
    about = explorer.about(0)
    assert about["name"].startswith("<img") and about["id"] == "node:0"
    assert about["numbers"] == [[explorer.labels[0], "1,234,567.5"]]
    data = explorer.predictor.data
    expected = int((data.edge_index == 0).any(dim=0).sum())
    assert about["count"] == f"{expected} known facts" and len(about["facts"]) == expected
    assert all(about["name"] in fact for fact in about["facts"])
    for head, rel, tail, split in explorer.facts(0):
        edge = (data.edge_index[0] == head) & (data.edge_index[1] == tail) & (data.edge_type == rel)
        assert bool(data[f"{split}_mask"][edge].all())
    assert "\n" not in explorer.labels[3]


def test_neighbors(explorer):
    near = explorer.neighbors(0)
    known = {(h, r, t) for h, r, t, _ in explorer.facts(0)}
    assert all((0, r, x) in known if is_tail else (x, r, 0) in known for x, r, is_tail in near)
    assert len({x for x, *_ in near}) == len(near) > 0 and 0 not in {x for x, *_ in near}
    texts = {x.get_text() for x in plot_neighbors(explorer, 0).axes[0].texts}
    assert len(texts - {""}) >= 2


def test_relations(explorer):
    data = explorer.predictor.data
    for rel, (name, *counts) in enumerate(explorer.relations):
        edges = data.edge_type == rel
        sides = [data.edge_index[i, edges].unique().numel() for i in (0, 1)]
        assert [name, *map(int, counts)] == [explorer.rel_labels[rel], int(edges.sum()), *sides]
        assert {x[1] for x in explorer.examples(rel, 3)} == {name}
    assert len(explorer.examples(0, 3)) == 3
    first = explorer.sensible(0)[0]
    assert any(h == 0 and r == first for h, r, _, _ in explorer.facts(0))
    assert sorted(explorer.sensible(None)) == [0, 1, 2]


@pytest.mark.parametrize("asks_tail", [True, False])
def test_ask(explorer, asks_tail):
    side = {"head" if asks_tail else "tail": torch.tensor([5])}
    answers = explorer.ask(5, 2, asks_tail, k=4)
    assert answers == explorer.predictor.predict(relation="r2", k=4, **side)
    found = explorer.explain(5, 2, answers[0].index, asks_tail)
    assert found.fact[0 if asks_tail else 2] == "Paris (node:5)"
    rows = table(explorer, answers)
    assert [row[0] for row in rows] == list("1234")
    pictures = {x.index: row[1] for x, row in zip(answers, rows, strict=True)}
    assert all(
        x.startswith('<img alt="" src="data:image/png;base64,')
        for i, x in pictures.items()
        if i not in (5, 6)
    )


def test_ask_of_a_new_entity(explorer):
    image = torch.zeros(3, 24, 36, dtype=torch.uint8)
    new = {"text": "Atlantis. A place with a port.", "image": image}
    answers = explorer.ask(new, 2, k=3)
    assert len(answers) == 3 and answers.fact[0] == "new entity"
    found = explorer.explain(new, 2, answers[0].index)
    assert found.fact[0] == "new entity" and found.rank.tail == 1
    assert found.score == pytest.approx(answers[0].score, abs=1e-4)


def test_bars_and_parts(explorer):
    assert bar(0.31) == "\u200731.0 % ███░░░░░░░" and bar(None) == ""
    (answer,) = explorer.ask(5, 2, k=1)
    words = parts_in_words(answer)
    for view, part in answer.parts.items():
        assert f"{view} {part:+.2f}" in words
    # As in a printed table, the smallest parts of many are one:
    parts = {f"view {i}": (-1) ** i * float(i) for i in range(7)}
    many = dataclasses.replace(answer, parts=parts, lacks=("view 5",))
    words = "view 6 +6.00, view 4 +4.00, view 3 -3.00, others +1.00; without view 5"
    assert parts_in_words(many) == words
    titles = str(Answers([many])).splitlines()[1]
    assert titles.endswith("of view 3  of view 4  of view 5  of view 6  of others")
