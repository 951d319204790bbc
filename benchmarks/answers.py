"""Questions to a ComplEx on FB15K-237: a `Predictor` beside a fresh one for each question.

`predict` and `explain` of one predictor, and of one that is made each time, are asked for the same
test facts, by names. Then the most likely facts of the whole graph are listed. `--before <folder>`
asks the same of another checkout as well, in a process of its own; of the list, which does not end
there in minutes, it takes one relation.

The model has random weights unless `--epochs` trains it first, which takes about a minute each.
"""

import argparse
import json
import os
import os.path as osp
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from clock import now

#: Asks another checkout, whose functions take a model and a graph each time.
BEFORE = """
import sys, torch
sys.path.append(sys.argv[1])
from answers import ask, timed
from torch_imf import KGE, complete, explain, fit_temperature, predict
torch.set_num_threads({threads})
data, state, facts = torch.load(sys.argv[2], weights_only=False)
model = KGE(data.num_nodes, data.num_relations, {hidden_channels}, scorer="complex", loss="ce")
model.load_state_dict(state)
result = {{
    "predict": ask(lambda h, r, t: predict(model, data, head=h, relation=r), facts),
    "explain": ask(lambda h, r, t: explain(model, data, h, r, t), facts),
}}
temperature = fit_temperature(model, data)
result["complete, one relation"] = timed(
    lambda: complete(model, data, {k}, relation=0, temperature=temperature)
)[1]
import json; print(json.dumps(result))
"""


def timed(question: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a question gives, and the milliseconds on the clock and of the CPU."""
    begin = now()
    found = question()
    wall, cpu = (1000 * (now() - begin)).tolist()
    return found, {"ms": round(wall, 2), "cpu_ms": round(cpu, 2)}


def ask(question: Callable[..., Any], facts: list[tuple[str, str, str]]) -> dict[str, float]:
    """The medians of a question about each fact, once it has been asked before."""
    question(*facts[0])
    times = [timed(lambda fact=fact: question(*fact))[1] for fact in facts]
    return {x: round(float(torch.tensor([t[x] for t in times]).median()), 2) for x in times[0]}


def before(folder: str) -> dict[str, Any]:
    """The times of another checkout, for the same model, graph and facts."""
    here, path = osp.dirname(osp.realpath(__file__)), osp.join(tempfile.mkdtemp(), "questions.pt")
    torch.save((data, model.state_dict(), facts[: args.slow]), path)
    command = [sys.executable, "-W", "ignore", "-c", BEFORE.format(**vars(args)), here, path]
    env = {**os.environ, "PYTHONPATH": osp.abspath(folder)}
    out = subprocess.run(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return json.loads(out.splitlines()[-1])


if __name__ == "__main__":
    from graphs import DATA
    from results import append

    from torch_imf import KGE, Predictor, calibrate, fit
    from torch_imf.datasets import FB15K237

    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--hidden_channels", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--slow", type=int, default=5, help="Questions to whoever prepares each.")
    parser.add_argument("--k", type=int, default=200, help="Facts to list.")
    parser.add_argument("--before", metavar="FOLDER", help="Another checkout to ask.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    settings = dict(vars(args))
    if args.before is not None:  # Which checkout it is, wherever it lies.
        command = ["git", "-C", args.before, "rev-parse", "--short", "HEAD"]
        settings["before"] = subprocess.check_output(command, text=True).strip()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    begin = now()
    data = FB15K237(osp.join(DATA, "FB15K-237"), text=None, visual=None, numeric=None)[0]
    model = KGE(
        data.num_nodes, data.num_relations, args.hidden_channels, scorer="complex", loss="ce"
    )
    if args.epochs > 0:
        kwargs: Any = {"optimizer": "adagrad", "eval_every": args.epochs}
        fit(model, data, epochs=args.epochs, batch_size=1024, lr=0.1, **kwargs)
    test = data.test_mask.nonzero().view(-1)
    index = test[torch.randperm(test.numel())[: args.questions]]
    names, rel_names = data.node_ids, data.rel_names
    facts = [
        (names[h], rel_names[r], names[t])
        for (h, t), r in zip(
            data.edge_index[:, index].t().tolist(), data.edge_type[index].tolist(), strict=True
        )
    ]
    predictor, metrics = timed(lambda: Predictor(model, data))
    result: dict[str, Any] = {"Predictor": metrics}
    result["predict"] = ask(lambda h, r, t: predictor.predict(head=h, relation=r), facts)
    result["explain"] = ask(predictor.explain, facts)
    few = facts[: args.slow]
    result["alone"] = {
        "predict": ask(lambda h, r, t: Predictor(model, data).predict(h, r), few),
        "explain": ask(lambda *fact: Predictor(model, data).explain(*fact), few),
    }
    predictor.calibration, result["calibrate"] = timed(lambda: calibrate(model, data))
    found, result["complete"] = timed(lambda: predictor.complete(args.k))
    result["complete, one relation"] = timed(lambda: predictor.complete(args.k, relation=0))[1]
    if args.before is not None:
        result["before"] = before(args.before)
    for other in ("alone", "before"):
        for name, times in result.get(other, {}).items():
            times["ratio"] = round(times["cpu_ms"] / result[name]["cpu_ms"], 1)
    print(json.dumps(result, indent=2))
    print(found[:1], found[-1:], sep="\n")
    append("answers", args.seed, float((now() - begin)[0]), result, settings=settings)
