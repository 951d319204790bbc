"""What is measured of some trained models besides their ranks, by the name that a row gives."""

from typing import Any

import torch
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.index import both_sides
from torch_imf.evaluation.ranking import inference, rank_tails
from torch_imf.visualize import modality_weights, silhouette


def weights(model: Any, data: Data) -> dict[str, Any]:
    """The mean weight of each modality over the entities of test facts of a relation, for the ten
    relations that have most of them (Figure 5 of AdaMF-MAT).
    """
    found = modality_weights(model, data, split="test")
    rounded = {r: {name: round(x, 4) for name, x in row.items()} for r, row in found.items()}
    return {"modality_weights": rounded}


def complement(model: Any, data: Data) -> dict[str, Any]:
    """The ranks of each view, and how many queries all views together answer first, and none of
    them alone (Figure 4 of IMF).
    """
    (head, tail), rel = data.edge_index[:, data.test_mask], data.edge_type[data.test_mask]
    triples = both_sides(head, rel, tail, data.num_relations)
    index, rank = TripletIndex.from_data(data), {}
    for view in [None, *model.views]:
        greater, equal = rank_tails(model, *triples, index, view=view)
        rank[view] = 1 + greater + equal / 2
    alone = torch.stack([rank[view] for view in model.views]).min(dim=0).values
    first = rank[None] == 1
    return {
        "mrr_of_views": {v: round(float(rank[v].reciprocal().mean()), 5) for v in model.views},
        "first_together": int(first.sum()),
        "first_together_not_alone": int((first & (alone > 1)).sum()),
        "num_queries": rank[None].numel(),
    }


def silhouettes(
    model: Any, data: Data, relation: str = "continent", num_classes: int = 5
) -> dict[str, Any]:
    """How well the queries of entities under a relation are set apart by class, of those whose fact
    is held out (Figure 7 of IMF, before t-SNE). Training pulls the others to their tails.
    """
    rel = data.rel_names.index(relation)
    mask = data.edge_type == rel
    (head, tail), train = data.edge_index[:, mask], data.train_mask[mask]
    label, count = tail.unique(return_counts=True)
    label = label[count.argsort(descending=True)[:num_classes]]
    keep = torch.isin(tail, label)
    head, tail, train = head[keep], tail[keep], train[keep]
    with inference(model) as model:
        z = {view: x[head] for view, x in model.encode().items()}
        query = model.query(z, torch.full_like(head, rel))
    out = {
        view: {"held_out": silhouette(x[~train], tail[~train]), "all": silhouette(x, tail)}
        for view, x in query.items()
    }
    return {"silhouette": out, "num_entities": len(head), "num_held_out": int((~train).sum())}
