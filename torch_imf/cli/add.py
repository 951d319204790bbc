r"""The command that adds entities to a saved model."""

import os.path as osp
import shlex
from pathlib import Path
from typing import Annotated, Any

import torch_imf
from torch_imf.answers.results import format_table
from torch_imf.cli.command import Output, flag_words
from torch_imf.cli.inputs import HISTORY, MODEL, Saved
from torch_imf.io.atomic import read_bytes, replacing


def add(
    saved: Saved,
    new: Annotated[str, "a folder of texts.tsv, images/, numbers.tsv, and facts.tsv, all optional"],
    *,
    out: Annotated[str | None, "the folder of the new run (default: <run>-<new>)"] = None,
    header: Annotated[bool | None, "whether the new tables begin with a header"] = None,
    strict: Annotated[bool, "whether a number that is none is an error"] = True,
) -> Output:
    r"""Adds new entities to a trained model, by texts, images, numbers and facts.

    The new model answers for them as for any, and all others keep their scores. The run that is
    given stays as it is, unless '--out' names it.

    Examples:
      torch-imf add runs/first new/ --out runs/second
      torch-imf predict runs/second --head Atlantis --relation continent
    """
    from torch_imf.data.names import Lookup
    from torch_imf.evaluation.evaluate import num_facts
    from torch_imf.hub import read_config

    saved.prepare()
    folder = Path(out or f"{saved.run.rstrip('/')}-{osp.basename(osp.abspath(new))}")
    target = folder / MODEL if osp.isdir(osp.join(saved.run, MODEL)) else folder
    is_own = osp.realpath(target) == osp.realpath(saved.folder)
    if not is_own and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"'{folder}' is not empty, name another folder by '--out'")
    entities, facts = torch_imf.datasets.read_entities(new, header, strict)
    classes = list(map(torch_imf.registry.import_class, saved.classes))
    model = torch_imf.from_pretrained(saved.folder, classes)
    data, encoders = torch_imf.pretrained_graph(saved.folder), saved.encoders()
    size = int(data.num_nodes)
    model, data = torch_imf.add_entities(model, data, entities, facts, encoders)
    config = read_config(saved.folder)
    history = Path(saved.run, HISTORY)
    content = read_bytes(str(history)) if history.exists() and not is_own else None
    about = {**config["training"], "added": {"entities": len(entities), "facts": len(facts)}}
    torch_imf.save_pretrained(model, target, data, config["metrics"], about, encoders)
    if content is not None:
        with replacing(folder / HISTORY) as file:
            file.write(content)

    count = num_facts(data)[size:].tolist()
    rows = [["ENTITY", "TEXT", "IMAGES", "NUMBERS", "FACTS"]]
    for entity, facts_of in zip(entities, count, strict=True):
        found: dict[str, Any] = {key: entity.get(key) or () for key in ("image", "numbers")}
        cells = len(found["image"]), len(found["numbers"]), facts_of
        rows.append([str(entity["name"]), "yes" if entity.get("text") else "", *map(str, cells)])
    most = 20
    more = [f"... and {len(entities) - most:,} more"] if len(entities) > most else []
    first = Lookup.of_entities(data).labels[size]
    ask = ["predict", str(folder), *flag_words("head", first)]
    ask += flag_words("relation", data.rel_names[0])
    text = [
        f"{len(entities):,} entities and {len(facts):,} facts added, to {size:,} entities",
        format_table(rows[: most + 1], left=(0, 1)),
        *more,
        f"Saved in '{folder}'. Next:",
        f"  torch-imf {shlex.join(ask)}",
    ]
    values = {"folder": str(folder), "entities": entities, "facts": facts}
    return Output("\n".join(text), values)
