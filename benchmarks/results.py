"""Appends one line per run to `benchmarks/results/`, with all that is needed to repeat it."""

import datetime
import json
import os
import os.path as osp
import platform
import shlex
import subprocess
import sys
from functools import cache
from typing import Any

import sklearn
import torch
import torch_geometric

import torch_imf

ROOT = osp.dirname(osp.dirname(osp.realpath(__file__)))
RESULTS = osp.join(ROOT, "benchmarks", "results")
#: What `run.py` adds to the lines of a script that it runs.
FROM_RUN = "BENCHMARK_LINE"


def append(name: str, seed: int, seconds: float, metrics: dict[str, Any], **info: Any) -> str:
    """Appends a result and returns its line.

    Args:
        name: The benchmark, which names the file.
        seed: The seed of the run.
        seconds: Its wall-clock time.
        metrics: What was measured.
        **info: Settings and sizes that the command does not tell.
    """
    command = shlex.join([osp.relpath(sys.argv[0], ROOT), *sys.argv[1:]])
    about = {**json.loads(os.environ.get(FROM_RUN, "{}")), **info}
    text = json.dumps({**line(f"python {command}", seed, seconds, metrics), **about})
    os.makedirs(RESULTS, exist_ok=True)
    with open(osp.join(RESULTS, f"{name}.jsonl"), "a") as f:
        f.write(text + "\n")
    return text


def line(command: str, seed: int, seconds: float, metrics: dict[str, Any]) -> dict[str, Any]:
    """What every line has."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "commit": commit(),
        "device": device(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torch_geometric": torch_geometric.__version__,
            "torch_imf": torch_imf.__version__,
            "sklearn": sklearn.__version__,
        },
        "seed": seed,
        "seconds": round(seconds, 1),
        "metrics": metrics,
    }


def lines(name: str) -> list[dict[str, Any]]:
    """The lines of a file of results so far."""
    path = osp.join(RESULTS, f"{name}.jsonl")
    if not osp.exists(path):
        return []
    out = []
    with open(path) as f:
        for number, line in enumerate(f, start=1):
            try:
                out.append(json.loads(line))
            except json.JSONDecodeError as e:
                raise SystemExit(f"'{path}', line {number} is no JSON, remove it ({e})") from e
    return out


@cache
def commit() -> str:
    """The commit of the working tree when it is first asked for, with a plus if code has changed
    since.
    """

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    no_code = [":!benchmarks/results", ":!*.md", ":!*.rst"]
    changed = git("status", "--porcelain", "--", ".", *no_code)
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def device() -> str:
    """The accelerator, or the number of threads of the CPU in use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


commit()  # As the run begins: the tree may change while it lasts.
