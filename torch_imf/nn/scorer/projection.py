import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.scorer.distance import SAMPLED, DistanceScorer, norm_, root, square_distance


class TransD(DistanceScorer):
    r"""The TransD scorer from the `"Knowledge Graph Embedding via Dynamic Mapping Matrix"
    <https://aclanthology.org/P15-1067.pdf>`_ paper (Eq. 9-14), a translation of entities that are
    projected by vectors of the relation and of their own:

    .. math::
        \psi(h, r, t) = \gamma - \| \mathbf{h}_{\bot} + \mathbf{r} - \mathbf{t}_{\bot} \|_2^2,
        \qquad \mathbf{e}_{\bot} = \mathbf{I} \mathbf{e} + (\mathbf{e}_p^{\top} \mathbf{e}) \,
        \mathbf{r}_p

    with :math:`\| \mathbf{e}_{\bot} \|_2 \leq 1`, as longer ones are scaled to. The released code
    scales all of them to length one.

    Args:
        channels (int): Size of entity embeddings, an even number: both :math:`\mathbf{e}` and
            :math:`\mathbf{e}_p`.
        rel_channels (int, optional): Size of relation embeddings, an even number: both
            :math:`\mathbf{r}` and :math:`\mathbf{r}_p`. If :obj:`None`, :obj:`channels`. (default:
            :obj:`None`)
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`2.`)
        normalize (bool, optional): Whether projected entities have length one. (default:
            :obj:`False`)
    """

    settings = SAMPLED

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 2.0,
        normalize: bool = False,
    ) -> None:
        super().__init__(channels, rel_channels, margin)
        if channels % 2 != 0 or self.rel_channels % 2 != 0:
            got = channels, self.rel_channels
            raise ValueError(f"TransD needs even 'channels' and 'rel_channels' (got {got})")
        self.normalize = normalize

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        r, r_p = rel.chunk(2, dim=-1)
        key = self.key(head)
        h = key[..., :-1] + key[..., -1:] * r_p
        return torch.cat([h * self._scale(h.square().sum(dim=-1, keepdim=True)) + r, r_p], dim=-1)

    def key(self, tail: Tensor) -> Tensor:
        t, t_p = tail.chunk(2, dim=-1)
        product = (t * t_p).sum(dim=-1, keepdim=True)
        return torch.cat([F.pad(t, (0, self.rel_channels // 2 - t.size(-1))), product], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        if key.dim() == 3:
            return super().similarity(query, key)
        with torch.autocast(query.device.type, enabled=False):  # What is left of large terms.
            (x, r_p), t, product = query.chunk(2, dim=-1), key[:, :-1], key[:, -1]
            norm = torch.addcmul(
                t.square().sum(dim=-1) + 2 * product * (r_p @ t.t()),
                product.square(),
                r_p.square().sum(dim=-1, keepdim=True),
            )
            dot = torch.addcmul(x @ t.t(), product, (x * r_p).sum(dim=-1, keepdim=True))
            scale = self._scale(norm)
            distance = x.square().sum(dim=-1, keepdim=True) + scale * (scale * norm - 2 * dot)
            return self.margin - distance.clamp(min=0)

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        x, r_p = query.chunk(2, dim=-1)
        t = key[..., :-1] + key[..., -1:] * r_p
        t = t * self._scale(t.square().sum(dim=-1, keepdim=True))
        return (x - t).square().sum(dim=-1)

    def invert(self, rel: Tensor) -> Tensor:
        r, r_p = rel.chunk(2, dim=-1)
        return torch.cat([-r, r_p], dim=-1)

    def _scale(self, square: Tensor) -> Tensor:
        # Of vectors, given their squared lengths.
        return square.clamp(min=1e-12 if self.normalize else 1.0).rsqrt()


class PairRE(DistanceScorer):
    r"""The PairRE scorer from the `"PairRE: Knowledge Graph Embeddings via Paired Relation Vectors"
    <https://arxiv.org/abs/2011.03798>`_ paper (Eq. 1), with a vector of the relation for each side,
    and entities of unit length:

    .. math::
        \psi(h, r, t) = \gamma - \Big\| \frac{\mathbf{e}_h}{\| \mathbf{e}_h \|_2} \circ
        \mathbf{r}^H - \frac{\mathbf{e}_t}{\| \mathbf{e}_t \|_2} \circ \mathbf{r}^T \Big\|_p

    Args:
        channels (int): Size of entity embeddings. Those of relations, both vectors, are twice as
            large.
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`6.`)
        p_norm (float, optional): The order :math:`p` of the norm. All entities are ranked by two
            products for :math:`p = 2`. (default: :obj:`1.`)
    """

    settings = SAMPLED

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 6.0,
        p_norm: float = 1.0,
    ) -> None:
        super().__init__(channels, 2 * channels if rel_channels is None else rel_channels, margin)
        if self.rel_channels != 2 * channels:
            raise ValueError(
                f"PairRE needs 'rel_channels' to be {2 * channels}, twice the 'channels' (got "
                f"{rel_channels})"
            )
        self.p_norm = p_norm

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        r_head, r_tail = rel.chunk(2, dim=-1)
        return torch.cat([F.normalize(head, dim=-1) * r_head, r_tail], dim=-1)

    def key(self, tail: Tensor) -> Tensor:
        return F.normalize(tail, dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        if key.dim() == 3 or self.p_norm != 2:
            return super().similarity(query, key)
        x, weight = query.chunk(2, dim=-1)
        return self.margin - root(square_distance(x, key, weight))

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        x, weight = query.chunk(2, dim=-1)
        return norm_(torch.addcmul(x, weight, key, value=-1), self.p_norm)

    def invert(self, rel: Tensor) -> Tensor:
        return torch.cat(rel.chunk(2, dim=-1)[::-1], dim=-1)
