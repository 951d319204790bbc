"""Writes the tables of `README.md`, `benchmarks/README.md` and the documentation from the lines in
`benchmarks/results/`, and checks the numbers beside them.

    python benchmarks/render.py            # writes
    python benchmarks/render.py --check    # fails if something is not as the lines say

A table stands between `<!-- name graph -->` and `<!-- end -->`, and on a page of the documentation
between `.. table name graph` and `.. end`. A paragraph with numbers of results (`.478`, `17 times`)
begins with `<!-- from: ablation/countries/IMF; ... -->`, or comes after `.. from: ...`, which names
the rows or files of results (or `published`) that they are of; `a - b` is the difference of two.
"""

import argparse
import os.path as osp
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from glob import glob
from typing import Any

import numpy as np
import results
import torch
from configs import PUBLISHED
from experiment import unpack
from results import ROOT
from run import COMMANDS, TABLES, Line, Task, lines, state

PAGES = [osp.join(ROOT, "README.md"), osp.join(ROOT, "benchmarks", "README.md")]
PAGES += sorted(glob(osp.join(ROOT, "docs", "source", "**", "*.rst"), recursive=True))
METRICS = {"val_mrr": "val MRR", "mrr": "MRR", "hits@1": "H@1", "hits@10": "H@10"}
Cells = list[list[str]]


# Numbers ########################################################################################


def number(x: float) -> str:
    return f"{x:.3f}".replace("0.", ".", 1) if abs(x) < 1 else f"{x:.3f}"


def mean_std(values: list[float]) -> str:
    x = torch.tensor(values, dtype=torch.double)
    out = number(float(x.mean()))
    return f"{out} ± {number(float(x.std()))}" if len(values) > 1 else out


def paired(group: list[Line], base: list[Line]) -> list[tuple[Line, Line]]:
    """The lines of two rows, of the seeds that both have."""
    by_seed = {line["seed"]: line for line in base}
    return [(line, by_seed[line["seed"]]) for line in group if line["seed"] in by_seed]


def difference(group: list[Line], base: list[Line]) -> str:
    """The MRR of a row less that of another."""
    x = [a["metrics"]["mrr"] - b["metrics"]["mrr"] for a, b in paired(group, base)]
    return "" if not any(x) else mean_std(x) if sum(x) < 0 else f"+{mean_std(x)}"


