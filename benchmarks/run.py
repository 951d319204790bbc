"""Makes the rows of all tables: runs what is missing or stale, and goes on with what was stopped.

    python benchmarks/run.py --list                # the state of each row, and its minutes
    python benchmarks/run.py mkgy --minutes 30     # a graph, for half an hour
    python benchmarks/run.py ablation/countries "ablation/mkgy/w/o MF" speed_imf

What to run is the name of a table, of a graph, of both, of a row, or of a script; everything, if
nothing is named. It can be stopped at any moment. A line of `results/` is `done` if its numbers are
those of the code today (`fingerprint.py`), by the settings and minutes of the row and a clean
commit, and `stale` otherwise: it is kept until there is another. `render.py` prints the tables.
"""

import argparse
import json
import os
import os.path as osp
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import experiment
import fingerprint
import results
import torch
from experiment import OutOfTime
from tables import COMMANDS, TABLES

from torch_imf.cli.main import limit_caches

Line = dict[str, Any]


class Task(NamedTuple):
    """A row and a seed, or a command (`table` is its script)."""

    table: str
    label: str
    seed: int = 0

    @property
    def is_command(self) -> bool:
        return self.table not in TABLES

    @property
    def id(self) -> str:
        return self.label if self.is_command else f"{self.table}/{self.label}"

    @property
    def command(self) -> str:
        if self.is_command:
            return f"python benchmarks/{self.label}"
        return f"python benchmarks/run.py {shlex.quote(self.id)}"


def tasks(only: list[str]) -> list[Task]:
    """What is chosen, in the order to run it."""
    every = [
        Task(name, label, seed)
        for name, table in TABLES.items()
        for seed in range(table.seeds)
        for label in table.rows
    ]
    every += [Task(command.partition(".py")[0], command) for command in COMMANDS]
    unknown = [x for x in only if not any(_matches(x, task) for task in every)]
    if unknown:
        known = sorted({task.table for task in every})
        raise SystemExit(f"There is no table, graph, row or script {unknown}, choose of {known}")
    return [task for task in every if not only or any(_matches(x, task) for x in only)]


def _matches(name: str, task: Task) -> bool:
    kind, _, graph = task.table.partition("/")
    return name in (kind, task.table, task.id) or graph == name or graph.startswith(f"{name}-")


def of_line(line: Line, name: str) -> tuple[str, str, int]:
    """The table, label and seed of a line, also of one from before there was `run.py`."""
    table = line.get("table") or f"{name}/{line.get('settings', {}).get('graph')}"
    return table, line.get("label", ""), line["seed"]


@cache
def _found(results_folder: str, name: str, changed: float) -> dict[Any, list[Line]]:
    out: dict[Any, list[Line]] = {}
    for line in results.lines(name):
        command = line.get("command", "").removeprefix("python benchmarks/")
        for key in (of_line(line, name), command):
            out.setdefault(key, []).append(line)
    return out


def lines(task: Task) -> list[Line]:
    """The lines of a task, none or one of a row, and maybe several of a command."""
    name = task.table.partition("/")[0]
    path = osp.join(results.RESULTS, f"{name}.jsonl")
    changed = osp.getmtime(path) if osp.exists(path) else 0.0
    found = _found(results.RESULTS, name, changed)
    return found.get(task.label if task.is_command else tuple(task), [])


def numbers(task: Task) -> fingerprint.Numbers:
    """What a task computes, as the code is today."""
    if task.is_command:
        return fingerprint.of_command(COMMANDS[task.label])
    graph = task.table.partition("/")[2]
    return fingerprint.fingerprint(TABLES[task.table].rows[task.label], graph)


