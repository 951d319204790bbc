import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data.distributed import on_whole_batch
from torch_imf.nn.functional.gather import grouped_mm
from torch_imf.nn.scorer.base import Scorer


class CoreTensorScorer(Scorer):
    r"""A base class of scorers whose relations mix a matrix each from a core tensor."""

    aliases: ClassVar[dict] = {}

    def __init__(self, channels: int, rel_channels: int | None, batch_norm: bool = True) -> None:
        super().__init__(channels, rel_channels)
        self.weight = torch.nn.Parameter(torch.empty(self.rel_channels, channels * channels))
        norms = torch.nn.BatchNorm1d(channels), torch.nn.BatchNorm1d(channels)
        self.norms = torch.nn.ModuleList(norms) if batch_norm else None

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.weight, std=1 / math.sqrt(self.channels))
        norm: Any
        for norm in self.norms or []:
            norm.reset_parameters()

    def normalized(self, i: int, x: Tensor) -> Tensor:
        r"""Applies a batch normalisation, if there is one."""
        return x if self.norms is None else batch_norm(self.norms[i], x)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, rel_channels={self.rel_channels})"


class ContextualRelationalScorer(CoreTensorScorer):
    r"""The contextual relational scorer of :class:`~torch_imf.nn.IMF` (Eq. 7-8), in which the
    relation gives the context of a bilinear transformation of the head:

    .. math::
        \hat{\mathbf{e}} = \mathbf{e}_h^{\top} (\mathbf{W} \mathbf{e}_r) + \mathbf{b}, \qquad
        \psi(h, r, t) = \tau \cdot \cos(\hat{\mathbf{e}}, \mathbf{e}_t) + \beta

    with a core tensor :math:`\mathbf{W} \in \mathbb{R}^{d \times d \times d_r}`. The paper has
    :math:`\tau = 1` and :math:`\beta = 0`, which leaves :math:`\sigma(\psi)` within :math:`[0.27,
    0.73]`, so no cross-entropy can come near zero; the default learns both. Its released code takes
    the dot product, with batch normalisation and dropout.

    Args:
        channels, rel_channels: The sizes :math:`d` and :math:`d_r`, see :class:`Scorer`.
        similarity (str, optional): :obj:`"cosine"` or :obj:`"dot"`. (default: :obj:`"cosine"`)
        scale (float, optional): The initial :math:`\tau`, positive. (default: :obj:`20.`)
        learn_scale (bool, optional): Whether :math:`\tau` is learned. (default: :obj:`True`)
        logit_bias (float, optional): The initial :math:`\beta`, learned. Best near the log-odds of
            a random triple being true. If :obj:`None`, there is none. (default: :obj:`None`)
        dropout (float, optional): Dropout of the head and of the contextual embedding. (default:
            :obj:`0.`)
        batch_norm (bool, optional): Whether to normalise both over the batch. (default:
            :obj:`False`)
    """

    aliases: ClassVar[dict] = {"contextual": {}}

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        similarity: str = "cosine",
        scale: float = 20.0,
        learn_scale: bool = True,
        logit_bias: float | None = None,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(channels, rel_channels, batch_norm)
        if similarity not in {"cosine", "dot"}:
            raise ValueError(f"'similarity' needs to be 'cosine' or 'dot' (got '{similarity}')")
        if scale <= 0:
            raise ValueError(f"'scale' needs to be positive (got {scale})")
        self.cosine = similarity == "cosine"
        self.scale = scale
        self.init_logit_bias = logit_bias
        self.dropout = dropout

        self.bias = torch.nn.Parameter(torch.empty(channels))
        self.log_scale: torch.nn.Parameter | None = None
        if self.cosine:
            self.log_scale = torch.nn.Parameter(torch.empty(()), requires_grad=learn_scale)
        if logit_bias is not None:
            self.logit_bias = torch.nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.zeros_(self.bias)
        if self.log_scale is not None:
            torch.nn.init.constant_(self.log_scale, math.log(self.scale))
        if self.logit_bias is not None and self.init_logit_bias is not None:
            torch.nn.init.constant_(self.logit_bias, self.init_logit_bias)

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        head = F.dropout(self.normalized(0, head), self.dropout, self.training)
        query = contract(head, rel, group, self.weight) + self.bias
        query = F.dropout(self.normalized(1, query), self.dropout, self.training)
        if self.log_scale is None:
            return query
        return F.normalize(query, dim=-1) * self.log_scale.exp()

    def key(self, tail: Tensor) -> Tensor:
        return F.normalize(tail, dim=-1) if self.cosine else tail

    def __repr__(self) -> str:
        similarity = "cosine" if self.cosine else "dot"
        return f"{super().__repr__()[:-1]}, similarity='{similarity}')"