def interval(group: list[Line], base: list[Line]) -> tuple[float, float] | None:
    """The range of the difference of two rows in 95 % of 2,000 draws, with replacement, of seeds
    and of test facts, which the two share.
    """
    pairs = paired(group, base)
    if not pairs or not all("ranks" in x for pair in pairs for x in pair):
        return None
    better = np.stack([(1 / unpack(a["ranks"]) - 1 / unpack(b["ranks"])).mean(0) for a, b in pairs])
    rng, (seeds, facts) = np.random.default_rng(0), better.shape
    means = []
    for _ in range(2000):
        drawn = better[rng.integers(seeds, size=seeds)].mean(0)
        means.append(drawn[rng.integers(facts, size=facts)].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def gain(group: list[Line], base: list[Line]) -> str:
    """The difference of two rows, with its range where ranks were kept."""
    text, between = difference(group, base), interval(group, base)
    if text and between:
        text += f" [{between[0]:+.3f}, {between[1]:+.3f}]".replace("0.", ".")
    return text


# Rows ###########################################################################################


def row_lines(table: str, label: str) -> tuple[list[Line], str]:
    """The lines of a row, those that are done if there are any, and why they are stale if not."""
    found = [(state(task), lines(task)) for task in _tasks(table, label)]
    done = [x[-1] for (kind, _), x in found if kind == "done"]
    if done:
        return done, ""
    stale = [(x[-1], why) for (kind, why), x in found if kind == "stale"]
    return [line for line, _ in stale], stale[0][1] if stale else ""


def _tasks(table: str, label: str) -> list[Task]:
    # Of all seeds that have lines, which may be more than the table asks for.
    name = table.partition("/")[0]
    seeds = {x["seed"] for x in results.lines(name) if x.get("label") == label}
    return [Task(table, label, seed) for seed in sorted(seeds)]


def rising(line: Line) -> bool:
    """Whether the last epoch was the best."""
    if "rising" in line:
        return line["rising"]
    curve = line.get("curve") or [[0, 0]]
    return len(curve) > 1 and line.get("epoch", max(curve, key=lambda x: x[1])[0]) == curve[-1][0]


def table(name: str, graph: str) -> str:
    """A row for each label: means over seeds, and what is to be known about the lines."""
    key = f"{name}/{graph}"
    spec = TABLES[key]
    found = {label: row_lines(key, label) for label in spec.rows}
    known = {label: group for label, (group, _) in found.items() if group}
    command = f"make tables ONLY={key}"
    budget = f"{spec.seeds} seed{'s' * (spec.seeds > 1)}, at most {spec.minutes:g} minutes a model"
    if not known:
        return f"*Not run*: {len(spec.rows)} rows, {budget}, by `{command}`."
    first = next((x for x in ("IMF", "AdaMF", "structure") if x in known), "")
    published = PUBLISHED["rows"].get(key, {})
    head = ["", *METRICS.values(), "MR", "seeds", "minutes"]
    head += [f"MRR less that of {first}"] * bool(first) + ["published"] * bool(published)
    cells = [head]
    for label, group in known.items():
        marks = " ↑" * any(map(rising, group)) + " †" * bool(found[label][1])
        metrics = [line["metrics"] for line in group]
        out = [label + marks, *(_of(metrics, key) for key in METRICS)]
        out += [f"{np.mean([m['mr'] for m in metrics]):.0f}" if "mr" in metrics[0] else ""]
        out += [str(len(group)), f"{np.mean([x['seconds'] for x in group]) / 60:.1f}"]
        if first:
            out.append(gain(group, known[first]))
        if published:
            out.append(number(published[label]) if label in published else "")
        cells.append(out)
    missing = [x for x in spec.rows if x not in known]
    notes = [f"{budget[0].upper()}{budget[1:]}", *_notes(known, found, spec.seeds)]
    if missing:
        notes.append(f"*not run*: {', '.join(missing)} (`{command}`)")
    claim = claims(known) if name == "controls" else ""
    return "\n".join([markdown(cells), "", "; ".join(notes) + ".", *([claim] * bool(claim))])


def _of(metrics: list[dict[str, float]], name: str) -> str:
    return mean_std([m[name] for m in metrics]) if all(name in m for m in metrics) else ""


def _notes(
    known: dict[str, list[Line]], found: dict[str, tuple[list[Line], str]], seeds: int
) -> Iterator[str]:
    # What tells rows from their neighbours.
    def some(labels: list[str]) -> str:
        return "all rows" if len(labels) == len(known) else ", ".join(labels)

    def by(kind: Callable[[str], str]) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        for label in known:
            out.setdefault(kind(label), []).append(label)
        return out

    if any(rising(x) for group in known.values() for x in group):
        yield "↑ the last epoch was the best"
    whys = by(lambda label: found[label][1])
    yield from (f"† stale, {why}: {some(labels)}" for why, labels in whys.items() if why)
    for what, get in {
        "commit": lambda x: " ".join(x.get("code") or [x["commit"]]),
        "device": lambda x: x["device"],
    }.items():
        kinds = by(lambda label, get=get: " and ".join(sorted({get(x) for x in known[label]})))
        parts = (f"{x} ({some(y)})" if len(kinds) > 1 else x for x, y in kinds.items())
        yield f"{what} {', '.join(parts)}"
    others = [label for label, group in known.items() if len(group) != seeds]
    if others:
        yield f"of other seeds: {some(others)}"


def claims(known: dict[str, list[Line]]) -> str:
    """What can be claimed for all modalities together: what is beyond every control."""
    own = known.get("with all", [])
    names = [x for x in known if (x.startswith("control: ") and "," not in x) or x == "structure"]
    between = {name: interval(own, known[name]) for name in names}
    if not own or not all(between.values()) or len(names) < 4:
        return "\nOf ranks that are kept, there are not enough to claim anything."
    beaten = [x for x, limits in between.items() if limits and limits[0] > 0]
    if len(beaten) == len(names):
        return "\n**What entities are known by helps**: all of it has more than every control."
    rest = ", ".join(x.removeprefix("control: ") for x in names if x not in beaten)
    return f"\n**Nothing can be claimed** for what entities are known by: it is not beyond {rest}."


# Tables of other shapes #########################################################################


#: Graph -> its title, the row that is our best, and the same without modalities.
SUMMARY: dict[str, tuple[str, tuple[str, str], tuple[str, str]]] = {
    graph: (
        title,
        (table, label),
        (table, without) if without else (f"recipe/{graph}", "structure only"),
    )
    for graph, title, table, label, without in (
        ("countries", "Countries", "recipe/countries", "IMF", ""),
        ("openmoji", "OpenMoji", "views/openmoji", "+ features", ""),
        ("fb15k237", "FB15K-237", "views/fb15k237", "ensemble", "+ rules"),
        ("fb15k", "FB15K", "recipe/fb15k", "IMF", ""),
        ("mkgy", "MKG-Y", "views/mkgy-minilm", "ensemble", "ensemble of structure"),
        ("mkgw", "MKG-W", "views/mkgw-minilm", "ensemble", "ensemble of structure"),
        ("db15k", "DB15K", "views/db15k-minilm", "ensemble", "ensemble of structure"),
        ("yago15k", "YAGO15K (a part)", "recipe/yago15k", "IMF", ""),
        ("wn9img", "WN9-IMG", "recipe/wn9img", "IMF", ""),
        ("kinships", "Kinships (structure)", "recipe/kinships", "IMF", ""),
        ("codex-s", "CoDEx-S (structure)", "recipe/codex-s", "IMF", ""),
    )
}
STALE = "† stale: made by other code or settings than those of today."


def summary(_: str) -> str:
    """Our best on each graph, beside the same without modalities, and what is published."""
    cells = [["graph", "model", "MRR", "H@1", "H@10", "without modalities"]]
    cells[0] += ["the paper's", "best published", "of structure only"]
    for graph, (title, best, without) in SUMMARY.items():
        group, why = row_lines(*best)
        out = [title, _voters(*best), _cell(best)]
        out += [_of([x["metrics"] for x in group], x) if group else "" for x in METRICS if "@" in x]
        out.append(_cell(without))
        published = PUBLISHED["best"].get(graph, {})
        for names in (("paper",), ("best", "without a language model"), ("structure",)):
            found = [published[x] for x in names if x in published]
            out.append(", ".join(f"{number(x)} ({who})" for x, who in found))
        cells.append(out)
    return _with_stale(cells)


def _voters(table: str, label: str) -> str:
    # The models of a row, by their scorer if they are of structure alone.
    names = {"imf": "IMF", "adamf": "AdaMF", "complex": "ComplEx", "transe": "TransE"}
    members = TABLES[table].rows[label]["members"]
    found = [x["scorer"] if x["class"] == "kge" else x["class"] for x in members]
    return ", ".join([*(names[x] for x in found), "voting"])


def _with_stale(cells: Cells) -> str:
    text = markdown(cells)
    return f"{text}\n\n{STALE}" if "†" in text else text


def _cell(row: tuple[str, str]) -> str:
    group, why = row_lines(*row)
    if not group:
        return f"*not run* (`{'/'.join(row)}`)"
    return _of([x["metrics"] for x in group], "mrr") + " †" * bool(why)


#: What is added, with the table that compares and its rows with it and without.
INGREDIENTS: dict[str, tuple[str, str, str]] = {
    "AdaMF, beside ComplEx": ("adamf", "AdaMF", "ComplEx"),
    "MAT, beside AdaMF": ("adamf", "AdaMF-MAT", "AdaMF"),
    "adaptive weights, beside the mean": ("adamf", "AdaMF", "mean"),
    "texts, beside AdaMF without": ("adamf", "AdaMF", "w/o T"),
    "IMF, beside its structure": ("ablation", "IMF", "w/o MF"),
    "features, beside shuffled ones": ("ablation", "IMF", "shuffled features"),
    "decision fusion, beside the fused view": ("ablation", "IMF", "w/o DF"),
    "the contrastive loss": ("ablation", "IMF", "w/o CL"),
    "all orders, beside Eq. 4 as printed": ("ablation", "IMF", "Eq. 4 as printed"),
}


def ingredients(_: str) -> str:
    """What each ingredient adds or takes away, on each graph that has both rows."""
    graphs = ("countries", "fb15k237-4k", "fb15k237", "mkgy", "mkgw", "db15k")
    cells = [["MRR with, less MRR without", *graphs]]
    for title, (name, *labels) in INGREDIENTS.items():
        out = [title]
        for graph in graphs:
            is_paper = name == "ablation" and graph == "fb15k237"
            key = f"{'link_prediction' if is_paper else name}/{graph}"
            known = key in TABLES and all(x in TABLES[key].rows for x in labels)
            (group, why), (base, other) = [row_lines(key, x) if known else ([], "") for x in labels]
            text = difference(group, base)
            out.append(text + " †" * bool(text and (why or other)))
        cells.append(out)
    return _with_stale(cells)


def fusion(_: str) -> str:
    """What all modalities together add to each control, with intervals."""
    controls = ("structure", *(f"control: {x}" for x in ("structure twice", "shuffled", "noise")))
    cells = [["MRR with all, less", *(x.removeprefix("control: ") for x in controls)]]
    for key in (x for x in TABLES if x.startswith("controls/")):
        group, why = row_lines(key, "with all")
        out = [key.partition("/")[2]]
        for label in controls:
            base, other = row_lines(key, label)
            out.append(gain(group, base) + " †" * bool(base and group and (why or other)))
        if not any(out[1:]):
            out[1] = f"*not run* (`make tables ONLY={key}`)"
        cells.append(out)
    return _with_stale(cells)


def speed(_: str) -> str:
    """What is measured by us, by others, and their ratio: of the last line of each kind."""
    cells = [["", "here", "beside", "times faster", "without page faults"]]
    found: dict[str, dict[bool, tuple[str, str, float]]] = {}
    for name, get in {"speed_imf": _imf, "speed_peers": _peers, "speed_ranking": _ranking}.items():
        for line in results.lines(name):
            for title, *values in get(line):
                found.setdefault(title, {})[line["settings"]["keep_memory"]] = tuple(values)
    for title, kinds in found.items():
        ours, theirs, ratio = kinds[False]
        other = f"{kinds[True][2]:.1f}" if True in kinds else ""
        cells.append([title, ours, theirs, f"{ratio:.1f}", other])
    return with_state(cells, "speed_imf", "speed_peers", "speed_ranking")


def _imf(line: Line) -> Iterator[tuple[str, str, str, float]]:
    m, precision = line["metrics"], line["settings"]["precision"]
    share = f"{m['queries_per_second']:,} queries/s, {m['share_of_rate']:.0%} of the rate"
    theirs = f"{m['plain_queries_per_second']:.0f} written plainly"
    where = "" if line["device"].startswith("CPU") else f", {line['device']}"
    yield f"IMF, 4 views, {precision}{where}", share, theirs, m["ratio"]


def _peers(line: Line) -> Iterator[tuple[str, str, str, float]]:
    m = line["metrics"]
    title = {"complex": "ComplEx 256", "conve": "ConvE 200", "tucker": "TuckER 256x256"}[m["model"]]
    theirs = f"{m['PyKEEN']['queries_per_second']:,.0f} by PyKEEN"
    for precision in ("bf16", "fp32"):
        ours = f"{m[precision]['queries_per_second']:,.0f} queries/s"
        yield (
            f"{title}, 1-N, {precision}",
            ours,
            theirs,
            m[precision]["ratio_of_queries_per_second"],
        )


def _ranking(line: Line) -> Iterator[tuple[str, str, str, float]]:
    m = line["metrics"]
    name = m["comparison"]
    what = "both sides, filtered" if name == "PyKEEN" else "tails"
    ours, theirs = (m[key]["seconds"] for key in ("torch_imf", name))
    yield f"Ranking, {what}", f"{ours:.2f} s", f"{theirs:.0f} s by {name}", m["ratio_of_seconds"]


#: File of results -> the titles of columns, each with the place of its number and its format.
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "speed_scorers": {
        "": ("label", "{}"),
        "ranking: queries/s": ("metrics.rank.queries_per_cpu_second", "{:,.0f}"),
        "times DistMult": ("metrics.rank.times_distmult", "{:.1f}"),
        "loss": ("metrics.loss", "{}"),
        "training: queries/s": ("metrics.train.queries_per_cpu_second", "{:,.0f}"),
        "times DistMult's": ("metrics.train.times_distmult", "{:.1f}"),
    },
    "speed_adamf": {
        "adversary": ("settings.adversary", "{}"),
        "precision": ("settings.precision", "{}"),
        "seconds of a step": ("metrics.torch_imf.seconds", "{:.2f}"),
        "of the authors' code": ("metrics.reference.seconds", "{:.1f}"),
        "times faster": ("metrics.ratio_of_seconds", "{:.0f}"),
    },
    "speed_accuracy": {
        "seed": ("seed", "{}"),
        "MRR, fast": ("metrics.fast.mrr", "{:.4f}"),
        "MRR, plain": ("metrics.plain.mrr", "{:.4f}"),
        "seconds, fast": ("metrics.fast.seconds", "{:.0f}"),
        "seconds, plain": ("metrics.plain.seconds", "{:.0f}"),
    },
    "speed_loading": {
        "graph": ("graph", "{}"),
        "seconds": ("metrics.seconds", "{:.1f}"),
        "GB at most": ("metrics.peak_gb", "{:.1f}"),
    },
    "growth": {
        "loss": ("settings.loss", "{}"),
        **{
            f"{x:,} entities: {what}": (f"metrics.by_num_nodes.{x}.{key}", "{}")
            for x in (10_000, 1_000_000)
            for what, key in {"seconds": "seconds", "MB": "extra_mb"}.items()
        },
        "R² of a line": ("metrics.r2", "{:.4f}"),
    },
    "memory": {
        "layout": ("layout", "{}"),
        "made": ("metrics.made_ratio", "{:.2f}"),
        "loaded again": ("metrics.loaded_ratio", "{:.2f}"),
        "MB of tensors": ("metrics.made_mb", "{}"),
    },
    "answers": {
        "predict, ms": ("metrics.predict.ms", "{:.1f}"),
        "explain, ms": ("metrics.explain.ms", "{:.0f}"),
        "200 facts by complete, ms": ("metrics.complete.ms", "{:,.0f}"),
        "predict without a predictor, times as long": ("metrics.alone.predict.ratio", "{:.0f}"),
    },
    "reliability": {
        "graph": ("settings.graph", "{}"),
        "seed": ("seed", "{}"),
        "mean probability": ("metrics.chance.mean", "{:.3f}"),
        "true": ("metrics.chance.true", "{:.3f}"),
        "error": ("metrics.chance.error", "{:.3f}"),
        "of a perfect one": ("metrics.chance.noise", "{:.3f}"),
        "conditional: mean": ("metrics.conditional.mean", "{:.3f}"),
        "true ones": ("metrics.conditional.true", "{:.3f}"),
    },
    "new_entities": {
        "graph": ("settings.graph", "{}"),
        "": ("label", "{}"),
        "seed": ("seed", "{}"),
        "MRR of new ones": ("metrics.mrr", "{:.3f}"),
        "of others": ("metrics.mrr_of_others", "{:.3f}"),
        "ms each": ("ms_each", "{:.1f}"),
    },
    "pykeen_ranks": {
        "command": ("command", "`{}`"),
        "MRR, ours and PyKEEN's": ("metrics.both\\.mrr", "{}"),
        "times faster": ("metrics.times_faster", "{:.1f}"),
    },
    "scale": {
        "entities": ("settings.num_nodes", "{:,}"),
        "channels": ("settings.channels", "{}"),
        "features on the disk": ("settings.on_disk", "{}"),
        "ms of the CPU per step": ("metrics.cpu_ms_per_step", "{:.0f}"),
        "facts per second": ("metrics.facts_per_cpu_second", "{:,}"),
        "GB at most": ("metrics.peak_gb", "{:.1f}"),
    },
    "scale_graph": {
        "entities": ("settings.num_nodes", "{:,}"),
        "facts": ("settings.num_facts", "{:,}"),
        "seconds of the CPU to read": ("metrics.read_cpu_s", "{}"),
        "to train an epoch": ("metrics.train_cpu_s", "{}"),
        "to rank": ("metrics.rank_cpu_s", "{}"),
        "all in all by the clock": ("seconds", "{:,.0f}"),
        "GB at most": ("metrics.rank_peak_gb", "{}"),
    },
    "scale_peers": {
        "model": ("settings.model", "{}"),
        "entities": ("settings.num_nodes", "{:,}"),
        "facts per second of the CPU": ("metrics.ours_facts_per_cpu_second", "{:,}"),
        "PyKEEN's": ("metrics.pykeen_facts_per_cpu_second", "{:,}"),
        "times as many": ("metrics.times_pykeen", "{:.0f}"),
    },
    "time_to_quality": {
        "graph": ("settings.graph", "{}"),
        "validation MRR": ("metrics.mrr", "{:.3f}"),
        "minutes of a core": ("metrics.minutes", "{:.1f}"),
        "PyKEEN's": ("metrics.pykeen_minutes", "{:.1f}"),
        "its MRR then": ("metrics.pykeen_mrr", "{:.3f}"),
        "times faster, or more": ("metrics.times_faster", "{:.0f}"),
    },
    "distributed": {
        "task": ("settings.task", "{}"),
        "entities": ("settings.num_nodes", "{:,}"),
        "batch": ("settings.batch_size", "{:,}"),
        "negatives": ("settings.negatives", "{}"),
        "shared": ("settings.how", "{}"),
        "times one process, by the clock": ("metrics.per_second_of_one", "{:.2f}"),
        "per second of computing": ("metrics.per_busy_second_of_one", "{:.2f}"),
        "memory of one": ("metrics.peak_gb_of_one", "{:.2f}"),
        "without files": ("metrics.own_gb_of_one", "{:.2f}"),
    },
}