def state(task: Task, check_data: bool = False) -> tuple[str, str]:
    """`done`, `stale` or `missing`, and why."""
    found = lines(task)
    if not found:
        return "missing", ""
    line = found[-1]
    if "fingerprint" not in line:
        return "stale", "from before rows had fingerprints"
    if line["commit"].endswith("+"):
        return "stale", "its tree was not clean"
    if not task.is_command:
        table, graph = TABLES[task.table], task.table.partition("/")[2]
        row = table.rows[task.label]
        if line["row"] != json.loads(json.dumps(row)):
            return "stale", "its settings are others"
        if line["minutes"] != table.minutes:
            return "stale", f"it had {line['minutes']} minutes, and not {table.minutes}"
        if check_data:
            today = fingerprint.of_data(experiment.load(row.get("graph", graph)))
            if why := fingerprint.difference(line["data"], today):
                return "stale", f"its graph is another ({why})"
    why = fingerprint.difference(line["fingerprint"], numbers(task))
    return ("stale", why) if why else ("done", "")


def replace(name: str, old: list[Line], new: list[Line]) -> None:
    """Puts lines in the place of others, in one step."""
    kept = [x for x in results.lines(name) if x not in old]
    path = osp.join(results.RESULTS, f"{name}.jsonl")
    os.makedirs(results.RESULTS, exist_ok=True)
    with open(f"{path}.tmp", "w") as f:
        f.writelines(json.dumps(x) + "\n" for x in [*kept, *new])
    os.replace(f"{path}.tmp", path)


def run_row(task: Task, end: float) -> Line:
    """Trains what a row needs, and keeps its line."""
    table, (kind, _, graph) = TABLES[task.table], task.table.partition("/")
    row, today = table.rows[task.label], numbers(task)
    for i, path in enumerate(checkpoints(task)):  # What other code has begun is no part of this.
        notes, own = experiment.Notes(path), {"": today[f"member {i}"]}
        if fingerprint.difference({"": notes.get("fingerprint", own[""])}, own):
            remove([path])
        experiment.Notes(path).save(fingerprint=own[""])
    found = experiment.run(row, graph, task.seed, table.minutes, lambda: end - time.monotonic())
    about = {
        **{"table": task.table, "label": task.label, "row": row, "minutes": table.minutes},
        **{
            "fingerprint": today,
            "data": fingerprint.of_data(experiment.load(row.get("graph", graph))),
        },
    }
    old = lines(task)
    line = results.line(task.command, task.seed, found.pop("seconds"), found.pop("metrics"))
    replace(kind, old, [json.loads(json.dumps({**line, **about, **found}))])
    return {**line, **found}


def run_command(task: Task) -> None:
    """Runs a script, which appends its lines; none of them counts if it does not end."""
    old, before = lines(task), results.lines(task.table)
    about = json.dumps({"fingerprint": numbers(task)})
    words = [sys.executable, *shlex.split(task.command)[1:]]
    env = {**os.environ, results.FROM_RUN: about}
    try:
        subprocess.run(words, cwd=results.ROOT, check=True, env=env)
    except BaseException:
        added = [x for x in results.lines(task.table) if x not in before]
        replace(task.table, added, [])
        raise
    replace(task.table, old, [])


def checkpoints(task: Task) -> list[str]:
    """The files of the members of a row."""
    if task.is_command:
        return []
    table, graph = TABLES[task.table], task.table.partition("/")[2]
    return experiment.checkpoints(table.rows[task.label], graph, task.seed, table.minutes)


def remove(paths: list[str]) -> None:
    """Removes checkpoints, and what is beside them."""
    for path in paths:
        folder, name = osp.split(path)
        for other in os.listdir(folder) if osp.isdir(folder) else []:
            if name in other:
                os.remove(osp.join(folder, other))


