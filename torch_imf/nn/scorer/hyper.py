import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.functional.quaternion import hamilton
from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.bilinear import REGULARIZED
from torch_imf.nn.scorer.gated import WrappedScorer


class BiQUE(Scorer):
    r"""The BiQUE scorer from the `"BiQUE: Biquaternionic Embeddings of Knowledge Graphs"
    <https://arxiv.org/abs/2109.14401>`_ paper, a translation and a rotation of biquaternions, whose
    four parts are complex numbers:

    .. math::
        \psi(h, r, t) = \langle (\mathbf{q}_h + \mathbf{q}_r^{+}) \otimes \mathbf{q}_r^{\times},
        \mathbf{q}_t \rangle

    with the Hamilton product :math:`\otimes` (:meth:`~torch_imf.nn.hamilton`) and the plain product
    :math:`\langle \cdot, \cdot \rangle` of all numbers. An embedding holds the four parts one after
    the other, each with its real numbers first. Regularisers see heads after the translation, and
    of relations the rotation.

    Args:
        channels (int): Size :math:`C` of entity embeddings, a multiple of eight. Those of relations
            are of size :math:`2 C`: rotations, then translations.
    """

    num_parts = 8
    settings = REGULARIZED

    def __init__(self, channels: int, rel_channels: int | None = None) -> None:
        rel_channels = 2 * channels if rel_channels is None else rel_channels
        super().__init__(channels, rel_channels)
        if channels % 8 != 0 or rel_channels != 2 * channels:
            raise ValueError(
                f"BiQUE needs 'channels' to be a multiple of 8, and 'rel_channels' to be twice as "
                f"many (got {channels} and {rel_channels})"
            )

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        rotation, translation = rel.chunk(2, dim=-1)
        x, y = (z.unflatten(-1, (4, 2, -1)) for z in (head + translation, rotation))
        (x_re, x_im), (y_re, y_im) = x.unbind(dim=-2), y.unbind(dim=-2)  # [*, 4, C / 8]
        re = hamilton(x_re, y_re) - hamilton(x_im, y_im)
        im = hamilton(x_re, y_im) + hamilton(x_im, y_re)
        return torch.stack([re, im], dim=-2).flatten(-3)

    def factors(
        self, entity: Tensor, rel: Tensor, facts: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        head_index, rel_type, tail_index = facts
        rotation, translation = rel.chunk(2, dim=-1)
        head = F.embedding(head_index, entity) + F.embedding(rel_type, translation)
        index = torch.arange(rel_type.numel(), device=rel.device)
        entity = torch.cat([head, F.embedding(tail_index, entity)])
        return entity, rotation, index, rel_type, index + index.numel()


class HyperScorer(WrappedScorer):
    r"""The relation-aware fusion of :class:`~torch_imf.nn.MHyper`: a scorer of entities of four
    embeddings, of which the first one of a head takes in what the relation makes of the others:

    .. math::
        \mathbf{h}_f \leftarrow \mathbf{h}_f + \sum_{m} \alpha_m \mathbf{h}_m, \qquad \alpha =
        \underset{m}{\mathrm{softmax}} \Big( \frac{\mathbf{w}_m \cdot [\mathbf{h}_m ; \mathbf{r}] +
        b_m}{\tau_r} \Big)

    The logarithm of the temperature :math:`\tau_r`, which starts as one, is the last number of the
    embedding of a relation. Tails stay as they are, so that ranking is that of the scorer.

    Args:
        scorer (Scorer): The scorer of embeddings of size :math:`4 C`. Those of entities are side by
            side, as :class:`~torch_imf.nn.HyperFusion` returns them.
    """

    aliases = {}

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer, scorer.channels)
        if scorer.channels % 4 != 0:
            raise ValueError(
                f"HyperScorer needs a scorer of four embeddings (got {scorer.channels} channels)"
            )
        self.dot_product = scorer.dot_product
        self.att = torch.nn.Parameter(torch.empty(3, scorer.channels // 4))
        self.lin = torch.nn.Linear(scorer.rel_channels, 3)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.xavier_uniform_(self.att)
        torch.nn.init.xavier_uniform_(self.lin.weight)
        torch.nn.init.zeros_(self.lin.bias)

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        return self.scorer.grouped_query(self.fused(head, rel, group), rel[:, :-1], group)

    def fused(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        r"""Returns the four embeddings of heads :obj:`[B, 4 * C]`, given distinct relations and
        which one each head has, as :meth:`grouped_query` is.
        """
        first, own = head.unflatten(-1, (4, -1)).tensor_split((1,), dim=-2)  # [B, 3, C]
        logit = (own * self.att).sum(dim=-1) + F.embedding(group, self.lin(rel[:, :-1]))
        alpha = (logit / F.embedding(group, rel[:, -1:]).exp()).softmax(dim=-1)
        first = first + (alpha.unsqueeze(-1) * own).sum(dim=-2, keepdim=True)
        return torch.cat([first, own], dim=-2).flatten(-2)

    def key(self, tail: Tensor) -> Tensor:
        return self.scorer.key(tail)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        return self.scorer.similarity(query, key)

    def factors(
        self, entity: Tensor, rel: Tensor, facts: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.scorer.factors(entity, rel[:, :-1], facts)