def flat(name: str, graph: str) -> str:
    """A row for each line."""
    columns = COLUMNS[name]
    found = [x for x in results.lines(name) if graph in ("all", x.get("settings", {}).get("graph"))]
    if not found:
        return f"*Not run*: `make tables ONLY={name}`."
    cells = [list(columns)]
    for line in found:
        values = [_at(line, path) for path, _ in columns.values()]
        kinds = [form for _, form in columns.values()]
        cells.append(["" if x is None else f.format(x) for x, f in zip(values, kinds, strict=True)])
    if name == "reliability":
        cells.append(pooled(found))
    return with_state([row for row in cells if len(set(row)) > 1], name)


def pooled(found: list[Line]) -> list[str]:
    """The row of all facts in one diagram: the error of the bins of all graphs and seeds."""
    total: dict[int, list[float]] = {}
    for count, mean, true in (x for line in found for x in line["metrics"]["chance"]["bins"]):
        bin_ = total.setdefault(min(9, int(10 * mean)), [0.0, 0.0, 0.0])
        bin_[:] = bin_[0] + count, bin_[1] + count * mean, bin_[2] + count * true
    size, mean, true = map(sum, zip(*total.values(), strict=True))
    error = sum(abs(mean - true) for _, mean, true in total.values())
    rest = (f"{x / size:.3f}" for x in (mean, true, error))
    return ["all in one diagram", "", *rest, "", "", ""]


