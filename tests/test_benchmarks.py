import argparse
import copy
import json
import re
import runpy
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock

import pytest
import torch

ROOT = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def own():
    # The modules of the folder, as its scripts import them.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        import configs
        import experiment
        import fingerprint
        import render
        import results
        import run
        import tables

        names = {"experiment": experiment, "render": render, "results": results, "run": run}
        rest = {"configs": configs, "fingerprint": fingerprint, "tables": tables}
        yield SimpleNamespace(**names, **rest)


@pytest.fixture
def bench(own, monkeypatch, tmp_path):
    # Two rows on a small graph, in a folder of their own, at a commit that is clean.
    monkeypatch.setattr(own.results, "RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(own.experiment, "CHECKPOINTS", str(tmp_path / "checkpoints"))
    for module in (own.results, own.experiment):
        monkeypatch.setattr(module, "commit", lambda: "abc1234")
    base = {"class": "imf", "hidden_channels": 8, "rel_channels": 4, "epochs": 4, "eval_every": 2}
    base |= {"views": ["struct", "text", "fused"], "batch_size": 64, "lr": 0.01}
    rows = {
        "IMF": own.tables.row(base, ranks=True),
        "vote": own.tables.row(base, vote=["types"], ranks=True),
    }
    table = own.tables.Table(rows, minutes=5, seeds=1)
    monkeypatch.setitem(own.run.TABLES, "own/countries", table)
    return own


def line_of(bench, label="IMF"):
    return bench.run.lines(bench.run.Task("own/countries", label))[0]


def test_rows_are_run_once_and_share_what_is_trained(bench, capsys, monkeypatch):
    bench.run.main(["own", "--list"])
    assert "missing own/countries/IMF of seeds 0" in capsys.readouterr().out
    bench.run.main(["own"])
    out = capsys.readouterr().out
    assert out.count("epoch   4") == 1 and out.count("test MRR") == 2  # Both are of one member.
    line = line_of(bench)
    assert (
        line["commit"] == "abc1234"
        and line["command"] == "python benchmarks/run.py own/countries/IMF"
    )
    assert 0 < line["metrics"]["mrr"] < 1 and [epoch for epoch, _ in line["curve"][0]] == [2, 4]
    vote = line_of(bench, "vote")
    assert vote["metrics"]["val_mrr"] == round(vote["fitted"]["mrr"], 5)
    rank = bench.experiment.unpack(line["ranks"])
    assert rank.shape == (2, 209) and (1 / rank).mean() == pytest.approx(
        line["metrics"]["mrr"], abs=1e-5
    )
    bench.run.main(["own", "--data"])
    assert capsys.readouterr().out == ""  # All is done, by the facts and features as well.
    assert list(Path(bench.experiment.CHECKPOINTS).iterdir()) == []

    # One that is interrupted ends as one that is not:
    path = Path(bench.results.RESULTS) / "own.jsonl"
    path.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bench.experiment, "evaluate", Mock(side_effect=KeyboardInterrupt))
        bench.run.main(["own"])
    bench.run.main(["own"])
    assert line_of(bench)["metrics"] == line["metrics"] and line_of(bench)["curve"] == line["curve"]

    # Or if its time is over:
    path.unlink()
    bench.run.main(["own", "--minutes", "0"])
    assert "2 rows are left" in capsys.readouterr().out and not path.exists()


def test_a_member_ends_with_its_budget(bench, monkeypatch, capsys):
    table = bench.run.TABLES["own/countries"]
    monkeypatch.setitem(bench.run.TABLES, "own/countries", table._replace(minutes=0))
    bench.run.main(["own/countries/IMF"])
    line = line_of(bench)
    assert [epoch for epoch, _ in line["curve"][0]] == [2] and line["ended"] == ["budget"]
    assert line["rising"]


def test_a_tree_with_changes_is_refused(bench, monkeypatch):
    monkeypatch.setattr(bench.results, "commit", lambda: "abc1234+")
    with pytest.raises(SystemExit, match="commit your changes"):
        bench.run.main(["own"])
    with pytest.raises(SystemExit, match=r"no table, graph, row or script \['nothing'\]"):
        bench.run.main(["nothing"])


