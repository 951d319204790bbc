import copy
import math
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import torch_imf
from torch_imf import (
    Calibration,
    ContextualRelationalScorer,
    Predictor,
    add_entities,
    calibrate,
    evaluate,
    fit,
    fit_view_weights,
    predict_file,
    pretrained_graph,
    save_pretrained,
)
from torch_imf.answers import Answers, embeddings
from torch_imf.data.distributed import Shard
from torch_imf.io import TorchIMFWarning
from torch_imf.nn import KGE, Ensemble


def facts_of(data):
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    return set(zip(head, rel, tail, strict=True))


def indices(answers):
    return {answer.index for answer in answers}


def test_predict(fake, build):
    model = build(fake)
    head, rel = fake.edge_index[0, :3], fake.edge_type[:3]
    calibration = Calibration(2.0, 0.5, 1.0, is_prob=True)
    out = Predictor(model, fake, calibration).predict_many(head, rel, k=5)
    assert [len(answers) for answers in out] == [5, 5, 5]
    score = model.eval().predict(head, rel)
    probability = calibration(score)
    for i, answers in enumerate(out):
        assert [a.index for a in answers] == score[i].topk(5).indices.tolist()
        for a in answers:
            assert (a.name, a.node_id) == (fake.node_names[a.index], fake.node_ids[a.index])
            expected = score[i, a.index].item(), probability[i, a.index].item()
            assert (a.score, a.probability) == pytest.approx(expected)
            assert a.known == ((int(head[i]), int(rel[i]), a.index) in facts_of(fake))
            assert list(a.views) == list(a.weights) == model.views
            parts = [a.weights[v] / (1 + math.exp(-x)) for v, x in a.views.items()]
            assert a.score == pytest.approx(sum(parts))
            assert list(a.parts.values()) == pytest.approx(parts)


def test_names_and_numbers(fake, build):
    predictor = Predictor(build(fake, loss="ce"), fake)
    rel, topic = fake.rel_names.index("has_topic"), fake.node_names.index("topic 2")
    answers = predictor.predict(head="Thing_3", relation="has_topic", k=4)
    assert isinstance(answers, Answers) and answers.query == "thing 3  has_topic  ?"
    assert answers == predictor.predict(3, rel, k=4) == predictor.predict(torch.tensor(3), rel, k=4)
    for answer in answers:
        assert sum(answer.parts.values()) == pytest.approx(answer.score, abs=1e-5)
        assert answer.probability is None
    # Heads are the tails of the inverse relation, by name or number, alone or together:
    answers = predictor.predict(tail="topic 2", relation="has_topic", k=4)
    assert answers.query == "?  has_topic  topic 2"
    assert answers == predictor.predict(topic, rel + fake.num_relations, k=4)
    both = predictor.predict_many(["thing 3", "thing 4"], "has_topic", k=4)
    predictor.batch_size = 1
    for given in (([3, 4], [rel, rel]), (torch.tensor([3, 4]), rel)):
        found = [[a.index for a in x] for x in predictor.predict_many(*given, k=4)]
        assert found == [[a.index for a in x] for x in both]


def test_known_and_keep(fake, build):
    predictor, k = Predictor(build(fake), fake), fake.num_nodes
    i = int(fake.test_mask.nonzero()[0])
    (h, t), r = fake.edge_index[:, i].tolist(), int(fake.edge_type[i])
    marked = predictor.predict(h, r, k, known="mark")
    removed = predictor.predict(h, r, k, known="remove")
    assert len(marked) == k - 1 and any(a.known for a in marked)  # All but itself.
    assert removed == [a for a in marked if not a.known] and t not in indices(removed)
    kept = predictor.predict(h, r, k, keep=fake.test_mask)
    test = {x for x in range(k) if (h, r, x) in facts_of(fake.edge_subgraph(fake.test_mask))}
    assert t in test and indices(a for a in kept if a.known) == test
    assert kept == [a for a in marked if not a.known or a.index in test]
    inverse = predictor.predict(t, r + fake.num_relations, k)
    assert h in indices(a for a in inverse if a.known)