def _at(line: Any, path: str) -> Any:
    for key in re.split(r"(?<!\\)\.", path):
        line = line.get(key.replace("\\", "")) if isinstance(line, dict) else None
    return line


def with_state(cells: Cells, *names: str) -> str:
    """A table of what scripts measured, and what is to be known about their lines."""
    known = [x for name in names for x in results.lines(name)]
    commits = " and ".join(dict.fromkeys(x["commit"] for x in known))
    devices = " and ".join(dict.fromkeys(x["device"] for x in known))
    kinds = {task.label: state(task) for name in names for task in _commands(name)}
    whys: dict[str, list[str]] = {}
    for label, (kind, why) in kinds.items():
        if kind == "stale":
            whys.setdefault(why, []).append(f"`{label}`")
    missing = [f"`{x}`" for x, (kind, _) in kinds.items() if kind == "missing"]
    notes = [f"Commit {commits}", devices]
    notes += [f"stale, {why}: {', '.join(labels)}" for why, labels in whys.items()]
    notes += [f"*not run*: {', '.join(missing)}"] * bool(missing)
    return f"{markdown(cells)}\n\n{'; '.join(notes)}."


def _commands(name: str) -> list[Task]:
    return [Task(name, x) for x in COMMANDS if x.startswith(f"{name}.py")]


