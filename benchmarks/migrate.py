"""Brings lines from before there was `run.py` into its form: `command` is that of today, and `was`
the one that they were made by. Those of rows that are gone go to `results/archive.jsonl`.

    python benchmarks/migrate.py                # of the lines in results/
    python benchmarks/migrate.py 37f523c main   # and of those that a branch has added since then

To be deleted when no branch has such lines.
"""

import glob
import json
import os
import os.path as osp
import subprocess
import sys

import run
from results import RESULTS, ROOT, lines
from tables import TABLES

#: Scripts and arguments that had another name.
RENAMED = {
    "speed.py --threads 2 --steps 1": "speed_adamf.py --threads 2 --steps 1",
    "--num_queries 512 --scorers convkb complex transe rotate quate transd pairre hake ote bique "
    "tucker conve contextual": "--num_queries 512",
}


def shown(commit: str, name: str) -> list[str]:
    command = ["git", "show", f"{commit}:benchmarks/results/{name}.jsonl"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return out.stdout.splitlines() if out.returncode == 0 else []


def added(name: str) -> list[str]:
    """The lines of a file that were added between two commits, if they are given."""
    if len(sys.argv) < 3:
        return []
    old = set(shown(sys.argv[1], name))
    return [x for x in shown(sys.argv[2], name) if x not in old]


def names() -> set[str]:
    """The files of results here, and those of the second commit."""
    found = list(map(osp.basename, glob.glob(osp.join(RESULTS, "*.jsonl"))))
    if len(sys.argv) == 3:
        command = ["git", "ls-tree", "--name-only", f"{sys.argv[2]}:benchmarks/results"]
        found += subprocess.check_output(command, cwd=ROOT, text=True).split()
    return {x.removesuffix(".jsonl") for x in found}


archive, scripts = [], set(map(osp.basename, glob.glob(osp.join(ROOT, "benchmarks", "*.py"))))
for name in sorted(names()):
    kept = []
    is_of_rows = name in {x.partition("/")[0] for x in TABLES}
    for line in [*lines(name), *map(json.loads, added(name))]:
        if "fingerprint" not in line and "was" not in line and name != "archive":
            command = line["command"]
            if is_of_rows or f"{name}.py" not in scripts:
                task = run.Task(*run.of_line(line, name))
                if task.table not in TABLES or task.label not in TABLES[task.table].rows:
                    del line["command"]
                    archive.append({"file": name, "was": command, **line})
                    continue
                line |= {"was": command, "command": task.command}
            for old, new in RENAMED.items():
                if old in line["command"]:
                    line |= {"was": command, "command": line["command"].replace(old, new)}
        if name == "systems" and "fingerprint" not in line and line.get("curve"):
            # Some lines had test facts as known answers in validation, but not in their curve.
            line["metrics"]["val_mrr"] = max(mrr for _, mrr in line["curve"])
        if line not in kept:
            kept.append(line)
    path = osp.join(RESULTS, f"{name}.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(x) + "\n" for x in kept)
    if not kept:
        os.remove(path)
if archive:
    with open(osp.join(RESULTS, "archive.jsonl"), "a") as f:
        f.writelines(json.dumps(x) + "\n" for x in archive)
print(f"{len(archive)} lines are of no row of today")
