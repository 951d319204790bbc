import torch
from torch import Tensor

from torch_imf.nn.scorer.base import DistanceScorer


class TransE(DistanceScorer):
    r"""The TransE scorer from the `"Translating Embeddings for Modeling
    Multi-Relational Data" <https://proceedings.neurips.cc/paper/2013/file/
    1cecc7a77928ca8133fa24680a88d2f9-Paper.pdf>`_ paper, a translation:

    .. math::
        \psi(h, r, t) = \gamma - \| \mathbf{e}_h + \mathbf{e}_r - \mathbf{e}_t
        \|_p

    Args:
        channels (int): Size of entity and relation embeddings.
        margin (float, optional): The margin :math:`\gamma`.
            (default: :obj:`6.`)
        p_norm (float, optional): The order :math:`p` of the norm.
            (default: :obj:`1.`)
    """

    same_channels = True

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 6.0,
        p_norm: float = 1.0,
    ) -> None:
        super().__init__(channels, rel_channels, margin)
        self.p_norm = p_norm

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return head + rel

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        # Chunks that stay in the cache of a CPU are faster, where no gradient is as large as they:
        in_cache = query.device.type == "cpu" and not torch.is_grad_enabled()
        if key.dim() == 2 and not in_cache:
            # The product formula of p = 2 cancels near a match, and would not agree with triples:
            mode = "donot_use_mm_for_euclid_dist"
            key = key.to(query.dtype)
            return self.margin - torch.cdist(query, key, self.p_norm, compute_mode=mode)
        return super().similarity(query, key)

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        diff = query - key
        if self.p_norm == 1:  # The norm visits its entries one by one.
            return diff.abs_().sum(dim=-1)
        return diff.norm(p=self.p_norm, dim=-1)

    def invert(self, rel: Tensor) -> Tensor:
        return -rel
