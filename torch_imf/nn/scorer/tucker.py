import math
from typing import Any

import torch
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.contextual import batch_norm, contract


class TuckER(Scorer):
    r"""The TuckER scorer from the `"TuckER: Tensor Factorization for Knowledge
    Graph Completion" <https://arxiv.org/abs/1901.09590>`_ paper (Eq. 2), a
    bilinear form that the relation mixes from a core tensor
    :math:`\mathbf{W} \in \mathbb{R}^{d \times d_r \times d}`:

    .. math::
        \psi(h, r, t) = \mathbf{W} \times_1 \mathbf{e}_h \times_2 \mathbf{w}_r
        \times_3 \mathbf{e}_t

    The head and its product with the core tensor and the relation are
    batch-normalised. The hidden dropout acts on the matrix :math:`\mathbf{W}
    \times_2 \mathbf{w}_r`, as in the paper's code; queries of one relation in
    a batch share that matrix, and what is dropped of it.

    Args:
        channels (int): Size :math:`d` of entity embeddings.
        rel_channels (int, optional): Size :math:`d_r` of relation embeddings.
            If :obj:`None`, it is :obj:`channels`. (default: :obj:`None`)
        input_dropout (float, optional): Dropout probability of the head.
            (default: :obj:`0.3`)
        hidden_dropout (float, optional): Dropout probability of the product of
            core tensor and relation. (default: :obj:`0.4`)
        output_dropout (float, optional): Dropout probability of the query.
            (default: :obj:`0.5`)
    """

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        input_dropout: float = 0.3,
        hidden_dropout: float = 0.4,
        output_dropout: float = 0.5,
    ) -> None:
        super().__init__(channels, rel_channels)
        self.input_dropout = torch.nn.Dropout(input_dropout)
        self.hidden_dropout = torch.nn.Dropout(hidden_dropout)
        self.output_dropout = torch.nn.Dropout(output_dropout)

        self.weight = torch.nn.Parameter(torch.empty(self.rel_channels, channels * channels))
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(channels) for _ in range(2)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.normal_(self.weight, std=1 / math.sqrt(self.channels))
        norm: Any
        for norm in self.norms:
            norm.reset_parameters()

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return self.grouped_query(head, rel, torch.arange(rel.size(0), device=rel.device))

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        head = self.input_dropout(batch_norm(self.norms[0], head))
        p = self.hidden_dropout.p if self.training else 0.0
        query = contract(head, rel, group, self.weight, p)
        return self.output_dropout(batch_norm(self.norms[1], query))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, rel_channels={self.rel_channels})"
