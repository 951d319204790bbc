r"""The commands that ask a saved model."""

import dataclasses
import os.path as osp
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from torch_imf.cli.output import Output, metrics_table
from torch_imf.cli.saved import Saved

View = Annotated[str | None, "the view to ask alone, as in 'text' (default: all of them)"]


def evaluate(
    saved: Saved,
    *,
    split: Annotated[Literal["test", "val", "train"], "whose facts to rank:"] = "test",
    by: Annotated[
        Sequence[str], "break metrics down by 'relation', 'category', 'seen' or a modality"
    ] = (),
    view: View = None,
    tie: Annotated[
        Literal["realistic", "optimistic", "pessimistic"], "the rank among equal scores:"
    ] = "realistic",
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
    from torch_imf.evaluation.evaluate import evaluate

    model, data = saved.load()
    metrics = evaluate(
        model, data, split, batch_size, chunk_size, tie=tie, by=by, view=view, progress=True
    )
    size = int(data[f"{split}_mask"].sum())
    title = f"{type(model).__name__} on {size:,} {split} facts, filtered ranks of both sides"
    return Output(f"{title}\n{metrics_table(metrics)}", {"split": split, "facts": size, **metrics})


def predict(
    saved: Saved,
    *,
    head: Annotated[str | None, "the head, by name or identifier, to ask for tails"] = None,
    relation: Annotated[str | None, "the relation, by name or identifier"] = None,
    tail: Annotated[str | None, "the tail, to ask for heads"] = None,
    queries: Annotated[
        str | None, "many questions: TSV of head, relation and tail, with ? for what is asked"
    ] = None,
    answers: Annotated[str | None, "TSV to write the answers to many questions to"] = None,
    k: Annotated[int, "how many answers"] = 10,
    known: Annotated[Literal["mark", "remove"], "answers that the graph holds:"] = "mark",
) -> Output:
    r"""Answers questions, 'head relation ?' or '? relation tail'.

    Answers come with scores and probabilities, and the part that each view has in the score.

    Examples:
      torch-imf predict runs/first --tail Europe --relation continent -k 20 --known remove
      torch-imf predict runs/first --queries queries.tsv --answers answers.tsv
    """
    one = head or relation or tail
    if bool(queries) != bool(answers) or bool(queries) == bool(one):
        raise ValueError(
            "give '--relation' and one of '--head' and '--tail', or '--queries' and '--answers'"
        )
    predictor = saved.predictor()
    if queries and answers:
        count = predictor.predict_file(queries, answers, k, known=known)
        values = {"queries": queries, "answers": answers, "count": count}
        return Output(f"{count:,} answers in '{answers}'", values)
    found: Any = predictor.predict(head, relation, k, tail=tail, known=known)
    return Output(str(found), {"query": found.query, "answers": list(found)})


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
    training facts, and the paths from head to tail.

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
    out: Annotated[str | None, "write them as TSV rather than as a table"] = None,
) -> Output:
    r"""Lists the most likely facts that a graph misses.

    Examples:
      torch-imf complete runs/first --relation borders neighbour --everyone
      torch-imf complete runs/first -k 100000 --out facts.tsv
    """
    from torch_imf.answers.results import Fact
    from torch_imf.answers.tables import tsv_line
    from torch_imf.io.atomic import replacing

    if out is not None and osp.isdir(out):
        raise ValueError(f"'{out}' cannot hold the facts: it is a folder")
    predictor = saved.predictor()
    if out is None:
        facts = predictor.complete(k, relation, everyone, progress=True)
        return Output(str(facts), list(facts))
    names = [field.name for field in dataclasses.fields(Fact)]
    with replacing(out) as file:  # What cannot be written is told before the work.
        facts = predictor.complete(k, relation, everyone, progress=True)
        for row in (names, *([str(getattr(fact, name)) for name in names] for fact in facts)):
            file.write(tsv_line(row))
    return Output(f"{len(facts):,} facts in '{out}'", {"facts": out, "count": len(facts)})
