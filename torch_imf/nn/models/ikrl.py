from torch import Tensor

from torch_imf.nn.fusion import StackFusion
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import CrossModal, TransE


class IKRL(JointKGE):
    r"""The IKRL model from the `"Image-embodied Knowledge Representation
    Learning" <https://arxiv.org/abs/1609.07028>`_ paper: translations between
    the structural embeddings of entities, those of their images, and across:

    .. math::
        E = E_{SS} + E_{SI} + E_{IS} + E_{II}, \qquad E_{ab} = \| \mathbf{h}_a
        + \mathbf{r} - \mathbf{t}_b \|_p

    The score is :math:`4 \gamma - E`. In place of images, this takes any
    modalities, by the mean of their projections
    (:class:`~torch_imf.nn.StackFusion`); an entity without any is scored by
    structure alone. Three more things differ from the paper: features are one
    vector per entity, not an attention over images; norms are not constrained;
    and margin ranking is replaced by self-adversarial negatives, as in the
    re-implementation of AdaMF-MAT.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of embeddings in each modality.
        x_dict (dict[str, torch.Tensor]): The features of each modality, of
            shape :obj:`[N, D]` each.
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the
            modality, of shape :obj:`[N]` each. (default: :obj:`None`)
        margin (float, optional): The margin :math:`\gamma` of each energy.
            (default: :obj:`6.`)
        p_norm (float, optional): The order :math:`p` of the norm.
            (default: :obj:`1.`)
        loss (str or SampledLoss, optional): The loss, :class:`SampledLoss` by
            default; :obj:`"ce"` or :obj:`"bce"` train against all entities.
            (default: :obj:`None`)
        adversary (Adversary, optional): What generates synthetic embeddings.
            (default: :obj:`None`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys, for losses against all entities.
            (default: :obj:`0.`)

    Raises:
        ValueError: If there is no modality, features are of the wrong shape or
            not finite, or a modality is missing for every entity.
    """

    #: Whether the sums of both embeddings are scored, too.
    total: bool = False

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
        margin: float = 6.0,
        p_norm: float = 1.0,
        loss: str | SampledLoss | None = None,
        adversary: Adversary | None = None,
        regularization: float = 0.0,
    ) -> None:
        scorer = TransE(hidden_channels, margin=margin, p_norm=p_norm)
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            x_dict,
            mask_dict or {},
            scorer=CrossModal(scorer, self.total),
            fusion=StackFusion(dict.fromkeys(["struct", *x_dict], hidden_channels)),
            loss=loss,
            adversary=adversary,
            regularization=regularization,
        )