def test_types(fake, build, tmp_path):
    fake = copy.copy(fake)
    fake.node_types = [["small"] if i < 5 else ["large", "other"] for i in range(fake.num_nodes)]
    model, small = build(fake), [0, 1, 2, 3, 4]
    save_pretrained(model, tmp_path, fake)
    predictor = Predictor(model, pretrained_graph(tmp_path))
    assert sorted(indices(predictor.predict(9, 0, 100, types=["small"]))) == small
    assert min(indices(predictor.predict(0, 1, types="large"))) > 4
    assert len(predictor.predict(0, 1, 200, types=["small", "other"])) >= fake.num_nodes - 1
    (tmp_path / "queries.tsv").write_text(f"{fake.node_ids[9]}\t{fake.rel_ids[0]}\t?")
    args = tmp_path / "queries.tsv", tmp_path / "answers.tsv", 100
    assert predict_file(model, fake, *args, types="small") == len(small)
    for types, match in (("smal", "no type 'smal'. Did you mean 'small'"), ("x", "There are 'l")):
        with pytest.raises(ValueError, match=match):
            predictor.predict(0, 1, types=types)
    entity = {"name": "new", "types": ["small"], "x_text": fake.x_text[0]}
    model, data = add_entities(model, fake, [entity])
    found = Predictor(model, data).predict(9, 0, 100, types=["small"])
    assert sorted(indices(found)) == [*small, fake.num_nodes]
    del fake.node_types
    _, data = add_entities(build(fake), fake, [{**entity, "types": "small;round"}])
    assert data.node_types == [*[[]] * fake.num_nodes, ["small", "round"]]
    with pytest.raises(ValueError, match="The graph knows of no types"):
        Predictor(build(fake), fake).predict(0, 1, types="small")


def test_models_of_which_processes_hold_a_share(fake, build):
    model = build(fake)
    model.shard = Shard(fake.num_nodes)
    asks = [Predictor, calibrate, lambda x, _: Ensemble([x]), lambda x, _: embeddings(x)]
    asks += [lambda *x: add_entities(*x, [{"name": "new", "x_text": fake.x_text[0]}])]
    for ask in asks:
        with pytest.raises(ValueError, match="holds some entities of this model only"):
            ask(model, fake)


def test_loops(fake, build):
    k = fake.num_nodes
    everyone = {"head": list(range(k)), "k": k}
    # One training fact of the kind, and entities may be answers to themselves:
    data = fake.clone()
    data.edge_index = torch.cat([fake.edge_index, torch.tensor([[3], [3]])], dim=1)
    data.edge_type = torch.cat([fake.edge_type, torch.tensor([0])])
    for name in ("train_mask", "val_mask", "test_mask"):
        data[name] = torch.cat([fake[name], torch.tensor([name == "train_mask"])])
    predictor = Predictor(build(data), data, Calibration(1.0, 1.0, 0.0))
    for relation in (0, data.num_relations):
        for head, answers in enumerate(predictor.predict_many(relation=relation, **everyone)):
            known = {answer.index: answer.known for answer in answers}
            assert known[head] == (head == 3)
    for head, answers in enumerate(predictor.predict_many(relation=1, **everyone)):
        assert indices(answers) == {*range(k)} - {head}
    facts = predictor.complete(10**6, [0, 1], everyone=True)
    loops = [x.rel_type for x in facts if x.head_index == x.tail_index]
    assert len(loops) == k - 1 and set(loops) == {0}
    # That of validation gives nothing away, but is a known fact:
    data.train_mask[-1], data.val_mask[-1] = False, True
    found = Predictor(build(data), data).predict_many(relation=0, **everyone)
    assert [i for i, x in enumerate(found) if len(x) == k] == [3]


