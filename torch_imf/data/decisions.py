import copy
import os
from collections import Counter

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import MASKS, check_graph, has_inverse
from torch_imf.data.index import TripletIndex
from torch_imf.data.names import Lookup
from torch_imf.io import warn
from torch_imf.io.tables import Column, read_table, where

FACT = ("head", "relation", "tail")
#: What counts for a fact, and against it.
VOTES = {"accept": 1, "refuse": -1, "unsure": 0}
COLUMNS = [
    *(Column(name, (name,)) for name in FACT),
    Column("decision", ("decision",), ids=False),
    *(Column(x, (x,), required=False, ids=False) for x in ("reviewer", "probability", "time")),
]


def add_decisions(data: Data, path: str | os.PathLike[str]) -> Data:
    r"""Returns the graph with what people decided about facts: those that more reviewers accept
    than refuse join the training facts, and those that more refuse are never again proposed as
    missing (:meth:`~torch_imf.Predictor.complete`). Losses that compare with all entities take
    whatever is no known fact as false already, refused ones too.

    .. code-block:: python

        data = add_decisions(data, "decisions.tsv")

    Facts of validation and test are not added to training, however many accept them, so that what
    is measured on them stays true.

    Args:
        data (Data): The graph, without inverse triples.
        path (str): A table of head, relation, tail (names or identifiers), decision
            (:obj:`"accept"`, :obj:`"refuse"` or :obj:`"unsure"`) and reviewer: the file that
            :obj:`torch-imf serve --review` keeps, or what its page writes. The last decision of a
            reviewer about a fact counts.

    Raises:
        ValueError: If the graph is not sound or holds inverse triples, the table cannot be read, or
            no decision is about entities and relations of the graph. Those that are not are left
            out with a warning.
    """
    check_graph(data)
    if has_inverse(data):
        raise ValueError("The graph holds inverse triples. Add decisions before 'AddInverse'")
    fact, vote = (x.to(data.edge_index.device) for x in read_votes(data, os.fspath(path)))
    accepted, refused = fact[:, vote > 0], fact[:, vote < 0]
    known = TripletIndex.from_data(data)
    held_out = TripletIndex.from_data(data, data.val_mask | data.test_mask)
    if count := int(held_out.contains(*accepted).sum()):
        warn(f"{count:,} accepted facts are of validation or test, and not added to training")
    new = accepted[:, ~known.contains(*accepted)]

    out = copy.copy(data)
    out.num_nodes = data.num_nodes
    out.edge_index = torch.cat([data.edge_index, new[::2]], dim=1)
    out.edge_type = torch.cat([data.edge_type, new[1]])
    for name in MASKS:
        mask = torch.full_like(new[1], name == "train_mask", dtype=torch.bool)
        out[name] = torch.cat([data[name], mask])
    refused = torch.cat([refused_facts(data).to(refused.device), refused], dim=1)
    # The last word counts, if there have been others before:
    out.refused = refused[:, ~TripletIndex.from_data(out).contains(*refused)].unique(dim=1)
    return out


def read_votes(data: Data, path: str) -> tuple[Tensor, Tensor]:
    r"""Returns the facts that somebody decided about, of shape :obj:`[3, E]`, and by how many more
    reviewers each is accepted than refused.
    """
    lookups = Lookup.of_entities(data), Lookup.of_relations(data)
    last: dict[tuple[tuple[int, int, int], str], int] = {}
    unknown: list[str] = []
    for line, (*names, decision, reviewer, _, _) in read_table(path, COLUMNS):
        if decision not in VOTES:
            raise ValueError(
                f"{where(path, line)}: a decision is one of {list(VOTES)} (got '{decision}')"
            )
        try:
            head, rel, tail = (lookups[i % 2](name) for i, name in enumerate(names))
        except ValueError as error:
            unknown.append(f"{where(path, line)}: {error}")
            continue
        last[(head, rel, tail), reviewer] = VOTES[decision]
    if not last:
        raise ValueError(unknown[0] if unknown else f"'{path}' holds no decisions")
    for message in unknown[:10]:
        warn(f"{message}. This decision is left out")
    if len(unknown) > 10:
        warn(f"'{path}': {len(unknown) - 10:,} more decisions are about others, and left out")
    votes: Counter[tuple[int, int, int]] = Counter()
    for (fact, _), vote in last.items():
        votes[fact] += vote
    return torch.tensor(list(votes)).t(), torch.tensor(list(votes.values()))


def refused_facts(data: Data) -> Tensor:
    r"""Returns the facts that people refused (head, relation, tail), of shape :obj:`[3, E]`."""
    refused = data.get("refused")
    return data.edge_type.new_empty(3, 0) if refused is None else refused
