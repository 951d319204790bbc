from torch import Tensor
from torch.nn import Module

from torch_imf.nn.fusion import DecisionFusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import modality_names
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.imf import IMF
from torch_imf.nn.scorer import Scorer


class MoSE(IMF):
    r"""The MoSE model from the `"MoSE: Modality Split and Ensemble for Multimodal Knowledge Graph
    Completion" <https://arxiv.org/abs/2210.08821>`_ paper: structure and each modality are trained
    apart, by relation embeddings of their own, and vote:

    .. math::
        \mathcal{L} = \sum_{m \in \mathcal{M}} \mathcal{L}_m, \qquad \psi(h, r, t) = \sum_{m \in
        \mathcal{M}} w_m \, \mathrm{Re}(\mathbf{h}_m^{\top} \mathrm{diag}(\mathbf{r}_m) \,
        \overline{\mathbf{t}_m})

    The paper has three ways to find the weights. That of the model is the average. For weights of
    each relation, as by its boosting, and for those that are learned from validation facts, as by
    its meta-learner, there is :meth:`torch_imf.fit_view_weights`:

    .. code-block:: python

        model = fit_view_weights(model, data, extra=[], by="relation")  # Or by="all".

    which maximises a smooth reciprocal rank, where the paper has RankBoost and a perceptron of the
    scores. The released code selects its meta-learner by test facts, which have no part here.
    The arguments are those of :class:`IMF`.

    Args:
        scorer (str or Scorer, optional): The scorer of each view. (default: :obj:`"complex"`)
        decision (DecisionFusion, dict[str, float] or float, optional): The weights. (default:
            :obj:`1.`)
        loss (str or Loss, optional): The loss of each view. (default: :obj:`"ce"`)
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "complex",
        loss: str | type[Loss] | Loss = "ce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        decision: DecisionFusion | dict[str, float] | float | None = 1.0,
    ) -> None:
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=scorer,
            loss=loss,
            struct=struct,
            contrastive=False,
            decision=decision,
            views=modality_names(struct, x_dict) or None,
            shared_relations=False,
        )