#: What is no table of rows.
OTHERS: dict[str, Callable[[str], str]] = {
    "summary": summary,
    "ingredients": ingredients,
    "fusion": fusion,
    "speed": speed,
}


def markdown(cells: Cells) -> str:
    align = "|---" + "|---:" * (len(cells[0]) - 1) + "|"
    head, *rest = ("| " + " | ".join(row) + " |" for row in cells)
    return "\n".join([head, align, *rest])


def restructured(text: str) -> str:
    """A table of Markdown, and what is below it, for a page of the documentation."""
    rows = [x for x in text.splitlines() if x.startswith("|")]
    below = "\n".join(x for x in text.splitlines() if not x.startswith("|")).strip()
    below = re.sub(r"`([^`]+)`", r"``\1``", below)
    out = [".. list-table::", "   :header-rows: 1", ""] if rows else []
    for row in [*rows[:1], *rows[2:]]:
        cells = [re.sub(r"`([^`]+)`", r"``\1``", x.strip()) for x in row.strip("|").split("|")]
        first, *rest = (f" {x}" if x else "" for x in cells)
        out += [f"   * -{first}", *(f"     -{x}" for x in rest)]
    return "\n".join([*out, *[""] * bool(rows), below]).rstrip()


def made(name: str, graph: str) -> str:
    """A table by the name that a page gives it."""
    if name in COLUMNS:
        return flat(name, graph)
    return OTHERS[name](graph) if name in OTHERS else table(name, graph)


