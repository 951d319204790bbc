r"""The commands that ask a saved model."""

import dataclasses
import os.path as osp
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import torch_imf
from torch_imf.answers.rdf import write_rdf
from torch_imf.answers.results import Fact, format_table, write_table
from torch_imf.cli.command import Output, say
from torch_imf.cli.inputs import Overwrite, Saved, check_out, test_fact
from torch_imf.io import require
from torch_imf.io.atomic import replacing
from torch_imf.io.rdf import FORMATS
from torch_imf.io.tables import suffix

if TYPE_CHECKING:
    from torch_geometric.data import Data

Tie = Literal["realistic", "optimistic", "pessimistic"]
Name = Literal[
    "decision", "explanation", "weights", "categories", "cold_start", "contextual", "history"
]
View = Annotated[str | None, "the view to ask alone, as in 'text' (default: all of them)"]
METRICS = {"mrr": ".3f", "mr": ".1f", "hits@1": ".3f", "hits@3": ".3f", "hits@10": ".3f"}


def evaluate(
    saved: Saved,
    *,
    split: Annotated[Literal["test", "val", "train"], "whose facts to rank:"] = "test",
    by: Annotated[
        Sequence[str],
        "break down by 'relation', 'category', 'seen', 'new', 'query_facts', 'answer_facts' (how "
        "many of the entity that is given, or asked for), or a modality",
    ] = (),
    view: View = None,
    tie: Annotated[Tie, "the rank among equal scores:"] = "realistic",
    batch_size: Annotated[int, "queries to rank at once"] = 512,
    chunk_size: Annotated[int, "entities to score at once"] = 2**15,
) -> Output:
    r"""Ranks the held-out facts of a trained model.

    The true head and the true tail of every fact are ranked among all entities, ignoring other
    answers that are known to be true (the filtered setting).

    Examples:
      torch-imf evaluate runs/first --by category relation --json
      torch-imf evaluate runs/first --view text        by the scores of one view alone
    """
    model, data = saved.load()
    options: Any = {"tie": tie, "by": by, "view": view, "progress": True}
    metrics = torch_imf.evaluate(model, data, split, batch_size, chunk_size, **options)
    size = int(data[f"{split}_mask"].sum())
    title = f"{type(model).__name__} on {size:,} {split} facts, filtered ranks of both sides"
    return Output(f"{title}\n{metrics_table(metrics)}", {"split": split, "facts": size, **metrics})


def metrics_table(metrics: Mapping[str, Any]) -> str:
    r"""Returns metrics as a table: of both sides together and apart, and of each break-down."""
    entries = {"both sides": metrics, "heads": metrics["head"], "tails": metrics["tail"]}
    for name, groups in metrics.items():
        if isinstance(groups, Mapping) and name not in ("head", "tail"):
            entries |= {f"{name} {group}": entry for group, entry in groups.items()}
    rows = [["", *map(str.upper, METRICS)]]
    for name, entry in entries.items():
        rows.append([name, *(format(entry[key], form) for key, form in METRICS.items())])
    return format_table(rows, left=(0,))


def predict(
    saved: Saved,
    *,
    head: Annotated[str | None, "the head, by name or identifier, to ask for tails"] = None,
    relation: Annotated[str | None, "the relation, by name or identifier"] = None,
    tail: Annotated[str | None, "the tail, to ask for heads"] = None,
    queries: Annotated[
        str | None, "table of many heads, relations and tails, ? for the asked"
    ] = None,
    answers: Annotated[
        str | None, "table to write their answers to (.tsv, .csv, .json, .jsonl, .parquet, .xlsx)"
    ] = None,
    overwrite: Overwrite = False,
    k: Annotated[int, "how many answers"] = 10,
    known: Annotated[Literal["mark", "remove"], "answers that the graph holds:"] = "mark",
    types: Annotated[
        Sequence[str] | None, "only answers of these types, if the graph knows of types"
    ] = None,
) -> Output:
    r"""Answers questions, 'head relation ?' or '? relation tail'.

    Answers come with scores and probabilities, and the part that each view has in the score.

    Examples:
      torch-imf predict runs/first --tail Europe --relation continent -k 20 --known remove
      torch-imf predict runs/first --queries queries.tsv --answers answers.tsv
    """
    one = head or relation or tail
    if bool(queries) != bool(answers) or bool(queries) == bool(one):
        either = "'--relation' and one of '--head' and '--tail'"
        raise ValueError(f"give {either}, or '--queries' and '--answers'")
    if answers:
        check_out(answers, overwrite)
    predictor = saved.predictor()
    if queries and answers:
        count = predictor.predict_file(queries, answers, k, known, types)
        values = {"queries": queries, "answers": answers, "count": count}
        return Output(f"{count:,} answers in '{answers}'", values)
    found = predictor.predict(head, relation, k, tail=tail, known=known, types=types)
    return Output(str(found), {"query": found.query, "answers": found})


def explain(
    saved: Saved,
    head: Annotated[str, "the head of the fact, by name or identifier"],
    relation: Annotated[str, "its relation"],
    tail: Annotated[str, "its tail"],
    *,
    k: Annotated[int, "how many facts and paths"] = 5,
    view: View = None,
) -> Output:
    r"""Tells what stands behind the score of a fact, known or not.

    Which view carries it: its rank in each view alone and without each modality, the nearest
    training facts, the paths from head to tail, and the rules that it follows from.

    Examples:
      torch-imf explain runs/first France borders Spain -k 10 --json
    """
    found = saved.predictor().explain(head, relation, tail, k=k, view=view)
    return Output(str(found), found)


