import pytest

from torch_imf.cli import main

pytest.importorskip("gradio")


@pytest.fixture
def served(monkeypatch):
    # What is served, and where, by a server that ends at once.
    seen: list[tuple] = []

    class App:
        def __init__(self, explorers, decisions):
            self.explorers, self.decisions = explorers, decisions

        def block_thread(self):
            pass

        def close(self, verbose):
            seen.append("closed")

    def launch(app, *where):
        seen.append((app.explorers, app.decisions, *where))
        return "http://127.0.0.1:7860/"

    monkeypatch.setattr("torch_imf.serve.make_app", App)
    monkeypatch.setattr("torch_imf.serve.app.launch", launch)
    return seen


def test_serve(saved, call, read, served, tmp_path):
    assert call("serve", saved, "--beside", saved / "model") == "Ended\n"
    (explorers, decisions, host, port, auth), closed = served
    assert [*explorers] == ["first", "model"] and decisions is None and closed == "closed"
    assert (host, port, auth) == ("127.0.0.1", None, None)
    first = explorers["first"]
    assert first.history and set(first.metrics) > {"mrr", "hits@10"}
    assert explorers["model"].history == []
    # Texts and flags of what comes with the package, without a word:
    (row,) = first.search("France", k=1)
    assert first.content.text(row).startswith("France. ") and first.content.pictures([row])[0]
    (answer,) = first.ask({"name": "Atlantis", "numbers": {"area": 10.0}}, 0, k=1)
    assert answer.name

    kept = tmp_path / "kept.jsonl"
    flags = ["--review", "--decisions", kept, "--auth", "ann:secret", "--port", 7999]
    assert read("serve", saved, *flags)["decisions"] == str(kept)
    assert served[2][1].path == str(kept) and served[2][3:] == (7999, ("ann", "secret"))


def test_serve_warns(saved, served, capsys):
    assert main(["serve", str(saved), "--host", "0.0.0.0"]) == 0
    assert served[0][2] == "0.0.0.0"
    assert "open to everybody, as no '--auth' is given" in capsys.readouterr().err


def test_serve_fails(saved, fails, served):
    assert "'user:password'" in fails("serve", saved, "--auth", "ann")
    assert fails("serve", saved, "--decisions", "d.jsonl") == "'--decisions' needs '--review'"
    assert "no dataset" in fails("serve", saved, "--content", "nothing_like_it").lower()
    assert served == []
