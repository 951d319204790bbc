"""Appends one line per run to `benchmarks/results/`, with all that is needed to repeat it."""

import datetime
import json
import os
import os.path as osp
import platform
import shlex
import subprocess
import sys
from typing import Any

import sklearn
import torch
import torch_geometric

import torch_imf

ROOT = osp.dirname(osp.dirname(osp.realpath(__file__)))
RESULTS = osp.join(ROOT, "benchmarks", "results")


def append(name: str, seed: int, seconds: float, metrics: dict[str, Any], **info: Any) -> str:
    """Appends a result and returns its line.

    Args:
        name: The benchmark, which names the file.
        seed: The seed of the run.
        seconds: Its wall-clock time.
        metrics: What was measured.
        **info: Settings and sizes that the command does not tell.
    """
    command = [osp.relpath(sys.argv[0], ROOT), *sys.argv[1:]]
    line = {
        "date": datetime.date.today().isoformat(),
        "command": f"python {shlex.join(command)}",
        "commit": COMMIT,
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
        **info,
    }
    os.makedirs(RESULTS, exist_ok=True)
    with open(osp.join(RESULTS, f"{name}.jsonl"), "a") as f:
        f.write(json.dumps(line) + "\n")
    return json.dumps(line)


def commit() -> str:
    """The commit of the working tree, with a plus if there are changes beside results."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def device() -> str:
    """The accelerator, or the number of threads of the CPU in use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


COMMIT = commit()  # As the run begins: the tree may change while it lasts.