def render(text: str) -> str:
    """Returns a page with its tables written anew."""
    text = re.sub(
        r"(<!-- (\w+) ([\w-]+) -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}{made(m[2], m[3])}\n{m[4]}",
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        r"(\.\. table (\w+) ([\w-]+)\n\n).*?(\.\. end\n)",
        lambda m: f"{m[1]}{restructured(made(m[2], m[3]))}\n\n{m[4]}",
        text,
        flags=re.DOTALL,
    )


# Numbers in sentences ###########################################################################

#: A metric, or how fast and large something is.
RESULT = re.compile(
    r"(?<![\w.,])[+-]?(?:\.\d{2,3}\b(?!\.\d)|0\.\d{3,4}\b|[\d.,]*\d times (?:as|faster))"
)


def paragraphs(text: str, is_rst: bool) -> Iterator[str]:
    """The paragraphs of a page without its tables and blocks of code."""
    text = re.sub(r"<!-- \w+ [\w-]+ -->\n.*?<!-- end -->", "", text, flags=re.DOTALL)
    text = re.sub(r"\.\. table \w+ [\w-]+\n\n.*?\.\. end\n", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    if is_rst:  # Blocks of code are indented below a directive or a pair of colons.
        code = r"^(?:\.\. (?:code-block|plot|math)::|[^\n]*::)[^\n]*\n(?:\n|[ ]+[^\n]*\n)*"
        text = re.sub(code, "\n", text, flags=re.MULTILINE)
    before = ""
    for part in re.split(r"\n\s*\n", text):
        if is_rst and part.startswith(".. from:"):
            before = part + "\n"
            continue
        yield before + part
        before = ""


def unmarked(text: str, is_rst: bool) -> list[str]:
    """The numbers of results of a page that no line says, with the beginning of their sentence."""
    out = []
    for part in paragraphs(text, is_rst):
        mark = re.match(
            r"\s*(?:[-*] )?(?:<!-- from: (.*?) -->|\.\. from: ([^\n]*))", part, re.DOTALL
        )
        body = part[mark.end() :] if mark else part
        known = set(known_numbers((mark[1] or mark[2]).split(";"))) if mark else set()
        for found in RESULT.findall(body):
            value = re.sub(r"^0(?=\.)|[^\d.].*", "", found.lstrip("+-").replace(",", ""))
            if found.startswith("0.") and "MRR" not in body:  # A setting.
                continue
            if value not in known:
                out.append(f"'{found}' in: {' '.join(body.split())[:80]}")
    return out


def known_numbers(marks: Iterable[str]) -> Iterator[str]:
    """The numbers that rows, files and differences of rows hold, as they are written."""
    for mark in map(str.strip, marks):
        if mark == "published":
            yield from (number(x) for x, _ in _entries(PUBLISHED["best"]))
            yield from (number(x) for row in PUBLISHED["rows"].values() for x in row.values())
            continue
        groups = [_named(x.strip()) for x in mark.split(" - ")]
        if len(groups) == 2:
            yield from difference(*groups).lstrip("+-").split(" ± ")
            continue
        for values in _leaves(groups[0]):
            for text in (mean_std(values), *map(number, values), *(f"{x:.1f}" for x in values)):
                yield from text.lstrip("-").split(" ± ")
            yield from (f"{x:.0f}" for x in values)


def _entries(best: dict[str, dict[str, Any]]) -> Iterator[tuple[float, str]]:
    for row in best.values():
        yield from row.values()


def _named(name: str) -> list[Line]:
    table, _, label = name.partition("/")
    graph, _, label = label.partition("/")
    found = row_lines(f"{table}/{graph}", label)[0] if label else results.lines(name)
    if not found:
        raise SystemExit(f"A mark names '{name}', of which there are no lines")
    return found


def _leaves(group: list[Line]) -> Iterator[list[float]]:
    # The numbers at each place of the metrics of lines.
    def walk(values: list[Any]) -> Iterator[list[float]]:
        if isinstance(values[0], dict):
            for key in values[0]:
                yield from walk([x[key] for x in values if isinstance(x, dict) and key in x])
        elif isinstance(values[0], int | float):
            yield [float(x) for x in values if isinstance(x, int | float)]

    yield from walk([x["metrics"] for x in group])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    problems = []
    for path in PAGES:
        with open(path, encoding="utf-8") as f:
            old = f.read()
        new = render(old)
        name = osp.relpath(path, ROOT)
        if args.check and new != old:
            problems.append(f"{name}: its tables are not those of the lines, run 'render.py'")
        problems += [f"{name}: {x}" for x in unmarked(new, path.endswith(".rst"))]
        if not args.check and new != old:
            with open(path, "w", encoding="utf-8") as f:
                f.write(new)
    if problems:
        sys.exit("\n".join([*problems, "Numbers need a line: see 'from:' in benchmarks/render.py"]))


if __name__ == "__main__":
    main()