def test_one_question_of_a_model(fake, build):
    model, calibration = build(fake), Calibration(1.0, 0.5, 0.0, is_prob=True)
    predictor = Predictor(model, fake, calibration)
    assert str(predictor) == f"Predictor(IMF, {fake.num_nodes})"
    given = {"model": model, "data": fake, "calibration": calibration}
    fact = {"head": 3, "relation": 0, "tail": 4}
    assert predictor.predict(3, 0, k=4) == torch_imf.predict(**given, head=3, relation=0, k=4)
    assert predictor.explain(**fact) == torch_imf.explain(**given, **fact)
    assert predictor.complete(9) == torch_imf.complete(**given, k=9)


def test_threads_and_training_mode(fake, build):
    # With dropout and batch norm, a model in training mode, in which nobody sees it change:
    scorer = ContextualRelationalScorer(8, 4, "dot", dropout=0.5, batch_norm=True)
    model = build(fake, scorer=scorer, loss="ce")
    predictor = Predictor(model, fake)
    expected = [Predictor(model.eval(), fake).predict(h, 0) for h in range(40)]
    model.train()
    modes = []
    model.scorers["text"].train = lambda mode=True: modes.append(mode)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda h: predictor.predict(h, 0), range(40)))
        list(pool.map(lambda h: predictor.explain(h, 0, 1), range(8)))
    assert answers == expected and not modes
    assert all(module.training for module in model.modules())


def test_a_model_that_has_changed(fake, build):
    model = build(fake)
    predictor = Predictor(model, fake)
    predictor.predict(0, 0)
    ensemble = fit_view_weights(model, fake, ["types"])
    voted = Predictor(ensemble, fake)
    assert voted.predict(0, 0)[0].weights == ensemble.view_weights()
    old = predictor.predict(0, 0)  # The model itself is the same.
    fit(model, fake, epochs=1, batch_size=64, eval_every=1)
    for changed in (predictor, voted):
        with pytest.raises(ValueError, match="Make a new 'Predictor'"):
            changed.predict(0, 0)
    assert Predictor(model, fake).predict(0, 0) != old


@pytest.mark.parametrize("batch_size", [1, 99])
def test_predict_file(fake, build, tmp_path, batch_size):
    predictor = Predictor(build(fake), fake, Calibration(1.0, 1.0, 0.0, is_prob=True))
    predictor.batch_size = batch_size
    path, out = tmp_path / "queries.tsv", tmp_path / "out" / "answers.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfHead\trelation\ttail\r\nthing 3\thas_topic\t?\r\n\n?\tHas_Topic\ttopic 2"
    )
    assert predictor.predict_file(path, out, k=3, known="remove") == 6
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    names = "query head relation tail rank id score probability conditional known error".split()
    assert header == [*names, *(f"of {view}" for view in predictor.model.views)]
    tails = predictor.predict("thing 3", "has_topic", 3, known="remove")
    heads = predictor.predict(tail="topic 2", relation="has_topic", k=3, known="remove")
    expected = [["2", "thing 3", "has_topic", a.name, str(i + 1)] for i, a in enumerate(tails)]
    expected += [["4", a.name, "has_topic", "topic 2", str(i + 1)] for i, a in enumerate(heads)]
    for row, cells, answer in zip(rows, expected, [*tails, *heads], strict=True):
        assert row[:6] == [*cells, answer.node_id] and row[9:11] == ["0", ""]
        numbers = [answer.score, answer.probability, answer.conditional]
        assert [float(x) for x in row[6:9]] == pytest.approx(numbers, rel=1e-4)
        shown = [math.nan if v in answer.lacks else x for v, x in answer.parts.items()]
        parts = [float(x or "nan") for x in row[11:]]
        assert parts == pytest.approx(shown, rel=1e-4, nan_ok=True)
    # Without a calibration:
    Predictor(predictor.model, fake).predict_file(path, out, k=1)
    assert {line.split("\t")[7] for line in out.read_text().splitlines()} == {"probability", ""}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "xlsx"])
