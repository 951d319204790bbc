import os
from dataclasses import dataclass
from typing import Any

import torch
from torch_geometric.data import Data

from torch_imf.answers.predict import Completion, labels, predict
from torch_imf.answers.probability import Temperature
from torch_imf.answers.tables import tsv_line
from torch_imf.data.lookup import Lookup
from torch_imf.io.atomic import read_bytes, replacing

COLUMNS = ("query", "head", "relation", "tail", "rank", "id", "score", "probability", "known")


def predict_file(
    model: torch.nn.Module,
    data: Data,
    queries: str | os.PathLike[str],
    answers: str | os.PathLike[str],
    k: int = 10,
    known: str = "mark",
    temperature: Temperature | None = None,
    batch_size: int = 128,
) -> int:
    r"""Answers the queries of one file in another.

    A line of :obj:`queries` is a head, a relation and a tail, with tabs
    between them and a question mark for what is asked; empty lines, and a
    first one of :obj:`head`, :obj:`relation`, :obj:`tail`, are passed over:

    .. code-block:: none

        France	borders	?
        ?	borders	country:fr

    The table of :obj:`answers` has one line per answer, best first: the number
    of its query's line, the fact by names, its rank, the identifier of the
    answer, its score and probability (empty without a :obj:`temperature`),
    whether the graph holds it (:obj:`1` or :obj:`0`), and the part that each
    view has in its score. It takes its place in one step, once it is complete.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph, with names of entities and relations.
        queries (str): The path of the queries, in UTF-8.
        answers (str): The path of the answers.
        k (int, optional): The number of answers per query.
            (default: :obj:`10`)
        known (str, optional): Whether to :obj:`"mark"` facts that the graph
            holds or to :obj:`"remove"` them. (default: :obj:`"mark"`)
        temperature (Temperature, optional): The map from scores to
            probabilities. (default: :obj:`None`)
        batch_size (int, optional): Number of queries to answer at once.
            (default: :obj:`128`)

    Returns:
        The number of answers.

    Raises:
        ValueError: If the file of queries cannot be read, or a line of it is
            no query, naming the line, or :meth:`~torch_imf.predict` finds an
            argument to be invalid.
    """
    if k < 1 or batch_size < 1:
        raise ValueError(f"'k' and 'batch_size' need to be positive (got {k} and {batch_size})")
    queries, answers = os.fspath(queries), os.fspath(answers)
    if os.path.isdir(answers) or os.path.realpath(answers) == os.path.realpath(queries):
        raise ValueError(
            f"'{answers}' cannot hold the answers: it is a folder, or the file of queries"
        )
    rows = _read_queries(queries, data)
    count = 0
    with replacing(answers) as file:
        file.write(tsv_line([*COLUMNS, *(f"of {view}" for view in model.views)]))  # type: ignore
        # Entities are encoded once per call:
        size = 64 * batch_size
        for part in [rows[i : i + size] for i in range(0, len(rows), size)]:
            head_index = torch.tensor([query.index for query in part])
            rel_type = torch.tensor([query.rel_type for query in part])
            out: Any = predict(
                model,
                data,
                head_index,
                rel_type,
                k,
                known=known,
                temperature=temperature,
                batch_size=batch_size,
            )
            for query, completions in zip(part, out, strict=True):
                for rank, completion in enumerate(completions, start=1):
                    file.write(tsv_line(query.row(rank, completion)))
                count += len(completions)
    return count


@dataclass(frozen=True)
class _Query:
    # A query as a tail query, and the line and names it came from.
    number: int
    cells: tuple[str, str, str]
    index: int
    rel_type: int

    def row(self, rank: int, answer: Completion) -> list[str]:
        fact = [answer.name if cell == "?" else cell for cell in self.cells]
        probability = "" if answer.probability is None else f"{answer.probability:.6g}"
        return [
            str(self.number),
            *fact,
            str(rank),
            answer.node_id,
            f"{answer.score:.6g}",
            probability,
            str(int(answer.known)),
            *(f"{part:.6g}" for part in answer.parts.values()),
        ]


def _read_queries(path: str, data: Data) -> list[_Query]:
    try:
        lines = read_bytes(path).split(b"\n")
    except FileNotFoundError as e:
        raise ValueError(f"There is no file of queries '{path}'") from e
    nodes, rels = Lookup.of_entities(data), Lookup.of_relations(data)
    node_names, rel_names = labels(data)
    out: list[_Query] = []
    first = True
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
            if not text.strip():
                continue
            cells = [cell.strip() for cell in text.split("\t")]
            if first and [cell.lower() for cell in cells] == ["head", "relation", "tail"]:
                first = False
                continue
            first = False
            if len(cells) != 3 or "" in cells or [cells[0], cells[2]].count("?") != 1:
                raise ValueError(
                    f"Expected a head, a relation and a tail with tabs between them, and '?' for "
                    f"either head or tail (got {cells})"
                )
            rel = rels(cells[1])
            if cells[2] == "?":
                node = nodes(cells[0])
                fact = (node_names[node], rel_names[rel], "?")
                out.append(_Query(number, fact, node, rel))
            else:
                node = nodes(cells[2])
                fact = ("?", rel_names[rel], node_names[node])
                out.append(_Query(number, fact, node, rel + int(data.num_relations)))
        except ValueError as e:  # That of decoding, too.
            raise ValueError(f"'{path}', line {number}: {e}") from e
    if not out:
        raise ValueError(f"'{path}' holds no queries")
    return out
