from torch import Tensor

from torch_imf.nn.fusion import Fusion
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve


class AdaMF(JointKGE):
    r"""The AdaMF-MAT model from the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper: entities are the adaptive
    fusion of structure and all modalities (Eq. 2-5), scored by RotatE (Eq. 6)
    and trained against self-adversarial negatives (Eq. 7-8) and, with an
    :obj:`adversary`, against synthetic modality embeddings (Eq. 9-11).

    Without an :obj:`adversary`, or with one of weight zero, this is plain
    AdaMF: which is what the commands of the released code train, as they set
    the weight to zero.

    .. code-block:: python

        model = AdaMF(data.num_nodes, data.num_relations, 400, x_dict, mask_dict)
        mat = AdaMF(..., adversary=Adversary(weight=0.1))

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of entity embeddings. A complex embedding
            of :math:`d` entries, as RotatE's, has size :math:`2 d`.
        x_dict (dict[str, torch.Tensor], optional): The features of each
            modality, of shape :obj:`[N, D]` each. (default: :obj:`None`)
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the
            modality, of shape :obj:`[N]` each. (default: :obj:`None`)
        rel_channels (int, optional): Size of relation embeddings. If
            :obj:`None`, the scorer decides. (default: :obj:`None`)
        struct (bool, optional): If set to :obj:`False`, leaves the structural
            embeddings out of the fusion, which are not trained then.
            (default: :obj:`True`)
        scorer (str or Scorer, optional): The scorer, by name or as a module.
            (default: :obj:`"rotate"`)
        fusion (str or Fusion, optional): The fusion, by name or as a module of
            modalities of size :obj:`hidden_channels`.
            (default: :obj:`"adamf"`)
        loss (str or SampledLoss, optional): The loss, :class:`SampledLoss` by
            default; :obj:`"ce"` or :obj:`"bce"` train against all entities.
            (default: :obj:`None`)
        adversary (Adversary, optional): What generates synthetic embeddings.
            (default: :obj:`None`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys, for losses against all entities.
            (default: :obj:`0.`)
        tie_inverses (bool, optional): If set to :obj:`True`, inverse relations
            are those of the scorer, without embeddings of their own.
            (default: :obj:`False`)

    Raises:
        ValueError: If features are of the wrong shape or not finite, a
            modality is missing for every entity, nothing is left to fuse, or
            the scorer is for embeddings of another size than those of the
            fusion.
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor] | None = None,
        mask_dict: dict[str, Tensor] | None = None,
        rel_channels: int | None = None,
        struct: bool = True,
        scorer: str | Scorer = "rotate",
        fusion: str | Fusion = "adamf",
        loss: str | SampledLoss | None = None,
        adversary: Adversary | None = None,
        regularization: float = 0.0,
        tie_inverses: bool = False,
    ) -> None:
        scorer = resolve("scorer", scorer, hidden_channels, rel_channels)
        out_channels = getattr(fusion, "out_channels", hidden_channels)
        if out_channels != scorer.channels:
            raise ValueError(
                f"The fusion yields embeddings of size {out_channels}, but the scorer takes those "
                f"of size {scorer.channels}"
            )
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            x_dict or {},
            mask_dict or {},
            scorer=scorer,
            fusion=fusion,
            struct=struct,
            loss=loss,
            adversary=adversary,
            regularization=regularization,
            tie_inverses=tie_inverses,
        )