def test_what_makes_a_line_stale(bench, monkeypatch, capsys):
    task = bench.run.Task("own/countries", "IMF")
    bench.run.main(["own"])
    assert bench.run.state(task, check_data=True) == ("done", "")
    path = Path(bench.results.RESULTS) / "own.jsonl"
    lines = [json.loads(x) for x in path.read_text().splitlines()]

    def state(**changes):
        bench.run._found.cache_clear()
        path.write_text("".join(json.dumps({**x, **changes}) + "\n" for x in lines))
        return bench.run.state(task, check_data=True)

    assert state(commit="abc1234+") == ("stale", "its tree was not clean")
    assert state(minutes=7) == ("stale", "it had 7 minutes, and not 5")
    assert state(row={"members": []}) == ("stale", "its settings are others")
    assert state(data={**lines[0]["data"], "train": [1, "x"]})[1].startswith("its graph is another")
    old = [{k: v for k, v in x.items() if k != "fingerprint"} for x in lines]
    lines, kept = old, lines
    assert state() == ("stale", "from before rows had fingerprints")
    text = bench.render.table("own", "countries")
    assert "IMF ↑ †" in text and "† stale, from before rows had fingerprints: all rows" in text
    lines = [{**kept[0], "commit": "def5678", "code": ["def5678"]}, {**kept[1], "seed": 3}]
    assert state() == ("done", "")
    text = bench.render.table("own", "countries")
    assert "commit def5678 (IMF), abc1234 (vote)" in text
    lines = kept
    assert state() == ("done", "") and "†" not in bench.render.table("own", "countries")


@pytest.fixture
def member(own):
    def numbers(**settings):
        own.fingerprint._of_member.cache_clear()
        row = own.tables.row({"class": "kge", "loss": "ce", "hidden_channels": 99, **settings})
        return own.fingerprint.fingerprint(row, "countries")

    return numbers


def test_a_fingerprint_is_of_what_is_computed(own, member, monkeypatch):
    from torch_imf import registry
    from torch_imf.nn import DistMult, OneToN

    first = member(scorer="distmult")
    assert first == member(scorer="distmult") and member(scorer="distmult", lr=0.1) != first
    assert own.fingerprint.difference(first, member(scorer="complex"))

    class Renamed(DistMult):  # Another name, and other code, for the same numbers.
        def query(self, head, rel):
            return rel * head * 1.0

    monkeypatch.setattr(registry, "_registered", [*registry._registered, Renamed])
    assert not own.fingerprint.difference(first, member(scorer="renamed"))

    forward = OneToN.forward
    with monkeypatch.context() as patch:  # The scale of a loss, which no rank tells:
        patch.setattr(OneToN, "forward", lambda self, *args: 1.01 * forward(self, *args))
        assert "member 0" in own.fingerprint.difference(first, member(scorer="distmult"))
    assert not own.fingerprint.difference(first, member(scorer="distmult"))


def test_a_fingerprint_is_the_same_with_more_threads(own, member):
    threads, first = torch.get_num_threads(), member(scorer="complex")
    torch.set_num_threads(2)
    again = member(scorer="complex")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert again == first


def test_what_is_voted_and_tried_has_numbers(own, monkeypatch):
    member = {"class": "kge", "recipe": "best"}
    row = own.tables.row(member, vote=["types"])
    first = own.fingerprint.fingerprint(row, "countries")
    assert set(first) == {"search", "member 0", "vote"}
    monkeypatch.setattr(own.fingerprint, "EPOCHS", 9)
    other = own.fingerprint.fingerprint({**row, "vote": ["rules"]}, "countries")
    assert first["search"] != other["search"] and first["vote"] != other["vote"]


def test_numbers_of_a_graph_tell_facts_and_features(own, fake):
    first = own.fingerprint.of_data(fake)
    perm = torch.randperm(fake.num_edges)
    other = copy.copy(fake)
    other.edge_index, other.edge_type = fake.edge_index[:, perm], fake.edge_type[perm]
    for name in ("train_mask", "val_mask", "test_mask"):
        other[name] = fake[name][perm]
    other.x_text = -fake.x_text  # As the signs of a decomposition are any.
    assert own.fingerprint.difference(first, own.fingerprint.of_data(other)) == ""
    other.x_text = 2 * fake.x_text
    assert own.fingerprint.difference(first, own.fingerprint.of_data(other)).startswith("text")


def test_every_row_has_numbers(own):
    # Every model of every row is made, and trained for two steps.
    for task in own.run.tasks([]):
        if task.seed == 0:
            assert own.run.numbers(task) or COMMAND_OF_NO_MODEL.match(task.label), task.id


COMMAND_OF_NO_MODEL = re.compile(r"(speed_scorers|speed_loading|memory|scale_graph)\.py")


