import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from torch_imf.data.graph import check_features
from torch_imf.evaluation.ranking import inference
from torch_imf.nn.functional import contrastive_loss, info_nce_loss
from torch_imf.nn.functional.contrastive import check_pairs
from torch_imf.nn.fusion import DecisionFusion, Fusion
from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.models.checks import check_embedding, check_mix, check_views
from torch_imf.nn.models.features import FrozenFeatures, find_masks
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import ContextualRelationalScorer, Scorer
from torch_imf.registry import resolve


class IMF(MultimodalKGE):
    r"""The Interactive Multimodal Fusion model from the `"IMF: Interactive
    Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper.

    Entities have a view per modality, beside the learned structural one, and a
    fused view (Eq. 4). Each view has its own scorer (Eq. 7-8) and loss (Eq. 9);
    latent representations are aligned by a contrastive loss (Eq. 6), and
    losses and predictions are joined by decision fusion (Eq. 10-11):

    .. math::
        \mathcal{L} = \sum_{k \in \mathcal{K}} \big( \gamma_k (1 +
        \mathcal{L}_k) - \log \gamma_k \big) + \lambda \mathcal{L}_{CL}

    Two terms keep the learned weights from degenerating
    (:class:`~torch_imf.nn.DecisionFusion`), and the binary cross-entropy
    :math:`\mathcal{L}_k` is summed rather than averaged over candidates, so
    that it is of the order of the other losses on graphs of any size.

    .. code-block:: python

        x_dict, mask_dict = modalities(data)
        model = IMF(data.num_nodes, data.num_relations, 256, x_dict, mask_dict)
        fit(model, data)

    Args:
        num_nodes (int): The number of entities :math:`N`.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of entity embeddings in every view.
        x_dict (dict[str, torch.Tensor], optional): The frozen features per
            modality, of shape :obj:`[N, D_k]` each. (default: :obj:`None`)
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the
            modality, of shape :obj:`[N]` each. If :obj:`None`, all of them.
            (default: :obj:`None`)
        rel_channels (int, optional): Size of relation embeddings. If
            :obj:`None`, the scorer decides. (default: :obj:`None`)
        views (list[str], optional): The views to score, of :obj:`'struct'`,
            the modalities and :obj:`'fused'`. If :obj:`None`, all of them; the
            paper's *w/o DF* is :obj:`['fused']`, its *w/o MF*
            :obj:`['struct']`. (default: :obj:`None`)
        scorer (str or Scorer, optional): The scorer, by name or as a module
            that is copied and reset for each view. The name
            :obj:`"contextual"` starts at the log-odds of a random triple.
            (default: :obj:`"contextual"`)
        fusion (str or Fusion, optional): The fusion of modalities.
            (default: :obj:`"imf"`)
        loss (str, optional): The 1-N loss of each view: the paper's
            :obj:`"bce"`, or :obj:`"ce"`, a softmax over all entities, which
            learns faster per epoch on large graphs. With the latter,
            predictions are pooled as a product of experts rather than as
            averaged sigmoids. (default: :obj:`"bce"`)
        label_smoothing (float, optional): Label smoothing of the
            :obj:`"bce"` loss. (default: :obj:`0.`)
        contrastive_weight (float, optional): The weight :math:`\lambda`, in
            effect with the fused view, whose latent representations it aligns.
            Zero is the paper's *w/o CL*. (default: :obj:`1.`)
        contrastive_temperature (float, optional): If given, the contrastive
            loss over the heads of a batch is InfoNCE with this temperature,
            rather than Eq. 6. (default: :obj:`None`)
        contrastive_pairs (list[tuple[str, str]], optional): The pairs of
            modalities to align, with :obj:`'struct'` among them. If
            :obj:`None`, all of them. (default: :obj:`None`)
        decision_weight (dict[str, float] or float, optional): Fixed weights
            :math:`\gamma_k` per view, or one for all: the released code takes
            the mean. If :obj:`None`, they are learned. (default: :obj:`None`)
        shared_relations (bool, optional): If set to :obj:`False`, each view
            has relation embeddings of its own, as in the released code; the
            paper shares them. (default: :obj:`True`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys in each view
            (:meth:`~torch_imf.nn.dura_loss`). (default: :obj:`0.`)
        struct (torch.Tensor or torch.nn.Module, optional): What the structural
            view starts from: embeddings of shape :obj:`[N, C]`, such as those
            of :class:`~torch_imf.nn.StructuralEncoder`, or a module that
            gives them when called without arguments, to be trained jointly
            (unless frozen, when it is called once). If :obj:`None`, random
            embeddings. (default: :obj:`None`)
        rel_emb (torch.Tensor, optional): The relation embeddings to start
            from, of shape :obj:`[2 R, C_r]`, inverse relations included: those
            of all views, or of the structural one if views do not share them.
            (default: :obj:`None`)
        freeze_struct (bool, optional): If set to :obj:`True`, the structural
            embeddings stay as given, as in the paper. (default: :obj:`False`)

    Raises:
        ValueError: If features are of the wrong shape or not finite, a
            modality is missing for every entity or its name cannot be used, or
            a view, scorer, fusion, pair, temperature or initial embedding is
            invalid.
    """

    init_node_emb: Tensor | None
    init_rel_emb: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor] | None = None,
        mask_dict: dict[str, Tensor] | None = None,
        rel_channels: int | None = None,
        views: list[str] | None = None,
        scorer: str | Scorer = "contextual",
        fusion: str | Fusion = "imf",
        loss: str | SampledLoss = "bce",
        label_smoothing: float = 0.0,
        contrastive_weight: float = 1.0,
        contrastive_temperature: float | None = None,
        contrastive_pairs: list[tuple[str, str]] | None = None,
        decision_weight: dict[str, float] | float | None = None,
        shared_relations: bool = True,
        regularization: float = 0.0,
        struct: Tensor | Module | None = None,
        rel_emb: Tensor | None = None,
        freeze_struct: bool = False,
    ) -> None:
        x_dict, mask_dict = x_dict or {}, mask_dict or {}
        check_features(x_dict, mask_dict, num_nodes)
        views = check_views(views, x_dict, mask_dict)
        if scorer == "contextual":
            bias = -math.log(max(num_nodes, 2))
            scorer = ContextualRelationalScorer(hidden_channels, rel_channels, logit_bias=bias)
        scorer = resolve("scorer", scorer, hidden_channels, rel_channels)
        sizes = (hidden_channels, scorer.rel_channels if rel_channels is None else rel_channels)
        if (scorer.channels, scorer.rel_channels) != sizes:
            raise ValueError(
                f"The scorer's 'channels' and 'rel_channels' need to equal 'hidden_channels' and "
                f"'rel_channels' (got {(scorer.channels, scorer.rel_channels)} and {sizes})"
            )
        decision = None
        if isinstance(decision_weight, int | float):
            decision_weight = dict.fromkeys(views, float(decision_weight))
        if len(views) > 1:
            decision = DecisionFusion(views, decision_weight, sigmoid=loss == "bce")
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            scorers={view: copy.deepcopy(scorer) for view in views},
            decision=decision,
            shared_relations=shared_relations,
            loss=loss,
            label_smoothing=label_smoothing,
            regularization=regularization,
        )
        check_mix(self.sampler, {})  # Views are scored apart: there is nothing to mix.
        if contrastive_temperature is not None and contrastive_temperature <= 0:
            raise ValueError(
                f"'contrastive_temperature' needs to be positive (got {contrastive_temperature})"
            )
        self.contrastive_weight = contrastive_weight
        self.contrastive_temperature = contrastive_temperature
        self.contrastive_pairs = contrastive_pairs
        self._init_struct(struct, rel_emb, freeze_struct)
        # Modalities that no view looks at are left out altogether:
        names = [name for name in x_dict if "fused" in views or name in views]
        self.features = torch.nn.ModuleDict()
        for name in names:
            mask = mask_dict.get(name)
            mask = torch.ones(num_nodes, dtype=torch.bool) if mask is None else mask
            self.features[name] = FrozenFeatures(x_dict[name], mask, hidden_channels)
        self.fusion = None
        if "fused" in views:
            in_channels = {name: hidden_channels for name in ["struct", *names]}
            self.fusion = resolve("fusion", fusion, in_channels, hidden_channels)
            check_pairs("contrastive_pairs", contrastive_pairs or [], list(in_channels))
        self.reset_parameters()

    def _init_struct(
        self, struct: Tensor | Module | None, rel_emb: Tensor | None, freeze: bool
    ) -> None:
        if struct is not None and not isinstance(struct, Tensor | Module):
            raise ValueError(f"'struct' needs to be a tensor or a module (got {type(struct)})")
        if freeze and struct is None:
            raise ValueError("'freeze_struct' needs the embeddings to freeze as 'struct'")
        if freeze and isinstance(struct, Module):
            with inference(struct):
                struct = struct()
        self.freeze_struct = freeze
        self.struct = struct if isinstance(struct, Module) else None
        self.node_emb.weight.requires_grad_(self.struct is None and not freeze)
        # Non-persistent buffers: `reset_parameters` goes back to them.
        tables = {"init_node_emb": (struct, self.node_emb.weight)}
        tables["init_rel_emb"] = (rel_emb, self._rel_emb(self.views[0]).weight)
        for name, (init, weight) in tables.items():
            init = init.detach().float() if isinstance(init, Tensor) else None
            if init is not None:
                check_embedding(name[5:], init, weight)
            self.register_buffer(name, init, persistent=False)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module. Embeddings that were
        given are taken up again, and a structural module stays as it is.
        """
        super().reset_parameters()
        with torch.no_grad():
            if self.init_node_emb is not None:
                self.node_emb.weight.copy_(self.init_node_emb)
            if self.init_rel_emb is not None:
                view = "struct" if "struct" in self.views else self.views[0]
                self._rel_emb(view).weight.copy_(self.init_rel_emb)
        modules: list[Any] = [*self.features.values(), *([self.fusion] if self.fusion else [])]
        for module in modules:
            module.reset_parameters()

    def encode(self, index: Tensor | None = None) -> dict[str, Tensor]:
        return self._encode(index)[0]

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        z, latent_dict = self._encode()
        loss = self.view_loss(z, head_index, rel_type, *target)
        if len(latent_dict) < 2 or self.contrastive_weight == 0:
            return loss
        # The heads of the batch are the paper's "minibatch of entities":
        index = head_index.unique()
        latent_dict = {name: F.embedding(index, x) for name, x in latent_dict.items()}
        args = (latent_dict, find_masks(self.features, index))
        if self.contrastive_temperature is None:
            contrastive = contrastive_loss(*args, self.contrastive_pairs)
        else:
            temperature = self.contrastive_temperature
            contrastive = info_nce_loss(*args, temperature, self.contrastive_pairs)
        return loss + self.contrastive_weight * contrastive

    def _encode(self, index: Tensor | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if self.struct is None:
            z = {"struct": self.node_emb.weight if index is None else self.node_emb(index)}
        else:
            x = self.struct()
            z = {"struct": x if index is None else F.embedding(index, x)}
        z.update({name: module(index) for name, module in self.features.items()})
        latent_dict: dict[str, Tensor] = {}
        if self.fusion is not None:
            latent_dict = self.fusion.latent(dict(z))  # A copy: it may be its argument.
            z["fused"] = self.fusion.fuse(latent_dict, find_masks(self.features, index))
        return {view: z[view] for view in self.views}, latent_dict
