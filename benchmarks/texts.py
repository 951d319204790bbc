"""Which encoder of texts helps, and whom: AdaMF on texts by TF-IDF, by MiniLM, and by both side by
side (`--text-encoder auto`), beside structure alone and what cannot help, and the MRR by the number
of training facts of the answer.

    python benchmarks/texts.py --graph mkgy --seeds 3

Pictures are left out, and nothing votes with the model.
"""

import time

import torch
from configs import VIEWS
from experiment import lines, parser
from graphs import graph
from results import append

from torch_imf import evaluate, fit, recipe
from torch_imf.training.controls import noise, replaced, shuffle, with_modalities

args = parser(
    __doc__, seeds=3, graphs=("openmoji", "countries", "mkgy", "mkgw", "db15k")
).parse_args()
torch.set_num_threads(args.threads)
given = VIEWS[f"{args.graph}-minilm"][0][1] if f"{args.graph}-minilm" in VIEWS else {}
tfidf, minilm, both = (
    with_modalities(graph(args.graph + text), ["text"]) for text in ("", "-minilm", "-both")
)
done = {(x["settings"]["graph"], x["label"], x["seed"]) for x in lines("texts")}
for seed in range(args.seeds):
    rows = {
        "structure": with_modalities(both, []),
        "TF-IDF": tfidf,
        "MiniLM": minilm,
        "both side by side": both,
        "control: shuffled": replaced(both, shuffle, seed),
        "control: noise": replaced(both, noise, seed),
    }
    settings = recipe("adamf", both, given, seed=seed)
    for label, data in rows.items():
        if (args.graph, label, seed) in done:
            continue
        start = time.perf_counter()
        torch.manual_seed(seed)
        model = settings.build(data)
        history = fit(model, data, **settings.fit)
        out = evaluate(model, data, by="answer_facts")
        facts = {k: round(x["mrr"], 5) for k, x in out["answer_facts"].items()}  # type: ignore
        metrics = {k: round(x, 5) for k, x in out.items() if not isinstance(x, dict)}
        metrics["val_mrr"] = round(max(x["mrr"] for x in history), 5)
        about = {"graph": args.graph, **settings}
        seconds = time.perf_counter() - start
        append("texts", seed, seconds, metrics, label=label, settings=about, answer_facts=facts)
        print(f"{label}, seed {seed}: MRR {metrics['mrr']:.4f}, by facts {facts}", flush=True)
