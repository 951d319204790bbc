from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer


class CrossModal(Scorer):
    r"""Scores entities within and across two embeddings each, a structural one and one of their
    modalities, by one scorer and one relation embedding:

    .. math::
        \Psi(h, r, t) = \sum_{a, b \in \{s, m\}} \psi(\mathbf{h}_a, \mathbf{r}, \mathbf{t}_b) \;
        \big[ + \, \psi(\mathbf{h}_s + \mathbf{h}_m, \mathbf{r}, \mathbf{t}_s + \mathbf{t}_m) \big]

    This is the score of IKRL with :class:`~torch_imf.nn.TransE`, and that of TBKGC with the term in
    brackets.

    Args:
        scorer (Scorer): The scorer :math:`\psi` of embeddings of size :math:`C`. Those of entities
            are both side by side, of size :math:`2 C`, as :class:`~torch_imf.nn.StackFusion`
            returns them.
        total (bool, optional): Whether to score the sums of both, too. (default: :obj:`False`)
    """

    aliases: ClassVar[dict] = {}

    dot_product = False

    def __init__(self, scorer: Scorer, total: bool = False) -> None:
        super().__init__(2 * scorer.channels, scorer.rel_channels)
        self.scorer = scorer
        self.total = total

    def reset_parameters(self) -> None:
        self.scorer.reset_parameters()

    def reset_relations(self, weight: Tensor) -> None:
        self.scorer.reset_relations(weight)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return torch.cat([self.scorer.query(x, rel) for x in self._parts(head)], dim=-1)

    def key(self, tail: Tensor) -> Tensor:
        return torch.cat([self.scorer.key(x) for x in self._parts(tail)], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        queries, keys = (x.chunk(3 if self.total else 2, dim=-1) for x in (query, key))
        pairs = [*product(queries[:2], keys[:2]), *zip(queries[2:], keys[2:], strict=True)]
        return torch.stack([self.scorer.similarity(*pair) for pair in pairs]).sum(dim=0)

    def invert(self, rel: Tensor) -> Tensor:
        return self.scorer.invert(rel)

    def _parts(self, x: Tensor) -> list[Tensor]:
        struct, modal = x.chunk(2, dim=-1)
        return [struct, modal, struct + modal] if self.total else [struct, modal]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scorer}, total={self.total})"
