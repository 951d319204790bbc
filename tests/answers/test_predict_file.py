import os

import pytest
import torch

from torch_imf import Temperature, predict, predict_file
from torch_imf.data import modalities
from torch_imf.nn import IMF

TEMPERATURE = Temperature(1.0, 1.0, 0.0, is_prob=True)


def build(data):
    return IMF(data.num_nodes, data.num_relations, 8, *modalities(data))


@pytest.mark.parametrize("batch_size", [1, 128])
def test_predict_file(fake, tmp_path, batch_size, monkeypatch):
    model = build(fake)
    path, out = tmp_path / "queries.tsv", tmp_path / "out" / "answers.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfHead\trelation\ttail\r\nthing 3\thas_topic\t?\r\n\n?\tHas_Topic\ttopic 2"
    )
    kwargs = {"k": 3, "known": "remove", "temperature": TEMPERATURE}
    assert predict_file(model, fake, path, out, batch_size=batch_size, **kwargs) == 6
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert header[:9] == [
        *("query", "head", "relation", "tail", "rank"),
        *("id", "score", "probability", "known"),
    ]
    assert header[9:] == [f"of {view}" for view in model.views]
    tails = predict(model, fake, "thing 3", "has_topic", **kwargs)
    heads = predict(model, fake, tail="topic 2", relation="has_topic", **kwargs)
    facts = [("2", "thing 3", "has_topic", a.name) for a in tails]
    facts += [("4", a.name, "has_topic", "topic 2") for a in heads]
    assert [tuple(row[:4]) for row in rows] == facts
    assert [row[4] for row in rows] == ["1", "2", "3"] * 2
    for row, answer in zip(rows, [*tails, *heads], strict=True):
        assert row[5] == answer.node_id and row[8] == "0"
        numbers = [answer.score, answer.probability, *answer.parts.values()]
        assert [float(x) for x in [*row[6:8], *row[9:]]] == pytest.approx(numbers, rel=1e-4)


def test_names_stay_in_their_cell(fake, tmp_path):
    data = fake.clone()
    data.node_names = ["a\tb\n" + name for name in fake.node_names]
    (tmp_path / "q.tsv").write_text(f"{fake.node_ids[3]}\tnext_to\t?\n")
    predict_file(build(data), data, tmp_path / "q.tsv", tmp_path / "a.tsv", k=2)
    lines = (tmp_path / "a.tsv").read_text().splitlines()
    assert len(lines) == 3 and {line.count("\t") for line in lines} == {8 + 5}
    assert lines[1].split("\t")[7] == ""  # There is no temperature.


def test_errors(fake, tmp_path):
    model, path, out = build(fake), tmp_path / "queries.tsv", tmp_path / "answers.tsv"
    out.write_text("as it was")
    for content, match in (
        (b"thing 3\tnext_to\n", "line 1: Expected a head, a relation and a tail"),
        (b"thing 3\tnext_to\tthing 4\n", "line 1: Expected"),
        (b"?\tnext_to\t?\n", "line 1: Expected"),
        (b"thing 3\tnext_to\t?\nthink 3\tnext_to\t?\n", "line 2: .*Did you mean 'thing 3'"),
        (b"\n\nthing 3\tnext_two\t?\n", "line 3: .*Did you mean 'next_to'"),
        (b"thing 3\tnext_to\t?\n\xff\xfe\tnext_to\t?\n", "line 2: .*utf-8"),
        (b"head\trelation\ttail\n", "holds no queries"),
        (b"", "holds no queries"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as info:
            predict_file(model, fake, path, out)
        assert str(path) in str(info.value)
    with pytest.raises(ValueError, match="no file of queries"):
        predict_file(model, fake, tmp_path / "absent.tsv", out)
    path.write_text("thing 3\tnext_to\t?\n")
    with pytest.raises(ValueError, match="need to be positive"):
        predict_file(model, fake, path, out, k=0)
    for place in (path, tmp_path):  # Before anything is scored, and with the queries as they were.
        with pytest.raises(ValueError, match="a folder, or the file of queries"):
            predict_file(model, fake, path, place)
    assert path.read_text() == "thing 3\tnext_to\t?\n"
    # A failure half-way leaves what was there:
    with torch.no_grad():
        model.node_emb.weight[0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        predict_file(model, fake, path, out)
    assert out.read_text() == "as it was" and sorted(os.listdir(tmp_path)) == [
        "answers.tsv",
        "queries.tsv",
    ]
