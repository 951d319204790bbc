"""All tables and their rows, which `run.py` makes and `render.py` prints.

A row is of members, settings that are trained in turn, and of what is done with them:

- `vote`: the views that vote beside those of the members (`torch_imf.fit_view_weights`), None for
  what it has by default. Without it, the views of the only member count as training left them.
- `by`, `few`, `measure`, `ranks`: break-downs, the most validation facts of training, a function of
  `measures.py`, and whether the rank of each test fact is kept, for intervals.

A member has the `class` of a model, its settings, maybe a `recipe` by name that completes them,
`plain` for its scorer on plain embeddings by the settings that its recipe finds, and what becomes
of its `data`: the `modalities` it has, the share of each to `drop`, what to `replace` all by
(`noise`, `shuffled`), and another encoder for `names`.

A command is a script beside this one, with its arguments, and the settings whose model it measures.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from configs import (
    COMPLEX,
    FULL,
    IMF,
    MEMBERS,
    OF_FEATURES,
    OF_STRUCTURE,
    SCORERS,
    TRANSE,
    UNSEEN,
    Settings,
    adamf_rows,
    alone,
    changed,
    part,
)
from graphs import MODALITIES


class Table(NamedTuple):
    """Rows that are compared with each other.

    Args:
        rows: Label -> what `row` returns, or a command.
        minutes: The most that the training of a member takes, of one core or of a GPU.
        seeds: How many there are.
    """

    rows: Mapping[str, Settings]
    minutes: float
    seeds: int = 3


def row(*members: Settings, **options: Any) -> Settings:
    return {"members": list(members), **options}


def rows(settings: Mapping[str, Settings], **options: Any) -> dict[str, Settings]:
    return {label: row(x, **options) for label, x in settings.items()}


def on(base: Settings, **data: Any) -> Settings:
    """The same settings on what becomes of the graph."""
    return {**base, "data": {**base.get("data", {}), **data}}


def best(name: str, graph: str) -> Settings:
    """What trains well: found by trials or, of many entities, given."""
    return {"class": name, **COMPLEX.get(graph, {"recipe": "best"})}


def recipe(graph: str) -> dict[str, Settings]:
    """What `torch-imf train` reaches by its recipes. Those of the papers and of their released code
    are made for larger graphs and GPUs: they have 64 of their 256 or 400 channels, and 200 of their
    1,000 epochs.
    """
    small = {"hidden_channels": 64, "epochs": 200, "patience": 10}
    out = {
        "IMF": row(best("imf", graph), vote=None),
        "AdaMF": row(best("adamf", graph), vote=None),
        "structure only": row(on(best("kge", graph), modalities=[]), vote=None),
    }
    if graph == "countries":
        out["KGE"] = row(best("kge", graph), vote=None)
        for label, name in {"IMF": "imf", "AdaMF": "adamf"}.items():
            out[f"{label}, constructor defaults"] = row({"class": name, "patience": 10}, vote=None)
    for name in ("paper", "released"):
        more = {"rel_channels": 64} if name == "released" else {}
        out[f"IMF, {name}"] = row({"class": "imf", "recipe": name, **small, **more})
        out[f"AdaMF, {name}"] = row({"class": "adamf", "recipe": name, **small})
    if not MODALITIES[graph]:  # Where AdaMF is its structure, and IMF nearly.
        out = {label: x for label, x in out.items() if not label.startswith("AdaMF")}
    return out


def views(graph: str) -> dict[str, Settings]:
    """What views that need no training, and further models, add to one."""
    small = ("imf", "adamf", "kge") if graph == "countries" else ("adamf", "kge")
    names = ("adamf", "kge") if graph in COMPLEX else small
    distance = [TRANSE] * (graph in COMPLEX)
    members = MEMBERS.get(graph, [*(best(name, graph) for name in names), *distance])
    single = on(best("kge", graph), modalities=[])
    structure = [single, {**single, "seed": 1000}, *distance]
    votes: dict[str, list[str] | None] = {
        **{"+ types": ["types"], "+ rules": ["types", "rules"]},
        "+ features": None,
    }
    # Of other graphs, `controls` has them.
    others = ("shuffled", "noise") if graph in MEMBERS else ()
    return {
        "model": row(members[0]),
        **{label: row(members[0], vote=x) for label, x in votes.items()},
        **{f"control: {x}": row(on(members[0], replace=x), vote=None) for x in others},
        "ensemble": row(*members, vote=None),
        "ensemble of structure": row(*structure, vote=["types", "rules"]),
    }


def ablation(graph: str, base: Settings) -> dict[str, Settings]:
    """What each ingredient and each modality adds to IMF (Tables 2-4 of its paper). On FB15K-237,
    the weights of views are fitted to validation facts in all rows.
    """
    names = [x for x in ("visual", "text", "numeric") if x in MODALITIES[graph]]
    letters = dict(zip(("visual", "text", "numeric"), "VTN", strict=True))
    out = {
        "IMF": base,
        "w/o MF": {**base, "views": ["struct"]},
        "w/o DF": {**base, "views": ["fused"]},
        "w/o CL": {**base, "contrastive.weight": 0.0},
        "CL of weight 1": {**base, "contrastive.weight": 1.0},
        "InfoNCE": {**base, "contrastive.temperature": 0.1},
        "shuffled features": on(base, replace="shuffled"),
        "single views": {**base, "views": ["struct", "text"]},
        "all views": {**base, "views": ["struct", "text", "fused"]},
    }
    texts = {k: x for k, x in base.items() if k != "structure"} | {"views": ["text"]}
    out["texts alone"] = on(texts, modalities=["text"])
    out["texts alone, shuffled"] = on(texts, modalities=["text"], replace="shuffled")
    if "structure" in base:
        plain = {k: x for k, x in base.items() if k != "structure"}
        out["random structure"] = plain
        out["random structure, w/o MF"] = {**plain, "views": ["struct"]}
        out["random structure, shuffled features"] = on(plain, replace="shuffled")
        for use in ("frozen", "joint"):
            out[f"{use} structure"] = {**base, "structure": {**base["structure"], "use": use}}
    printed = {"fusion": "imf", **part("fusion", rank=1, all_orders=False)}
    out["Eq. 4 as printed"] = changed(base, **printed)
    for chosen in (["visual"], ["text"], ["visual", "text"], ["visual", "text", "numeric"]):
        if set(chosen) <= set(names):
            kept = [v for v in base["views"] if v in {"struct", "fused", *chosen}]
            label = "+".join(["S", *(letters[x] for x in chosen)])
            out[label] = on({**base, "views": kept}, modalities=chosen)
    if "structure" in base:
        return {**rows(out), "calibrated": row(base, vote=[])}
    return rows(out, vote=[])


def controls(graph: str) -> dict[str, Settings]:
    """Every fusion beside what cannot help, by one recipe. The weights of views are fitted to
    validation facts in all rows, and the ranks of test facts are kept.
    """
    names, base = list(MODALITIES[graph]), best("imf", graph)
    if graph.startswith("fb15k237"):  # 280 of its entities have pictures.
        names.remove("visual")
        base = on(base, modalities=names)
    structure = on(alone(base), modalities=[])
    single = {**base, "views": ["struct", *names]}
    every = {**base, "views": ["struct", *names, "fused"]}
    kept: dict[str, Any] = {"vote": [], "ranks": True}
    out = {"structure": row(structure, **kept)}
    out |= {f"{x} alone": row(on({**base, "views": [x]}, modalities=[x]), **kept) for x in names}
    if len(names) > 1:
        out |= {f"with {x}": row(on(base, modalities=[x]), **kept) for x in names}
    out |= {
        "fusion without decision": row({**base, "views": ["fused"]}, **kept),
        "decision without fusion": row(single, **kept),
        "with all": row(every, **kept),
        "control: structure twice": row(structure, {**structure, "seed": 1000}, **kept),
        "control: shuffled": row(on(every, replace="shuffled"), **kept),
        "control: noise": row(on(every, replace="noise"), **kept),
        "structure, types and rules": row(structure, vote=["types", "rules"], ranks=True),
        "with all, types, rules and features": row(every, vote=None, ranks=True),
        "control: noise, types, rules and features": row(
            on(every, replace="noise"), vote=None, ranks=True
        ),
    }
    return out


def adamf(graph: str) -> dict[str, Settings]:
    """AdaMF-MAT and what it is compared with, with the weights of modalities (Figure 5)."""
    names = adamf_rows(graph)
    return {
        label: row(x, **({"measure": "weights"} if label in ("AdaMF", "AdaMF-MAT") else {}))
        for label, x in names.items()
    }


def systems(graph: str) -> dict[str, Settings]:
    """What every system reaches by its recipe, and its scorer on structure alone by the same."""
    has_features = bool(MODALITIES[graph])
    out = {"types": row(vote=["types"])}  # Which knows tails of relations, and no heads.
    for name in [*OF_STRUCTURE, *(OF_FEATURES if has_features else ())]:
        is_scorer = name not in (*OF_FEATURES, "gcote", "kbat")
        given = {"class": "kge", "scorer": name} if is_scorer else {"class": name}
        if name == "complex":  # The recipe of `kge`, which finds its weight.
            del given["scorer"]
        out[name] = row({**given, "recipe": "best"})
        if name in OF_FEATURES:
            out[f"{name}, structure only"] = row({**given, "recipe": "best", "plain": True})
    return out


def samplers() -> dict[str, Settings]:
    """Sixteen negatives for each fact, all weighted alike, so that a sampler alone tells which are
    hard.
    """
    base = {"class": "adamf", "hidden_channels": 64, "loss": "soft_margin"}
    fit = {"batch_size": 128, "lr": 0.01, "epochs": 20, "eval_every": 5}
    names = {"Bernoulli": "bernoulli", "KBGAN": "kbgan", "MANS": "mans", "MMRNS": "mmrns"}
    return rows(
        {
            label: {**base, **part("loss", num_negatives=16, sampler=name), **fit}
            for label, name in {"uniform": "uniform", **names}.items()
        }
    )


def scorers(base: Settings) -> dict[str, Settings]:
    """Each scorer alone and under IMF (Figure 5), from random embeddings."""
    out = {}
    base = {k: x for k, x in base.items() if k != "structure"}
    for name, own in SCORERS.items():
        settings = {**changed(base, scorer=name), **own}
        if name not in {"contextual", "tucker"}:
            del settings["rel_channels"]
        out |= {f"{name}, alone": alone(settings), f"{name}, IMF": settings}
    return rows(out)


def missing(base: Settings) -> dict[str, Settings]:
    """A share of the features taken away, in training and testing (Figure 3 of AdaMF-MAT)."""
    out = {
        f"text, {100 * share:.0f} % missing": on(base, drop={"text": share})
        for share in (0.3, 0.6, 0.9)
    }
    out = {"text, 0 % missing": base, **out, "structure only": {**base, "views": ["struct"]}}
    for name in ("AdaMF", "AdaMF-MAT", "TBKGC", "TBKGC-MAT", "IKRL", "IKRL-MAT"):
        for share in (0.2, 0.4, 0.6, 0.8):
            label = f"{name}, text+visual, {100 * share:.0f} % missing"
            settings = adamf_rows("countries")[name]
            out[label] = on(settings, drop={"text": share, "visual": share})
    return rows(out)


def texts(graph: str) -> dict[str, Settings]:
    """Which encoder of texts helps, and whom: by the training facts of the answer."""
    base = best("adamf", graph)
    every = {
        "structure": ("", {"modalities": []}),
        "TF-IDF": ("", {}),
        "MiniLM": ("-minilm", {}),
        "both side by side": ("-both", {}),
        "control: shuffled": ("-both", {"replace": "shuffled"}),
        "control: noise": ("-both", {"replace": "noise"}),
    }
    return {
        label: row(
            on(base, **{"modalities": ["text"], **data}), graph=graph + end, by="answer_facts"
        )
        for label, (end, data) in every.items()
    }


def inductive(graph: str) -> dict[str, Settings]:
    """Entities that training never saw. Epochs are chosen on up to 2,000 validation facts, weights
    fitted to others.
    """
    base = UNSEEN[graph]
    names, pictures = on(base, modalities=["text"]), on(base, modalities=["visual"])
    joint = on(base, modalities=["text", "visual"])
    free = {key: x for key, x in base.items() if key != "struct.dropout"}
    blind = {**free, "struct": False}
    kept: dict[str, Any] = {"by": "new", "few": 2000}
    if graph == "fb15k237-inductive":
        blind = on(blind, modalities=["text"])
        rest = ["types", "features"]
        return {
            **rows({"texts": names, "texts, no structure": blind}, **kept),
            "+ types, features": row(names, vote=rest, **kept),
            "+ all of these": row(names, blind, vote=rest, **kept),
        }
    out = {
        "structure": on({**free, "class": "kge"}, modalities=[]),
        **{"names": names, "pictures": pictures, "joint": joint},
        "control: noise": on(joint, replace="noise"),
        "control: shuffled": on(joint, replace="shuffled"),
    }
    for end, own in {"": {}, " by TF-IDF": {"names": "TfidfEncoder"}}.items():
        for label, chosen in {"names": ["text"], "joint": ["text", "visual"]}.items():
            out[f"{label}{end}, no structure"] = on(blind, modalities=chosen, **own)
    votes: dict[str, tuple[list[Settings], list[str]]] = {
        "+ names, pictures": ([names, pictures], []),
        "+ names, pictures, types, features": ([names, pictures], ["types", "features"]),
        "+ all of these": ([names, pictures, joint], ["types", "features"]),
    }
    return rows(out, **kept) | {
        label: row(*members, vote=extra, **kept) for label, (members, extra) in votes.items()
    }


TABLES: dict[str, Table] = {
    **{
        f"recipe/{graph}": Table(recipe(graph), minutes=10)
        for graph in ("countries", "openmoji", "kinships", "codex-s", "wn9img")
    },
    **{
        f"recipe/{graph}": Table(recipe(graph), minutes=60, seeds=1 if graph == "fb15k" else 3)
        for graph in ("mkgy", "mkgw", "db15k", "db15k-original", "yago15k", "fb15k237", "fb15k")
    },
    **{
        f"views/{graph}": Table(
            views(graph), minutes=10 if graph in ("countries", "openmoji") else 60
        )
        for graph in (
            "countries",
            "openmoji",
            "mkgw-minilm",
            "mkgy-minilm",
            "db15k-minilm",
            "fb15k237",
        )
    },
    **{
        f"controls/{graph}": Table(controls(graph), minutes=30)
        for graph in ("countries", "openmoji", "fb15k237-4k", "mkgy", "wn9img", "db15k")
    },
    **{
        f"ablation/{graph}": Table(ablation(graph, IMF[graph]), minutes=30)
        for graph in ("countries", "fb15k237-4k", "mkgy")
    },
    **{
        f"adamf/{graph}": Table(adamf(graph), minutes=30)
        for graph in ("mkgy", "mkgw", "db15k", "countries", "openmoji")
    },
    "link_prediction/fb15k237": Table(
        rows({"w/o MF": {**IMF["fb15k237"], "views": ["struct"]}, "IMF": IMF["fb15k237"]}, vote=[]),
        minutes=90,
        seeds=1,
    ),
    "gpu/fb15k237": Table(
        rows({"w/o MF": {**FULL, "views": ["struct"]}, "IMF": FULL}, vote=[]), minutes=4, seeds=1
    ),
    "scorers/countries": Table(scorers(IMF["countries"]), minutes=10),
    "embedding_size/countries": Table(
        rows({f"{x}": {**IMF["countries"], "hidden_channels": x} for x in (16, 32, 64, 128, 256)}),
        minutes=10,
    ),
    "missing_modality/countries": Table(missing(IMF["countries"]), minutes=10),
    "decision/countries": Table({"IMF": row(IMF["countries"], measure="complement")}, 10),
    "contextual_tsne/countries": Table(
        {"IMF, continent": row(IMF["countries"], measure="silhouettes")}, 10
    ),
    "systems/countries": Table(systems("countries"), minutes=20),
    "systems/kinships": Table(systems("kinships"), minutes=20),
    "samplers/countries": Table(samplers(), minutes=10),
    **{f"inductive/{graph}": Table(inductive(graph), minutes=30) for graph in UNSEEN},
    **{
        f"texts/{graph}": Table(
            texts(graph), minutes=10 if graph in ("openmoji", "countries") else 30
        )
        for graph in ("openmoji", "countries", "mkgy", "mkgw", "db15k")
    },
}

KGE: Settings = {"class": "kge", "loss": "ce"}
_1N: list[Settings] = [{**KGE, "scorer": name} for name in ("complex", "conve", "tucker")]
_IMF: list[Settings] = [{"class": "imf", "views": ["struct", "text", "visual", "fused"]}]
_ADAMF: list[Settings] = [{"class": "adamf", "scorer": "rotate", "loss": "sampled"}]
_COMPLEX: list[Settings] = [{**KGE, "scorer": "complex"}]
#: Scripts of their own: what they measure is no model's rank.
COMMANDS: dict[str, list[Settings]] = {
    **{
        f"speed_imf.py --batch_size 8192{end}": _IMF
        for end in ("", " --precision fp32 --steps 2 --repeats 2", " --keep_memory", " --steps 20")
    },
    **{
        f"speed_peers.py --batch_size 4096 --steps 4 --repeats 2 --threads 2{end}": _1N
        for end in ("", " --keep_memory")
    },
    **{
        f"speed_ranking.py --repeats 1 --threads 2{end}": [{**KGE, "scorer": "distmult"}]
        for end in ("", " --keep_memory")
    },
    **{
        f"speed_adamf.py --threads 2 --steps 1{end}": _ADAMF
        for end in ("", " --adversary", " --precision bf16", " --adversary --precision bf16")
    },
    "speed_scorers.py --repeats 1 --num_queries 512": [],
    "speed_accuracy.py": _IMF,
    "speed_loading.py --threads 2": [],
    "growth.py": [{"class": "kge", "scorer": "distmult", "loss": "bce"}],
    "growth.py --loss ce": [{**KGE, "scorer": "distmult"}],
    "memory.py": [],
    "answers.py --questions 50 --slow 5 --epochs 3": _COMPLEX,
    **{f"reliability.py --graph countries --seed {seed}": _COMPLEX for seed in range(4)},
    **{
        f"reliability.py --graph {graph} --epochs {epochs}": _COMPLEX
        for graph, epochs in (
            *(("fb15k237-4k", 15), ("openmoji", 20)),
            *(("mkgy", 12), ("mkgw", 12), ("db15k", 10)),
        )
    },
    "pykeen_ranks.py": [{**KGE, "scorer": "distmult"}],
    "pykeen_ranks.py --dataset fb15k237 --root data/FB15K-237 --epochs 5": [
        {**KGE, "scorer": "distmult"}
    ],
    "new_entities.py --graph fb15k237-4k --model kge --threads 1 --seeds 3": _COMPLEX,
    "new_entities.py --graph fb15k237 --model kge --threads 1 --seeds 3": _COMPLEX,
    "distributed.py --num_nodes 200000 --tasks 1-N ranking --steps 4": _COMPLEX,
    "distributed.py --num_nodes 200000 --tasks sampled --batch_size 4096 --steps 20": _ADAMF,
    "distributed.py --num_nodes 200000 --tasks sampled --batch_size 16384 --steps 10": _ADAMF,
    "distributed.py --num_nodes 200000 --tasks sampled --batch_size 16384 --negatives 256": _ADAMF,
    "distributed.py --num_nodes 2000000 --tasks 1-N sampled --on_disk --batch_size 512 --steps 1": [
        *_COMPLEX,
        *_ADAMF,
    ],
    "scale.py --num_nodes 10000 100000 1000000 --threads 1": _ADAMF,
    "scale.py --num_nodes 4600000 --channels 128 --on_disk --threads 1 --steps 5": _ADAMF,
    "scale_graph.py --num_nodes 4600000 --num_facts 21000000 --num_ranked 10000 --threads 1": [],
    "scale_peers.py --num_nodes 1000000": _ADAMF,
    "time_to_quality.py --target 0.34 --factor 10": _COMPLEX,
}