def test_rows_of_adamf_are_built_as_they_say(own, fake):
    data = fake.clone()
    for name in ("visual", "numeric"):  # What the graphs of this table lack.
        del data[f"x_{name}"], data[f"{name}_mask"]
    for label, settings in own.configs.adamf_rows("mkgy").items():
        sizes = {"hidden_channels": 8}
        sizes |= {"rel_channels": 4} if "rel_channels" in settings else {}
        settings = json.loads(json.dumps({**settings, **sizes}))  # As they are kept in the lines.
        seen = own.experiment.prepare(data, settings, 0)
        model = own.experiment.built(own.experiment.found(settings, seen, 0), seen)
        assert type(model).__name__.lower() == settings["class"], label
        adversary = any(key.startswith("adversary.") for key in settings)
        assert (getattr(model, "adversary", None) is not None) == adversary, label
        rates = settings["lr"]
        names = list(rates) if isinstance(rates, dict) else ["model"]
        assert [objective.name for objective in model.objectives()] == names, label
        if label == "RSME":
            # The relation of topics is the one that texts tell most of.
            assert model.gate.view(2, -1).sum(dim=1).tolist() == [1, 1] and model.beta == 0.95
        if label in ("w/o T", "w/o S"):
            assert list(model.fusion.in_channels) == [{"T": "struct", "S": "text"}[label[-1]]]


def test_what_becomes_of_a_graph(own):
    data = own.experiment.load("countries")
    seen = own.experiment.prepare(
        data, {"data": {"modalities": ["text"], "drop": {"text": 0.5}}}, 0
    )
    assert "x_visual" not in seen and int((~seen.text_mask).sum()) == round(0.5 * data.num_nodes)
    assert "x_visual" in data  # The graph itself stays whole.
    seen = own.experiment.prepare(data, {"data": {"replace": "shuffled"}}, 0)
    x, y = seen.x_visual, data.x_visual
    assert not torch.equal(x, y) and torch.equal((x != 0).any(1), (y != 0).any(1))
    assert torch.equal(x.sum(1).sort().values, y.sum(1).sort().values)


def test_plain_settings_are_those_of_a_system(own):
    data = own.fingerprint.tiny()
    member = {"class": "otkge", "recipe": "best"}
    full = own.experiment.found(member, data, 0, search=False)
    plain = own.experiment.found({**member, "plain": True}, data, 0, search=False)
    assert plain.name == "kge" and plain["scorer"] == full["scorer"] and plain.fit == full.fit
    assert type(own.experiment.built(plain, data)).__name__ == "KGE"


def test_tables_know_the_modalities_of_graphs(own):
    from torch_imf.data import modalities

    graphs = sys.modules["graphs"]
    for name, table in own.run.TABLES.items():
        for row in table.rows.values():
            assert row.get("graph", name.partition("/")[2]) in graphs.MODALITIES
    found = list(modalities(own.experiment.load("countries"))[0])
    assert sorted(found) == sorted(graphs.MODALITIES["countries"])


def fake_line(own, seed, rank):
    rank = torch.tensor(rank, dtype=torch.float).view(2, -1)
    return {
        "seed": seed,
        "metrics": {"mrr": float((1 / rank).mean())},
        "ranks": own.experiment.pack(rank),
    }


def test_intervals_are_of_seeds_and_facts(own):
    generator = torch.Generator().manual_seed(0)
    rank = torch.randint(1, 50, (2, 400), generator=generator)
    base = [fake_line(own, seed, rank.tolist()) for seed in range(3)]
    better = [fake_line(own, seed, (rank / 2).ceil().tolist()) for seed in range(3)]
    low, high = own.render.interval(better, base)
    mean = better[0]["metrics"]["mrr"] - base[0]["metrics"]["mrr"]
    # Seeds are alike here, so that it is the deviation of the mean over facts:
    gain = (1 / (rank / 2).ceil() - 1 / rank).mean(0)
    std = float(gain.std()) / 20
    assert low == pytest.approx(mean - 1.96 * std, abs=0.3 * std)
    assert high == pytest.approx(mean + 1.96 * std, abs=0.3 * std)
    assert own.render.interval(better, [{"seed": 0, "metrics": {"mrr": 0.5}}]) is None

    names = ("structure", "control: structure twice", "control: shuffled", "control: noise")
    known = {"with all": better, **dict.fromkeys(names, base)}
    assert "helps" in own.render.claims(known)
    assert "not beyond noise" in own.render.claims({**known, "control: noise": better})
    assert "not enough" in own.render.claims({"with all": better, "structure": base})


def test_ranks_are_kept_as_they_are(own):
    rank = torch.tensor([[1.0, 2.5, 14541.0], [3.0, 1.0, 7.5]])
    assert torch.equal(torch.tensor(own.experiment.unpack(own.experiment.pack(rank))).float(), rank)


def test_pages_are_those_of_the_lines(own, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["render.py", "--check"])
    own.render.main()


