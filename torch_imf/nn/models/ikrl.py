from torch import Tensor
from torch.nn import Module

from torch_imf.nn.fusion import StackFusion
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import CrossModal, Scorer
from torch_imf.registry import resolve


class IKRL(JointKGE):
    r"""The IKRL model from the `"Image-embodied Knowledge Representation Learning"
    <https://arxiv.org/abs/1609.07028>`_ paper: translations between the structural embeddings of
    entities, those of their images, and across:

    .. math::
        E = E_{SS} + E_{SI} + E_{IS} + E_{II}, \qquad E_{ab} = \| \mathbf{h}_a
        + \mathbf{r} - \mathbf{t}_b \|_p

    The score is :math:`4 \gamma - E`. In place of images, this takes any modalities, by the mean of
    their projections (:class:`~torch_imf.nn.StackFusion`); an entity without any is scored by
    structure alone. Unlike the paper, features are one vector per entity, norms are not
    constrained, and negatives are self-adversarial, as in the re-implementation of AdaMF-MAT.

    All other arguments are those of :class:`JointKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer of each pair; its margin is :math:`\gamma`.
            (default: :obj:`"transe"`)

    Raises:
        ValueError: As :class:`JointKGE`, or if there is no modality or no structure.
    """

    #: Whether the sums of both embeddings are scored, too.
    total: bool = False

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor] | None = None,
        mask_dict: dict[str, Tensor] | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "transe",
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module = True,
        adversary: Adversary | bool | None = None,
    ) -> None:
        names = [*([] if struct is False else ["struct"]), *(x_dict or {})]
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            x_dict,
            mask_dict,
            scorer=CrossModal(resolve("scorer", scorer, hidden_channels), self.total),
            fusion=StackFusion(dict.fromkeys(names, hidden_channels)),
            loss=loss,
            struct=struct,
            adversary=adversary,
        )


class TBKGC(IKRL):
    r"""The TBKGC model (MKGC in the IMF paper) from the `"A Multimodal Translation-Based Approach
    for Knowledge Graph Representation Learning" <https://aclanthology.org/S18-2027/>`_ paper: the
    energies of :class:`~torch_imf.nn.IKRL`, and that of the sums of both embeddings:

    .. math::
        E = E_S + E_{M1} + E_{SM} + E_{MS} + E_{M2}, \qquad E_{M2} = \|
        (\mathbf{h}_s + \mathbf{h}_m) + \mathbf{r} - (\mathbf{t}_s +
        \mathbf{t}_m) \|_p

    The score is :math:`5 \gamma - E`. Modalities are projected one by one, not side by side; the
    rest differs as in :class:`~torch_imf.nn.IKRL`, whose arguments it takes.
    """

    total = True