def test_one_bad_query(fake, build, tmp_path, suffix):
    # The others are answered, and its row says what was wrong, in any format:
    import pandas as pd

    facts = [["thing 3", "has_topic", "?"], ["thing 4", "has_topics", "?"], ["?", "after", "who"]]
    facts += [["thing 5", "after", None if suffix == "jsonl" else "?"]]
    facts += [["" if suffix == "csv" else "who", "after", "?"]]
    frame = pd.DataFrame(facts, columns=["head", "relation", "tail"])
    path, out = tmp_path / f"q.{suffix}", tmp_path / "a.jsonl"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        write = {"csv": frame.to_csv, "parquet": frame.to_parquet, "xlsx": frame.to_excel}[suffix]
        write(path, index=False)
    predictor = Predictor(build(fake), fake)
    with pytest.warns(TorchIMFWarning, match="3 of 5 queries have no answers.*Did you mean 'has_"):
        assert predictor.predict_file(path, out, k=2) == 4
    rows = pd.read_json(out, lines=True)
    assert list(rows["rank"].fillna(0)) == [1, 2, 0, 0, 1, 2, 0]
    assert list(rows["error"].notna()) == [False, False, True, True, False, False, True]
    assert "no relation 'has_topics'" in rows["error"][2] and "'who'" in rows["error"][3]
    assert rows["relation"][2] == "has_topics"


def test_lacking_modalities(fake, build):
    # Views of what an entity does not have say nothing of it:
    model = build(fake, loss="ce", views=["struct", "text", "fused"])
    has = fake.text_mask.tolist()
    without, with_ = has.index(False), has.index(True)
    predictor = Predictor(model, fake)
    assert all(x.lacks == ("text",) for x in predictor.predict(without, 0, k=9))
    for x in predictor.predict(with_, 0, k=fake.num_nodes):
        assert x.lacks == (() if has[x.index] else ("text",))
        assert sum(x.parts.values()) == pytest.approx(x.score, abs=1e-4)


def test_shared_names(fake, build):
    # They are followed by the identifier, wherever it is shown, and understood like that:
    data = fake.clone()
    data.node_ids = [f"id:{i}" for i in range(fake.num_nodes)]
    data.rel_ids = [f"rel:{i}" for i in range(fake.num_relations)]
    data.node_names = ["Springfield" if i in (3, 5) else f"x{i}" for i in range(fake.num_nodes)]
    data.rel_names = ["near" if i < 2 else f"r{i}" for i in range(fake.num_relations)]
    predictor = Predictor(build(fake, loss="ce"), data)
    answers = predictor.predict("Springfield (id:3)", "near (rel:1)", k=fake.num_nodes)
    assert answers == predictor.predict("id:3", 1, k=fake.num_nodes)
    assert answers.query == "Springfield (id:3)  near (rel:1)  ?"
    assert [x.name for x in answers if x.index in (4, 5)].count("Springfield (id:5)") == 1
    explained = predictor.explain("id:3", "rel:0", "id:5")
    assert explained.fact == ("Springfield (id:3)", "near (rel:0)", "Springfield (id:5)")
    facts = Predictor(predictor.model, data, Calibration(1.0, 1.0, 0.0)).complete(9, [0, 1])
    assert {x.relation for x in facts} <= {"near (rel:0)", "near (rel:1)"}
    assert all(
        (x.head_id, x.tail_id) == (f"id:{x.head_index}", f"id:{x.tail_index}") for x in facts
    )
    with pytest.raises(ValueError, match="ambiguous"):
        predictor.predict("Springfield", 0)
    found = evaluate(predictor.model, data, by=["relation"])["relation"]
    assert len(found) == fake.edge_type[fake.test_mask].unique().numel()