def test_a_number_without_a_line_is_told(own):
    text = "It has .483 of MRR, in 3 steps of 0.05, and is 17 times faster.\n"
    assert [x.split("'")[1] for x in own.render.unmarked(text, False)] == [
        ".483",
        "17 times faster",
    ]
    mark = "ablation/countries/IMF - ablation/countries/w/o CL; published"
    gain = own.render.difference(
        *(own.render.row_lines("ablation/countries", x)[0] for x in ("IMF", "w/o CL"))
    )
    good = f"It has {gain} more, where .389 is published.\n"
    assert own.render.unmarked(f"<!-- from: {mark} -->\n{good}", False) == []
    assert own.render.unmarked(f".. from: {mark}\n\n{good}", True) == []
    assert len(own.render.unmarked(f".. from: {mark}\n\n{good}\nOr .389.\n", True)) == 1
    assert len(own.render.unmarked(f".. from: {mark}\n\nIt has .999 more.\n", True)) == 1
    code = ".. code-block:: text\n\n   MRR .123\n\n```\n.456\n```\n"
    assert own.render.unmarked(code, True) == []
    with pytest.raises(SystemExit, match="names 'ablation/countries/none'"):
        own.render.unmarked("<!-- from: ablation/countries/none -->\nIt has .1.\n", False)


def test_a_table_for_a_page_of_the_documentation(own):
    cells = [["", "MRR"], ["IMF", ".5"], ["`x`", ""]]
    out = own.render.restructured(own.render.markdown(cells) + "\n\nBy `make`.")
    rows = ["   * -\n     - MRR", "   * - IMF\n     - .5", "   * - ``x``\n     -"]
    assert out == "\n".join(
        [".. list-table::", "   :header-rows: 1", "", *rows, "", "By ``make``."]
    )


class Parsed(Exception):
    pass


def test_commands_of_lines_can_be_given_today(own, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parsed(self, *args):
        parse(self, *args)
        raise Parsed

    text = "\n".join(path.read_text() for path in ROOT.glob("*.py"))
    for package in (x for x in ("h5py", "pykeen") if find_spec(x) is None):  # Those of extras.
        names = re.findall(rf"^(?:from|import) ({package}[\w.]*)", text, re.MULTILINE)
        for name in [package, *names]:
            monkeypatch.setitem(sys.modules, name, MagicMock())
    commands = {task.command for task in own.run.tasks([])}
    ids = {task.id for task in own.run.tasks([])}
    for path in sorted((ROOT / "results").glob("*.jsonl")):
        if path.stem != "archive":
            commands |= {line["command"] for line in own.results.lines(path.stem)}
    for command in sorted(commands):
        python, script, *words = shlex.split(command)
        path = ROOT.parent / script
        assert python == "python" and path.is_file(), command
        if script.endswith("/run.py"):
            assert set(own.run.parser().parse_args(words).only) <= ids, command
            continue
        with monkeypatch.context() as patch, pytest.raises(Parsed):
            patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
            patch.setattr(sys, "argv", [script, *words])
            runpy.run_path(str(path), run_name="__main__")


def test_every_line_of_results_is_complete(own):
    for path in (ROOT / "results").glob("*.jsonl"):
        for line in own.results.lines(path.stem):
            for name in ("commit", "device", "versions", "seed", "seconds", "metrics"):
                assert name in line, f"{path.name}: a line lacks '{name}'"
            assert "command" in line or path.stem == "archive"
            if "fingerprint" in line:
                assert not line["commit"].endswith("+"), f"{path.name}: a tree was not clean"


def test_every_script_is_documented():
    readme = (ROOT / "README.md").read_text()
    scripts = {path.name for path in (*ROOT.glob("*.py"), *ROOT.glob("*.sh"))}
    helpers = {"clock.py", "measures.py", "results.py"}
    assert scripts - helpers <= set(re.findall(r"(\w+\.(?:py|sh))", readme))
    assert set(re.findall(r"`(\w+\.py)", readme)) <= scripts


def test_published_figures_have_sources(own):
    published = own.configs.PUBLISHED
    who = {who for row in published["best"].values() for _, who in row.values()}
    assert who == set(published["sources"])
    for key, row in published["rows"].items():
        assert set(row) <= set(own.run.TABLES[key].rows)


def test_plain_imf_equals_imf(own):
    import plain

    from torch_imf import IMF

    x_dict = {"text": torch.randn(20, 6), "visual": torch.randn(20, 5)}
    mask_dict = {"visual": torch.rand(20) < 0.7}
    views = ["struct", "visual", "text", "fused"]
    model = IMF(20, 3, 8, x_dict, mask_dict, rel_channels=4, views=views).double()
    head_index, rel_type = torch.randint(20, (7,)), torch.tensor([0, 5, 0, 1, 1, 1, 4])
    target = (torch.rand(7, 20) < 0.2).double()
    out = model.loss(head_index, rel_type, target.nonzero().t())
    expected = plain.loss(model, head_index, rel_type, target)
    assert torch.allclose(out, expected)
    params = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(out, params, allow_unused=True)  # No text is missing.
    others = torch.autograd.grad(expected, params, allow_unused=True)
    for grad, other in zip(grads, others, strict=True):
        none = torch.zeros((), dtype=torch.double)
        assert torch.allclose(*(none if x is None else x for x in (grad, other)))
