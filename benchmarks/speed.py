"""Measures speed beside the plain way and beside peers, and prints the table of `README.md`.

Runs the scripts below one after the other, for about an hour on two cores that have nothing else to
do, and needs `pip install torch_imf[benchmark]`. `--table` prints the table of the last lines.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from results import ROOT, lines

COMMANDS = [
    "speed_imf.py --batch_size 8192",
    "speed_imf.py --batch_size 8192 --precision fp32 --steps 2 --repeats 2",
    "speed_peers.py --batch_size 4096 --steps 4 --repeats 2 --threads 2",
    "speed_ranking.py --repeats 1 --threads 2",
    "speed_imf.py --batch_size 8192 --keep_memory",
    "speed_peers.py --batch_size 4096 --steps 4 --repeats 2 --threads 2 --keep_memory",
    "speed_ranking.py --repeats 1 --threads 2 --keep_memory",
    "speed_accuracy.py",
    "growth.py",
    "growth.py --loss ce",
    "speed_loading.py --threads 2",
]

Row = tuple[str, str, str, float]


def rows(keep_memory: bool) -> Iterator[Row]:
    """What is measured, by us, by others, and their ratio: of the last line of each kind."""
    found: dict[str, Row] = {}

    def add(name: str, ours: str, theirs: str, ratio: float) -> None:
        found[name] = name, ours, theirs, ratio

    for name in ("speed_imf", "speed_peers", "speed_ranking"):
        for line in lines(name):
            if line["settings"]["keep_memory"] == keep_memory:
                ROWS[name](line, add)
    yield from found.values()


def imf(line: dict[str, Any], add: Any) -> None:
    m, precision = line["metrics"], line["settings"]["precision"]
    share = f"{m['queries_per_second']:,} queries/s, {m['share_of_rate']:.0%} of the rate"
    theirs = f"{m['plain_queries_per_second']:.0f} written plainly"
    add(f"IMF, 4 views, {precision}", share, theirs, m["ratio"])


def peers(line: dict[str, Any], add: Any) -> None:
    m = line["metrics"]
    title = {"complex": "ComplEx 256", "conve": "ConvE 200", "tucker": "TuckER 256x256"}[m["model"]]
    theirs = f"{m['PyKEEN']['queries_per_second']:,.0f} by PyKEEN"
    for precision in ("bf16", "fp32"):
        ours = f"{m[precision]['queries_per_second']:,.0f} queries/s"
        ratio = m[precision]["ratio_of_queries_per_second"]
        add(f"{title}, 1-N, {precision}", ours, theirs, ratio)


def ranking(line: dict[str, Any], add: Any) -> None:
    m = line["metrics"]
    name = m["comparison"]
    what = "both sides, filtered" if name == "PyKEEN" else "tails"
    ours, theirs = (m[key]["seconds"] for key in ("torch_imf", name))
    add(f"Ranking, {what}", f"{ours:.2f} s", f"{theirs:.0f} s by {name}", m["ratio_of_seconds"])


ROWS = {"speed_imf": imf, "speed_peers": peers, "speed_ranking": ranking}


def table() -> str:
    """The table of all side-by-side measurements."""
    kept = {row[0]: row for row in rows(keep_memory=True)}
    out = ["| | here | beside | times faster | without page faults |", "|---|---:|---:|---:|---:|"]
    for name, ours, theirs, ratio in rows(keep_memory=False):
        other = f"{kept[name][3]:.1f}" if name in kept else ""
        out.append(f"| {name} | {ours} | {theirs} | {ratio:.1f} | {other} |")
    return "\n".join(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--table", action="store_true", help="Measure nothing.")
    if not parser.parse_args().table:
        for command in COMMANDS:
            script, *args = command.split()
            subprocess.run([sys.executable, f"benchmarks/{script}", *args], cwd=ROOT, check=True)
    print(table())
