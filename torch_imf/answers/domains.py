import numpy as np
import torch
from torch import Tensor

from torch_imf.data import TripletIndex


class Domains:
    r"""Finds the entities that fit a relation as its head: those that are head
    of it in a training fact, and those that are head of another relation most
    heads of which are heads of it, too. A person with a profession fits
    :obj:`born_in` if most of those with a profession have a place of birth. This
    is a sharp form of the candidates in `"Are We Wasting Time? A Fast, Accurate
    Performance Evaluation Framework for Knowledge Graph Link Predictors"
    <https://arxiv.org/abs/2402.00053>`_.

    Tails of a relation are heads of its inverse, and nobody fits a relation
    without training facts. On FB15K-237, 0.2 % of all triples fit, and 91 % of
    the test facts; entities that are seen on this side of the relation give 68 %.

    Args:
        index (TripletIndex): The training facts, in both directions.
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
    """

    def __init__(self, index: TripletIndex, num_nodes: int, num_relations: int) -> None:
        from scipy.sparse import csr_array

        self.node, self.rel = index.queries()
        self.size = 2 * num_relations
        pairs = self.node.cpu().numpy(), self.rel.cpu().numpy()
        is_head = csr_array((np.ones(len(pairs[0])), pairs), shape=(num_nodes, self.size))
        both = (is_head.T @ is_head).tocoo()  # How many entities are heads of two relations.
        most = 2 * both.data > is_head.sum(axis=0)[both.row]
        implied = np.stack([both.row[most], both.col[most]])
        self.implied = torch.from_numpy(implied).to(self.node.device)

    def __call__(self, rel: int) -> Tensor:
        r"""Returns the entities that fit a relation as its head, in order."""
        given, implied = self.implied
        fits = torch.zeros(self.size, dtype=torch.bool, device=self.node.device)
        fits[given[implied == rel].long()] = True
        return self.node[fits[self.rel]].unique()