def test_errors_of_files(fake, build, tmp_path):
    model, path, out = build(fake), tmp_path / "queries.tsv", tmp_path / "answers.tsv"
    out.write_text("as it was")
    predictor = Predictor(model, fake)

    def check(match, predictor=predictor, path=path, out=out, **kwargs):
        with pytest.raises(ValueError, match=match) as info:
            predictor.predict_file(path, out, **kwargs)
        return str(info.value)

    for content, match in (
        (b"thing 3\tnext_to\n", "line 1: expected 3 fields"),
        (b"thing 3\tnext_to\tthing 4\n", "line 1: Give"),
        (b"?\tnext_to\t?\n", "line 1: Give"),
        (b"\n\nthing 3\tnext_two\t?\n", "line 3: .*Did you mean 'next_to'"),
        (b"head\trelation\ttail\n", "holds no queries"),
        ("thing 3\tnext_to\t\uff1f\n".encode(), "line 1: Give .*got .*\uff1f"),
    ):
        path.write_bytes(content)
        assert str(path) in check(match)
    check("There is no file", path=tmp_path / "absent.tsv")
    path.write_text("thing 3\tnext_to\t?\n")
    check("it is the file of queries", out=path)
    check("it is a folder", out=tmp_path)
    # A failure half-way leaves what was there:
    check("needs to be positive", k=0)
    with torch.no_grad():
        model.node_emb.weight[0] = float("nan")
    check("NaN or infinite", Predictor(model, fake))
    assert (path.read_text(), out.read_text()) == ("thing 3\tnext_to\t?\n", "as it was")
    assert sorted(os.listdir(tmp_path)) == ["answers.tsv", "queries.tsv"]


def test_errors(fake, build):
    predictor, one = Predictor(build(fake), fake), {"head": 3, "relation": 0}
    for question, args, kwargs, match in (
        ("predict", (), {"head": "thing 3", "relation": "next_too"}, "Did you mean 'next_to'"),
        ("predict", (3,), {}, "Give 'relation' and one of"),
        ("predict", (), {"relation": 0}, "Give 'relation' and one of"),
        ("predict", (), {**one, "tail": 4}, "Give 'relation' and one of"),
        ("predict", (), {**one, "known": "hide"}, "'known' needs to be 'mark' or 'remove'"),
        ("predict", (), {**one, "k": 0}, "'k' needs to be positive"),
        ("predict", ([3, 4], 0), {}, "takes one query. Ask several by 'predict_many'"),
        ("predict", (0.5, 0), {}, "'head' needs to be of type"),
        ("predict", (torch.tensor(0.5), 0), {}, "'head_index' needs to be a one-dimensional"),
        ("predict", (), {**one, "k": 2.5}, "'k' needs to be of type int"),
        ("predict", (), {**one, "keep": fake.train_mask[:3]}, "'keep', a mask over edges"),
        ("complete", (), {"everyone": "no"}, "'everyone' needs to be of type bool"),
        ("complete", (), {"relation": torch.tensor(1.0)}, r"in \[0, 5\), the base relations"),
        ("predict", (0, 10), {}, "'rel_type' holds ids outside"),
        ("predict_many", ([1, 2], [0, 1, 2]), {}, "same length"),
        ("complete", (), {"k": 0}, "needs to be positive"),
        ("complete", (), {"relation": 5}, r"in \[0, 5\), the base relations"),
        ("explain", (0, 0, 1), {"k": 0}, "'k' needs to be positive"),
        ("explain", (0, 0, 1), {"view": "audio"}, "'view' needs to be one of"),
        ("explain", (0, 5, 1), {}, "'rel_type' holds ids outside"),
        ("explain", (torch.tensor([0, 1]), 0, 1), {}, "need to be one name or number each"),
        ("explain", ([0, 1], 0, 1), {}, "'head' needs to be of type"),
    ):
        with pytest.raises(ValueError, match=match):
            getattr(predictor, question)(*args, **kwargs)


def test_errors_of_models(fake, build):
    with pytest.raises(ValueError, match=f"expects {fake.num_nodes + 1} entities"):
        Predictor(KGE(fake.num_nodes + 1, fake.num_relations, 8), fake)
    model = build(fake)
    torch.nn.init.constant_(model.node_emb.weight[3], torch.nan)
    predictor = Predictor(model, fake)
    for question, args in (("predict", (0, 0)), ("explain", (0, 0, 1)), ("complete", ())):
        with pytest.raises(ValueError, match="NaN or infinite"):
            getattr(predictor, question)(*args)
    assert model.training
