import torch
from torch import Tensor

from torch_imf.nn.functional.gather import grouped_mm
from torch_imf.nn.scorer.distance import SAMPLED, DistanceScorer, in_chunks


class OTE(DistanceScorer):
    r"""The OTE scorer from the `"Orthogonal Relation Transforms with Graph Context Modeling for
    Knowledge Graph Embedding" <https://arxiv.org/abs/1911.04910>`_ paper, which rotates, reflects
    and scales each of :math:`K` blocks of an embedding:

    .. math::
        \psi(h, r, t) = \gamma - \sum_{i=1}^{K} \big\| \mathrm{diag}(e^{\mathbf{s}_{r, i}}) \,
        \phi(\mathbf{M}_{r, i}) \, \mathbf{e}_{h, i} - \mathbf{e}_{t, i} \big\|_2

    where :math:`\phi` makes the rows of a matrix orthonormal by the Gram-Schmidt process. The paper
    scores heads by the transposed matrix and :math:`e^{-\mathbf{s}}`, which is another distance
    unless scales are one; here, relations and their inverses have matrices of their own, or, with
    :obj:`scale=False`, the transposed ones if they are tied.

    Args:
        channels (int): Size of entity embeddings. Those of relations are :obj:`block_size` times as
            large, and once more with scales.
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`6.`)
        block_size (int, optional): Size of a block, a divisor of :obj:`channels`. (default:
            :obj:`4`)
        scale (bool, optional): If set to :obj:`False`, scales are one. (default: :obj:`True`)
    """

    settings = SAMPLED

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 6.0,
        block_size: int = 4,
        scale: bool = True,
    ) -> None:
        size = channels * (block_size + scale)
        super().__init__(channels, size if rel_channels is None else rel_channels, margin)
        if channels % block_size != 0:
            raise ValueError(
                f"OTE needs 'block_size' to be a divisor of 'channels' (got {block_size} and "
                f"{channels})"
            )
        if self.rel_channels != size:
            raise ValueError(f"OTE needs 'rel_channels' to be {size} (got {rel_channels})")
        self.block_size = block_size
        self.scale = scale

    def reset_relations(self, weight: Tensor) -> None:
        torch.nn.init.normal_(weight)
        matrix = self.matrices(weight)[0].transpose(-2, -1).flatten(1)
        with torch.no_grad():
            weight.zero_()[:, : matrix.size(1)] = matrix

    def matrices(self, rel: Tensor) -> tuple[Tensor, Tensor | None]:
        r"""Returns the transposed orthogonal matrices of relations :obj:`[G, C_r]`, of shape
        :obj:`[G, K, D, D]`, and their scales :obj:`[G, C]`, if there are any.
        """
        size = self.channels * self.block_size
        matrix = rel[:, :size].unflatten(-1, (-1, self.block_size, self.block_size))
        q, r = torch.linalg.qr(matrix.transpose(-2, -1))
        # Of both signs of a column, the Gram-Schmidt process has the one of a positive diagonal:
        sign = r.diagonal(dim1=-2, dim2=-1).detach().sign()
        return q * sign.unsqueeze(-2), rel[:, size:].exp() if self.scale else None

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        matrix, scale = self.matrices(rel)
        with torch.autocast(head.device.type, enabled=False):
            blocks = head.to(matrix.dtype).view(-1, self.block_size)
            block = torch.arange(matrix.size(1), device=group.device)
            group_of = (group.unsqueeze(1) * matrix.size(1) + block).flatten()
            out = grouped_mm(blocks, matrix.flatten(0, 1), group_of).view(head.size())
        return out if scale is None else out * scale[group]

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        if key.dim() == 3:
            return super().similarity(query, key)
        return self.margin - in_chunks(self.distance, query, key, self.channels // self.block_size)

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        if key.size(0) != 1:
            diff = (query - key).unflatten(-1, (-1, self.block_size))
            return diff.norm(dim=-1).sum(dim=-1)
        # A product for each block:
        x, y = (x.flatten(0, 1).unflatten(1, (-1, self.block_size)) for x in (query, key))
        pair = x.transpose(0, 1), y.to(x.dtype).transpose(0, 1)  # [K, *, D]
        return torch.cdist(*pair, compute_mode="use_mm_for_euclid_dist").sum(dim=0)

    def invert(self, rel: Tensor) -> Tensor:
        if self.scale:
            raise NotImplementedError("'OTE' ties inverse relations with 'scale=False' alone")
        return self.matrices(rel)[0].flatten(1)