def show(chosen: list[Task], check_data: bool) -> None:
    """Prints the state of each row, over its seeds, and the minutes that it took before."""
    rows: dict[str, list[Task]] = {}
    for task in chosen:
        rows.setdefault(task.id, []).append(task)
    count = dict.fromkeys(("done", "stale", "missing"), 0)
    for name, group in rows.items():
        by_state: dict[tuple[str, str], list[int]] = {}
        for task in group:
            by_state.setdefault(state(task, check_data), []).append(task.seed)
        for (kind, why), seeds in by_state.items():
            count[kind] += len(seeds)
            seconds = [sum(x["seconds"] for x in lines(t)[-1:]) for t in group if t.seed in seeds]
            took = f", {sum(seconds) / len(seconds) / 60:.1f} min each" if any(seconds) else ""
            which = "" if group[0].is_command else f" of seeds {', '.join(map(str, seeds))}"
            print(f"{kind:8}{name}{which}{took}{f' ({why})' if why else ''}")
    print(", ".join(f"{x} {kind}" for kind, x in count.items()))


@contextmanager
def tiny() -> Iterator[None]:
    """Makes every model tiny, and keeps lines elsewhere, to try what is run."""
    for table in TABLES.values():
        for row in table.rows.values():
            for member in row.get("members", []):
                sizes = {key: x for key, x in fingerprint.SIZES.items() if key in member}
                member |= {**sizes, "hidden_channels": 16, "epochs": 1, "eval_every": 1}
    with tempfile.TemporaryDirectory() as folder:
        results.RESULTS = experiment.CHECKPOINTS = folder
        yield


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("only", nargs="*", metavar="what", help="(default: everything)")
    out.add_argument("--minutes", type=float, help="stop after so many, and go on another time")
    out.add_argument("--list", action="store_true", help="tell what there is to do, and do nothing")
    out.add_argument("--data", action="store_true", help="look at graphs, too, for what is stale")
    out.add_argument("--seeds", type=int, help="the first ones only")
    out.add_argument("--threads", type=int, default=1, help="(default: 1)")
    out.add_argument(
        "--tiny", action="store_true", help="try it with tiny models, and keep no line"
    )
    return out


def main(words: list[str] | None = None) -> None:
    args = parser().parse_args(words)
    limit_caches()
    torch.set_num_threads(args.threads)
    chosen = tasks(args.only)
    if args.seeds is not None:
        chosen = [task for task in chosen if task.seed < args.seeds]
    if args.list:
        show(chosen, args.data)
    elif args.tiny:
        with tiny():
            run([task for task in chosen if not task.is_command], args.minutes, args.data)
    elif results.commit().endswith("+"):
        raise SystemExit("Rows are made of what is committed: commit your changes first")
    else:
        run(chosen, args.minutes, args.data)


def run(chosen: list[Task], minutes: float | None, check_data: bool) -> None:
    """Runs what is not done, for so many minutes."""
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    todo = [task for task in chosen if state(task, check_data)[0] != "done"]
    paths, failed = [checkpoints(task) for task in todo], []
    for number, task in enumerate(todo):
        try:
            if time.monotonic() > end:
                raise OutOfTime
            print(f"{task.id}, seed {task.seed}", flush=True)
            if task.is_command:
                run_command(task)
                continue
            line = run_row(task, end)
        except OutOfTime:
            print(f"{len(todo) - number} rows are left, for the same command to go on with")
            break
        except (RuntimeError, subprocess.CalledProcessError) as error:  # Others may be right.
            print(f"  has failed: {error}", flush=True)
            failed.append(task.id)
            continue
        waiting = [x for x in tasks([task.table]) if state(x)[0] != "done"]  # In whatever call.
        later = {path for x in [*paths[number + 1 :], *map(checkpoints, waiting)] for path in x}
        remove([path for path in paths[number] if path not in later])
        each = ", ".join(f"{x:.1f} s" for x in line["seconds_per_epoch"])
        mrr, took = line["metrics"]["mrr"], line["seconds"] / 60
        print(f"  test MRR {mrr:.4f}, {took:.1f} min, an epoch {each}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} rows have failed: {', '.join(dict.fromkeys(failed))}")


if __name__ == "__main__":
    main()
