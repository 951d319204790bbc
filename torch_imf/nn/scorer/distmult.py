from torch import Tensor

from torch_imf.nn.scorer.base import Scorer


class DistMult(Scorer):
    r"""The DistMult scorer from the `"Embedding Entities and Relations for
    Learning and Inference in Knowledge Bases"
    <https://arxiv.org/abs/1412.6575>`_ paper, a diagonal bilinear form:

    .. math::
        \psi(h, r, t) = \mathbf{e}_h^{\top} \mathrm{diag}(\mathbf{e}_r) \,
        \mathbf{e}_t

    Args:
        channels (int): Size of entity and relation embeddings.
    """

    same_channels = True

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return head * rel

    def invert(self, rel: Tensor) -> Tensor:
        return rel