class TuckER(CoreTensorScorer):
    r"""The TuckER scorer from the `"TuckER: Tensor Factorization for Knowledge Graph Completion"
    <https://arxiv.org/abs/1901.09590>`_ paper (Eq. 2), a bilinear form that the relation mixes from
    a core tensor :math:`\mathbf{W} \in \mathbb{R}^{d \times d_r \times d}`:

    .. math::
        \psi(h, r, t) = \mathbf{W} \times_1 \mathbf{e}_h \times_2 \mathbf{w}_r \times_3 \mathbf{e}_t

    The head and its product with the core tensor and the relation are batch-normalised. Queries of
    one relation in a batch share the matrix :math:`\mathbf{W} \times_2 \mathbf{w}_r`, and what is
    dropped of it.

    Args:
        channels, rel_channels: The sizes :math:`d` and :math:`d_r`, see :class:`Scorer`.
        input_dropout (float, optional): Dropout of the head. (default: :obj:`0.3`)
        hidden_dropout (float, optional): Dropout of that matrix. (default: :obj:`0.4`)
        output_dropout (float, optional): Dropout of the query. (default: :obj:`0.5`)
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

        self.reset_parameters()

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        head = self.input_dropout(self.normalized(0, head))
        p = self.hidden_dropout.p if self.training else 0.0
        query = contract(head, rel, group, self.weight, p)
        return self.output_dropout(self.normalized(1, query))


def contract(head: Tensor, rel: Tensor, group: Tensor, weight: Tensor, p: float = 0.0) -> Tensor:
    r"""Multiplies a core tensor :obj:`[C_r, C * C]` with distinct relations :obj:`[G, C_r]`, of
    which a share :obj:`p` is dropped, and their heads :obj:`[B, C]`, giving :obj:`[B, C]`.
    """
    if head.size(-1) ** 2 != weight.size(1) or rel.size(-1) != weight.size(0):
        expected = round(weight.size(1) ** 0.5), weight.size(0)
        raise ValueError(
            f"The scorer takes entities and relations of {expected} channels (got "
            f"{head.size(-1)} and {rel.size(-1)})"
        )
    # A [C, C] matrix for each relation of the batch, and never one for each query:
    context = (rel @ weight).unflatten(-1, (head.size(-1), -1))  # [G, C, C]
    return grouped_mm(head.to(context.dtype), dropout(context, p), group)


def batch_norm(norm: Any, x: Tensor) -> Tensor:
    r"""Applies a batch normalisation, also to a batch of one, which has no statistics."""
    if not norm.training:
        return norm(x)
    return on_whole_batch(lambda every: _batch_norm(norm, every), x)


def _batch_norm(norm: Any, x: Tensor) -> Tensor:
    if x.size(0) > 1:
        return norm(x)
    stats = norm.running_mean, norm.running_var
    return F.batch_norm(x, *stats, norm.weight, norm.bias, eps=norm.eps)


def dropout(x: Tensor, p: float) -> Tensor:
    r"""Computes :func:`torch.nn.functional.dropout`, several times faster on a CPU, where PyTorch
    draws 64 random bits for each element. Here, it is 16, as the precision of the probability.
    """
    if not x.is_cpu or not 0 < p < 1:
        return F.dropout(x, p)
    bits = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 4),)).view(torch.int16)
    kept = (bits[: x.numel()] >= round(p * 2**16) - 2**15).view(x.size())
    # A product with numbers of the same type is faster than one with a Boolean, or a selection:
    return x * kept.to(x.dtype).mul_(1 / (1 - p))
