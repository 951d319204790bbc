"""Writes the tables of `benchmarks/README.md` from the lines in `benchmarks/results/`.

    python benchmarks/render.py            # writes
    python benchmarks/render.py --check    # fails if the tables are not those of the lines

A table stands between `<!-- name graph -->` and `<!-- end -->`, where `name` is a file of results;
that of `speed.py` between `<!-- speed all -->` and `<!-- end -->`.
"""

import argparse
import os.path as osp
import re
import sys
from functools import partial

import speed
import torch
from configs import PUBLISHED, adamf_rows
from results import lines

README = osp.join(osp.dirname(osp.realpath(__file__)), "README.md")
METRICS = {"mrr": "MRR", "hits@1": "H@1", "hits@3": "H@3", "hits@10": "H@10"}


def mean_std(values: list[float]) -> str:
    x = torch.tensor(values, dtype=torch.double)
    out = f"{float(x.mean()):.3f}".lstrip("0")
    return f"{out} ± {float(x.std()):.3f}".replace("± 0.", "± .") if len(values) > 1 else out


def difference(group: list[dict], base: list[dict]) -> str:
    """The MRR of a row less that of another, over the seeds that both have."""
    mrr = {line["seed"]: line["metrics"]["mrr"] for line in base}
    x = [line["metrics"]["mrr"] - mrr[line["seed"]] for line in group if line["seed"] in mrr]
    if len(x) == 0 or not any(x):
        return ""
    sign = "+" if sum(x) > 0 else "-"
    return sign + mean_std([value if sum(x) > 0 else -value for value in x])


def table(name: str, graph: str) -> str:
    """One row per label, in the order of the benchmark or of first appearance: means over seeds."""
    groups: dict[str, list[dict]] = {}
    for line in lines(name):
        if line.get("settings", {}).get("graph") == graph:
            group = groups.setdefault(line["label"], [])
            group.append(line)
            # What a recipe finds may differ by seed:
            if name not in ("recipe", "views") and line["settings"] != group[0]["settings"]:
                sys.exit(f"'{name}', '{line['label']}': lines of two settings. Remove one of them")
    published = any((name, graph, label) in PUBLISHED for label in groups)
    order = list(adamf_rows(graph)) if name == "adamf" else list(groups)
    unknown = sorted(set(groups) - set(order))
    if unknown:
        sys.exit(f"'{name}': there are lines of {unknown}, which are no rows of it. Remove them")
    first = next((label for label in ("IMF", "AdaMF") if label in groups), "")
    base = groups.get(first, [])
    known = [line["metrics"] for group in groups.values() for line in group]
    columns = {k: x for k, x in METRICS.items() if all(k in metrics for metrics in known)}
    has_mr = all("mr" in metrics for metrics in known)
    head = ["", "val MRR", *columns.values(), *["MR"] * has_mr, "seeds"]
    head += [f"MRR less {first}'s"] * (len(base) > 0) + ["published MRR"] * published
    rows = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for label, group in sorted(groups.items(), key=lambda item: order.index(item[0])):
        metrics = [line["metrics"] for line in group]
        cells = [label, *(mean_std([m[k] for m in metrics]) for k in ("val_mrr", *columns))]
        cells += [f"{sum(m['mr'] for m in metrics) / len(metrics):.0f}"] if has_mr else []
        cells.append(str(len(group)))
        if len(base) > 0:
            cells.append(difference(group, base))
        if published:
            cells.append(PUBLISHED.get((name, graph, label), "–"))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def systems(graph: str) -> str:
    """Systems, each beside its scorer on structure alone, as `systems.py` tells."""
    found = {x["label"]: x for x in lines("systems") if x["settings"]["graph"] == graph}
    out = ["|  | val MRR | MRR | H@10 | structure only | parameters | CPU seconds |"]
    out.append("|---" + "|---:" * 6 + "|")
    for label, line in found.items():
        if label.endswith(", structure only"):
            continue
        m, alone = line["metrics"], found.get(f"{label}, structure only")
        curve = line.get("curve", [])
        is_rising = len(curve) > 1 and line["epoch"] == curve[-1][0]  # Its last is its best.
        val = max([mrr for _, mrr in curve], default=m["val_mrr"])  # Without test facts.
        cells = [label + " ↑" * is_rising, *(mean_std([x]) for x in (val, m["mrr"], m["hits@10"]))]
        cells += [mean_std([alone["metrics"]["mrr"]]) if alone else ""]
        cells += [f"{line['num_parameters']:,}", f"{line['seconds']:.0f}"]
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def samplers(graph: str) -> str:
    """Samplers under one model, with their cost."""
    out = [
        "|  | val MRR | MRR | H@1 | H@10 | CPU seconds of an epoch |",
        "|---" + "|---:" * 5 + "|",
    ]
    for line in lines("samplers"):
        cells = [mean_std([line["metrics"][k]]) for k in ("val_mrr", "mrr", "hits@1", "hits@10")]
        out.append(f"| {' | '.join([line['label'], *cells])} | {line['seconds_per_epoch']:.2f} |")
    return "\n".join(out)


def speed_scorers(_: str) -> str:
    """Queries per second of scorers, and how many times DistMult's time they take."""
    out = [
        "|  | ranking: queries/s | times DistMult | loss | training: queries/s | times DistMult |"
    ]
    out.append("|---|---:|---:|---|---:|---:|")
    for line in sorted(
        lines("speed_scorers"), key=lambda x: x["metrics"]["rank"]["times_distmult"]
    ):
        m = line["metrics"]
        rank, step = (
            [f"{m[x]['queries_per_cpu_second']:,.0f}", f"{m[x]['times_distmult']:,.1f}"]
            for x in ("rank", "train")
        )
        out.append(f"| {' | '.join([line['label'], *rank, m['loss'], *step])} |")
    return "\n".join(out)


#: What is no table of labels and metrics.
TABLES = {
    "speed": lambda _: speed.table(),
    "systems": systems,
    "samplers": samplers,
    "speed_scorers": speed_scorers,
}


def render(text: str) -> str:
    """Returns the text with its tables written anew."""
    return re.sub(
        r"(<!-- (\w+) ([\w-]+) -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}{TABLES.get(m[2], partial(table, m[2]))(m[3])}\n{m[4]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    with open(README, encoding="utf-8") as f:
        old = f.read()
    new = render(old)
    if args.check and new != old:
        sys.exit("The tables are not those of the results: run 'python benchmarks/render.py'")
    with open(README, "w", encoding="utf-8") as f:
        f.write(new)
