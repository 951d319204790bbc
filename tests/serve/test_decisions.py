import json
import subprocess
import sys
import threading

import pytest

from torch_imf.answers.results import Fact
from torch_imf.io.tables import read_rows
from torch_imf.serve import Decisions


def fact(i: int, probability: float = 0.5) -> Fact:
    return Fact(
        i, 0, 1, f"name {i}", "near", "b", 1.0, probability, 0.9, f"node:{i}", "r0", "node:b"
    )


def test_decisions(tmp_path):
    kept = Decisions(tmp_path / "new" / "decisions.jsonl")
    assert kept.entries() == [] and len(kept.agreement()) == 1
    for i, choice in enumerate(["accept", "refuse", "accept", "unsure"]):
        kept.add(" ann ", choice, fact(i, 0.9))
    kept.add("bob", "accept", fact(1, 0.1))
    kept.add("ann", "accept", fact(1, 0.9))  # The last word.
    assert kept.of("ann")["node:1", "r0", "node:b"] == "accept"
    titles, *rows = Decisions(kept.path).agreement()
    assert titles[-2:] == ["share accepted", "probability claimed"]
    assert rows == [
        ["everybody", "4", "0", "1", "100.0 %", "70.0 %"],
        ["by ann", "3", "0", "1", "100.0 %", "90.0 %"],
        ["by bob", "1", "0", "0", "100.0 %", "10.0 %"],
        ["claimed 80 to 100 %", "3", "0", "1", "100.0 %", "90.0 %"],
        ["claimed 0 to 20 %", "1", "0", "0", "100.0 %", "10.0 %"],
    ]
    assert kept.write(tmp_path / "out.tsv") == 5
    rows = read_rows(str(tmp_path / "out.tsv"), 7, header=True)
    assert rows[0][:5] == ["node:0", "r0", "node:b", "accept", "ann"]


def test_decisions_refuse(tmp_path, refuses):
    kept, other = Decisions(tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    other.write_text('{"some": "thing"}\n')
    refuses(
        ("one of", lambda: kept.add("ann", "maybe", fact(0))),
        ("a name", lambda: kept.add(" ", "accept", fact(0))),
        ("b.jsonl', line 1: no decision", lambda: Decisions(other)),
    )


def test_decisions_survive_a_kill(tmp_path):
    path = tmp_path / "decisions.jsonl"
    kept = Decisions(path)
    kept.add("ann", "accept", fact(0))
    with open(path, "ab") as file:
        file.write(b'{"reviewer": "ann", "hea')  # In the middle of a line.
    with pytest.warns(UserWarning, match="line 2: a decision that was cut off"):
        kept = Decisions(path)
        kept.add("ann", "refuse", fact(1))
    with pytest.warns(UserWarning, match="cut off"):
        assert [x["decision"] for x in kept.entries()] == ["accept", "refuse"]
    code = "import os, sys\nfrom torch_imf.answers import Fact\n"
    code += "from torch_imf.serve import Decisions\n"
    code += f"Decisions(sys.argv[1]).add('bob', 'accept', {fact(2)!r}); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(path)])
    assert done.returncode == -9
    assert json.loads(path.read_bytes().splitlines()[-1])["reviewer"] == "bob"


def test_decisions_of_several_at_once(tmp_path):
    path = tmp_path / "decisions.jsonl"

    def work(name: str) -> None:
        own = Decisions(path)
        for i in range(20):
            own.add(name, "accept", fact(i))

    threads = [threading.Thread(target=work, args=[f"reviewer {j}"]) for j in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Decisions(path).entries()) == 80
