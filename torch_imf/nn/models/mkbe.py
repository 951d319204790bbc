import torch
from torch import Tensor
from torch.nn import Embedding, Module

from torch_imf.evaluation.ranking import inference
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss, OneToN
from torch_imf.nn.models.base import MultimodalKGE, make_scorer
from torch_imf.nn.models.decoder import FeatureDecoder
from torch_imf.nn.scorer import Scorer
from torch_imf.sampler.base import Objective


class MKBE(MultimodalKGE):
    r"""The MKBE model from the `"Embedding Multimodal Relational Data for Knowledge Base
    Completion" <https://arxiv.org/abs/1809.01341>`_ paper: numbers, texts and images are tails of
    facts like others, under a relation :math:`r_m` of their modality, and teach the embeddings of
    entities, by which alone facts are predicted:

    .. math::
        \mathcal{L} = \mathcal{L}_{KGE} + \lambda \sum_m \mathrm{BCE} \big( \psi(\mathbf{e}_i,
        \mathbf{r}_m, f(\mathbf{x}_{j, m})), \mathbf{1}_{i = j} \big), \qquad f(\mathbf{x}) = \tanh(
        \mathbf{W}_m \mathbf{x} + \mathbf{b}_m)

    Each head :math:`i` of a batch is compared with the values of all entities :math:`j` that have
    the modality. A missing modality is a fact that is not known, and has no part in it.

    Decoders learn, beside the model and without influence on it, to give back features from
    embeddings (the objective :obj:`"decoder"`), also where they are missing: :meth:`impute`. The
    encoders of the paper read words and pixels, and its decoders of texts and images are
    adversarial; here both are of features. All other arguments are those of :class:`MultimodalKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer, :obj:`"distmult"` or :obj:`"conve"` in the
            paper. (default: :obj:`"distmult"`)
        weight (float, optional): The weight :math:`\lambda`. (default: :obj:`0.1`)
        rel_channels (int, optional): Size of relation embeddings, or that of the scorer. (default:
            :obj:`None`)
    """

    decoder: FeatureDecoder

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "distmult",
        loss: str | type[Loss] | Loss = "bce",
        struct: bool | Tensor | Module = True,
        weight: float = 0.1,
        rel_channels: int | None = None,
        tie_inverses: bool = False,
    ) -> None:
        if struct is False or not x_dict:
            raise ValueError("MKBE needs structure ('struct' cannot be False) and a modality")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorers={"struct": make_scorer(scorer, hidden_channels, rel_channels)},
            loss=loss,
            struct=struct,
            tie_inverses=tie_inverses,
        )
        self.weight = weight
        self.value_loss = OneToN("bce")
        self.value_emb = Embedding(len(self.features), self.scorers["struct"].rel_channels)
        self.decoder = FeatureDecoder(hidden_channels, self.features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.scorers["struct"].reset_relations(self.value_emb.weight.data)

    def encode(self, index: Tensor | None = None) -> Tensors:
        assert self.struct is not None
        seen = self.seen if self._takes_mean else None
        return {"struct": self.struct(self.node_emb, index, seen)}

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        loss = super().loss(head_index, rel_type, *target)
        if self.weight == 0:
            return loss
        return loss + self.weight * self.values_loss(head_index.unique())

    def values_loss(self, index: Tensor) -> Tensor:
        r"""The loss of the values of entities :obj:`index` as tails."""
        scorer, x, losses = self.scorers["struct"], self.encode(index)["struct"], []
        for i, module in enumerate(self.features.values()):
            has = module.has(index)
            rel = self.value_emb.weight[i].expand(int(has.sum()), -1)
            key = scorer.key(module.projected().tanh())
            row = module.row[index[has]]
            losses.append(self.value_loss(scorer, scorer.query(x[has], rel), key, row))
        return torch.stack(losses).sum()

    def decoder_loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""The loss of the decoders, given what they decode."""
        index = head_index.unique()
        with torch.no_grad():
            x = self.encode(index)["struct"]
        return self.decoder.loss(x, self.features, index)

    def other_objectives(self) -> list[Objective]:
        decoder = Objective("decoder", list(self.decoder.parameters()), self.decoder_loss)
        return [*super().other_objectives(), decoder]

    @torch.no_grad()
    def impute(self, index: Tensor | None = None) -> Tensors:
        r"""Decodes the features :obj:`[*, D]` of all modalities of entities :obj:`index`, or all,
        also where they are missing.
        """
        with inference(self) as model:
            return model.decoder(model.encode(index)["struct"], model.features)