def complete(
    saved: Saved,
    *,
    k: Annotated[int, "how many facts"] = 100,
    relation: Annotated[list[str] | None, "relations to complete (default: all)"] = None,
    everyone: Annotated[bool, "of entities of a kind that the relation lacks, too"] = False,
    out: Annotated[
        str | None,
        "table to write (.tsv, .csv, .json, .jsonl, .parquet, .xlsx) or RDF (.ttl, .nt, .rdf, "
        ".jsonld), not to show",
    ] = None,
    overwrite: Overwrite = False,
) -> Output:
    r"""Lists the most likely facts that a graph misses.

    A probability is the chance that a fact is true; 'conditional' is that of the tail if head and
    relation miss one at all.

    Examples:
      torch-imf complete runs/first --relation borders neighbour --everyone
      torch-imf complete runs/first -k 100000 --out facts.tsv
      torch-imf complete runs/first --out facts.ttl      statements with their probability
    """
    if out is not None:
        check_out(out, overwrite, FORMATS)
    predictor = saved.predictor()
    if out is None:
        facts = predictor.complete(k, relation, everyone, progress=True)
        return Output(str(facts), list(facts))

    def rows() -> Iterator[Sequence[object]]:
        yield [field.name for field in dataclasses.fields(Fact)]
        facts = predictor.complete(k, relation, everyone, progress=True)
        yield from map(dataclasses.astuple, facts)

    if suffix(out) in FORMATS:
        count = write_rdf(out, predictor.complete(k, relation, everyone, progress=True))
    else:
        count = write_table(out, rows())
    return Output(f"{count:,} facts in '{out}'", {"facts": out, "count": count})


def figures(
    saved: Saved,
    *,
    only: Annotated[Sequence[Name] | None, "which to draw (default: all):"] = None,
    head: Annotated[str | None, "of the fact to explain (default: that of a test fact)"] = None,
    relation: Annotated[str | None, "of the fact to explain"] = None,
    tail: Annotated[str | None, "of the fact to explain"] = None,
    relations: Annotated[
        list[str] | None, "to weigh, and to transform heads of (default: those of most facts)"
    ] = None,
    k: Annotated[int, "answers to the query"] = 10,
    out: Annotated[str, "the folder"] = "figures",
    format: Annotated[Literal["png", "pdf", "svg"], "the format:"] = "png",
) -> Output:
    r"""Draws what a trained model answers, why, and how it got there.

    That is the part of each view in the answers to a query (decision), the ranks of a fact by view
    and without each modality (explanation), what modalities weigh under each relation (weights),
    test ranks by relation category (categories), and by how much is known of an entity
    (cold_start), entities before and after the contextual
    transformation (contextual), and training (history).

    Examples:
      torch-imf figures runs/first --head Argentina --relation borders --tail Paraguay
      torch-imf figures runs/first --only weights --relations borders continent --format pdf
    """
    require("matplotlib", "Figures", "plot")
    given: Any = (head, relation, tail)
    if any(given) and not all(given):
        raise ValueError("a fact needs '--head', '--relation' and '--tail'")
    predictor = saved.predictor()
    metric = saved.training.get("settings", {}).get("metric", "mrr")  # That its epoch is best by.
    # Ranks have a scale of their own:
    metrics = ["mr"] if metric == "mr" else list(dict.fromkeys([metric, "mrr", "hits@10"]))
    model, data, visualize = predictor.model, predictor.data, torch_imf.visualize
    fact: Callable[[], Any] = lambda: given if all(given) else test_fact(data)  # noqa: E731
    draw: dict[Name, Callable[[], Any]] = {
        "decision": lambda: visualize.plot_decision(predictor.predict(fact()[0], fact()[1], k)),
        "explanation": lambda: visualize.plot_explanation(predictor.explain(*fact())),
        "weights": lambda: visualize.plot_relation_weights(model, data, relations),
        "categories": lambda: visualize.plot_categories(model, data),
        "cold_start": lambda: visualize.plot_cold_start(model, data),
        "contextual": lambda: visualize.plot_contextual(model, data, relations or shared(data)),
        "history": lambda: visualize.plot_history(saved.history(), metrics=metrics),
    }
    asked = {*(only or ()), *(("decision", "explanation") if head else ())}
    asked |= {"weights", "contextual"} if relations else set()
    paths, left_out = {}, {}
    for name in only or get_args(Name):
        try:
            figure = draw[name]()
        except ValueError as error:
            if name in asked:
                raise
            left_out[name] = str(error)  # Not every model has all of them.
            say(f"No figure '{name}': {error}")
            continue
        paths[name] = osp.join(out, f"{name}.{format}")
        with replacing(paths[name]) as file:
            figure.savefig(file, format=format)
    return Output("\n".join(paths.values()), {"figures": paths, "left_out": left_out})


def shared(data: "Data") -> list[int]:
    r"""Returns the two relations of which most heads share a tail."""
    rel, size, num_nodes = data.edge_type, int(data.num_relations), int(data.num_nodes)
    tails = (rel * num_nodes + data.edge_index[1]).unique() // num_nodes
    share = rel.bincount(minlength=size) / tails.bincount(minlength=size).clamp(min=1)
    return share.topk(min(2, size)).indices.tolist()
