"""Brings lines from before there was `run.py` into its form: `command` is that of today, and `was`
the one that they were made by. Those of rows that are gone go to `results/archive.jsonl`.

To be run once after such lines were added, and to be deleted when the last of them is replaced.
"""

import glob
import json
import os.path as osp

import run
from results import RESULTS, lines
from tables import TABLES

#: Scripts and arguments that had another name.
RENAMED = {
    "speed.py --threads 2 --steps 1": "speed_adamf.py --threads 2 --steps 1",
    "--num_queries 512 --scorers convkb complex transe rotate quate transd pairre hake ote bique "
    "tucker conve contextual": "--num_queries 512",
}
archive = []
for path in sorted(glob.glob(osp.join(RESULTS, "*.jsonl"))):
    name = osp.basename(path).removesuffix(".jsonl")
    is_of_rows = name in {x.partition("/")[0] for x in TABLES}
    kept = []
    for line in lines(name):
        command = line.get("command", "")
        if "fingerprint" not in line and "was" not in line and name != "archive":
            if is_of_rows or f"{name}.py" not in map(osp.basename, glob.glob("benchmarks/*.py")):
                task = run.Task(*run.of_line(line, name))
                if task.table not in TABLES or task.label not in TABLES[task.table].rows:
                    del line["command"]
                    archive.append({"file": name, "was": command, **line})
                    continue
                line |= {"was": command, "command": task.command}
            for old, new in RENAMED.items():
                if old in line["command"]:
                    line |= {"was": command}
                    line["command"] = line["command"].replace(old, new)
        kept.append(line)
    with open(path, "w") as f:
        f.writelines(json.dumps(x) + "\n" for x in kept)
with open(osp.join(RESULTS, "archive.jsonl"), "a") as f:
    f.writelines(json.dumps(x) + "\n" for x in archive)
print(f"{len(archive)} lines are of no row of today")
