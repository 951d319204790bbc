import copy
import math

import torch
from torch import Tensor
from torch.nn import Module

from torch_imf.data.distributed import gather, gathered, sharing
from torch_imf.nn.functional.contrastive import check_pairs
from torch_imf.nn.fusion import DecisionFusion, Fusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Contrastive, Loss
from torch_imf.nn.models.base import MultimodalKGE, distinct_ids, make_scorer, modality_names
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.scorer import ContextualRelationalScorer, Scorer
from torch_imf.registry import lookup, resolve
from torch_imf.sampler import MANSSampler


class IMF(MultimodalKGE):
    r"""The Interactive Multimodal Fusion model from the `"IMF: Interactive Multimodal Fusion Model
    for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper.

    Entities have a view per modality, beside the learned structural one, and a fused view (Eq. 4).
    Each view has its own scorer (Eq. 7-8) and loss (Eq. 9); latent representations are aligned by a
    contrastive loss (Eq. 6), and losses and predictions are joined by decision fusion (Eq. 10-11):

    .. math::
        \mathcal{L} = \sum_{k \in \mathcal{K}} \big( \gamma_k (1 + \mathcal{L}_k) - \log \gamma_k
        \big) + \lambda \mathcal{L}_{CL}

    The binary cross-entropy :math:`\mathcal{L}_k` is summed rather than averaged over candidates,
    so that it is of the order of the other losses on graphs of any size.

    .. code-block:: python

        x_dict, mask_dict = modalities(data)
        model = IMF(data.num_nodes, data.num_relations, 256, x_dict, mask_dict)
        fit(model, data)

    In the paper, :obj:`struct` are the frozen vectors of a
    :class:`~torch_imf.nn.StructuralEncoder`; its released code does not share relations. All other
    arguments are those of :class:`MultimodalKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer of each view: an object is copied. The
            contextual one starts at the log-odds of a random triple unless it is an object.
            (default: :obj:`"contextual"`)
        fusion (str or Fusion, optional): The fusion. (default: :obj:`"imf"`)
        contrastive (Contrastive or bool, optional): The contrastive term of the fused view;
            :obj:`False` is *w/o CL*. (default: :obj:`True`)
        decision (DecisionFusion, dict[str, float] or float, optional): The fusion of predictions,
            or its fixed weights :math:`\gamma_k`; the released code takes the mean. Views are
            pooled as averaged sigmoids if :obj:`loss.is_binary`, and as a product of experts
            elsewhere. If :obj:`None`, weights are learned. (default: :obj:`None`)
        views (list[str], optional): The views to score, or all of them; :obj:`['fused']` is *w/o
            DF*, :obj:`['struct']` is *w/o MF*. (default: :obj:`None`)
        rel_channels (int, optional): Size of relation embeddings, or that of the scorer. (default:
            :obj:`None`)
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "contextual",
        fusion: str | type[Fusion] | Fusion = "imf",
        loss: str | type[Loss] | Loss = "bce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        contrastive: Contrastive | bool = True,
        decision: DecisionFusion | dict[str, float] | float | None = None,
        views: list[str] | None = None,
        rel_channels: int | None = None,
        shared_relations: bool = True,
    ) -> None:
        x_dict, mask_dict = x_dict or {}, mask_dict or {}
        choices = [*modality_names(struct, x_dict), *(["fused"] if x_dict else [])]
        if not choices:
            raise ValueError("'struct' cannot be False without modalities")
        views = list(dict.fromkeys(choices) if views is None else views)
        if len(views) == 0 or not set(views) <= set(choices) or len(set(views)) < len(views):
            raise ValueError(f"'views' need to be distinct ones of {choices} (got {views})")
        cls = scorer if isinstance(scorer, Scorer) else lookup("scorer", scorer)
        if cls is ContextualRelationalScorer:
            bias = -math.log(max(num_nodes, 2))
            scorer = cls(hidden_channels, rel_channels, logit_bias=bias)
        scorer = make_scorer(scorer, hidden_channels, rel_channels)
        loss_fn: Loss = resolve("loss", loss)
        if len(views) == 1:
            decision = None
        elif not isinstance(decision, DecisionFusion):
            decision = DecisionFusion(views, decision, loss_fn.is_binary)
        elif decision.views != views:
            raise ValueError(f"'decision' joins the views {decision.views} (expected {views})")
        # Modalities that no view looks at are left out altogether:
        names = [name for name in x_dict if "fused" in views or name in views]
        super().__init__(
            *(num_nodes, num_relations, hidden_channels),
            {name: x_dict[name] for name in names},
            {name: mask for name, mask in mask_dict.items() if name in names or name not in x_dict},
            scorers={view: copy.deepcopy(scorer) for view in views},
            loss=loss_fn,
            struct=struct,
            decision=decision,
            shared_relations=shared_relations,
        )
        if isinstance(self.sampler, MANSSampler):
            raise ValueError("IMF scores each modality apart: a MANSSampler is for joint models")
        self.contrastive = (Contrastive() if contrastive is True else contrastive) or None
        if "fused" in views:
            in_channels = dict.fromkeys(modality_names(struct, self.features), hidden_channels)
            self.fusion = resolve("fusion", fusion, in_channels, hidden_channels)
            if self.contrastive is not None:
                check_pairs(self.contrastive.pairs or [], list(in_channels))
        self.reset_parameters()

    def encode(self, index: Tensor | None = None) -> Tensors:
        return self._encode(index)[0]

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        z, latent_dict = self._encode(index)
        loss = self.view_loss(z, *batch)
        if len(latent_dict) < 2 or self.contrastive is None or self.contrastive.weight == 0:
            return loss
        # The heads of the batch are the paper's "minibatch of entities":
        position, heads = distinct_ids(batch[0], index)
        latent_dict, masks = self.rows(latent_dict, position), self.masks(heads)
        if sharing() is not None:  # Those of all processes, each of them once.
            heads, order = gathered(heads).sort(stable=True)
            first = order[heads != torch.cat([heads[:1] - 1, heads[:-1]])]
            latent_dict = {name: gather(x)[first] for name, x in latent_dict.items()}
            masks = {name: gathered(x)[first] for name, x in masks.items()}
        return loss + self.contrastive(latent_dict, masks)

    def _encode(self, index: Tensor | None = None) -> tuple[Tensors, Tensors]:
        z, latent_dict = self.embed(index), {}
        if self.fusion is not None:
            latent_dict = self.fusion.latent(dict(z))  # A copy: it may be its argument.
            masks = self.fused_masks(self.masks(index), index)
            z["fused"] = self.fusion.fuse(latent_dict, masks)
        return {view: z[view] for view in self.views}, latent_dict


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
