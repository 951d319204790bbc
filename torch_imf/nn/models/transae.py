from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module

from torch_imf.evaluation.ranking import inference
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import distinct_ids
from torch_imf.nn.models.decoder import FeatureDecoder
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import Scorer


class TransAE(JointKGE):
    r"""The TransAE model from the `"Multimodal Data Enhanced Representation Learning for Knowledge
    Graphs" <https://doi.org/10.1109/IJCNN.2019.8852079>`_ paper: an entity is the hidden layer
    :math:`\mathbf{e}` of an autoencoder of its modalities
    (:class:`~torch_imf.nn.AutoencoderFusion`), scored by TransE, and learns to give them back:

    .. math::
        \mathcal{L} = \mathcal{L}_{KGE} + \lambda \sum_{m} \frac{1}{|\mathcal{E}_m|} \sum_{e \in
        \mathcal{E}_m} \| \mathbf{x}_m - \hat{\mathbf{x}}_m(\mathbf{e}) \|_2^2

    over the heads of a batch that have a modality, with features of length one on average. As in
    the paper, there is no other embedding of an entity; with :obj:`struct=True`, a structural one
    is a further modality, and entities without any modality can be told apart. (The forward pass of
    the re-implementation that later papers compare with scores plain embeddings, and its
    reconstruction loss is zero: that is :obj:`KGE(scorer="transe")`.) All other arguments are those
    of :class:`JointKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer. (default: :obj:`"transe"`)
        loss (str or Loss, optional): The loss. (default: :obj:`"margin"`)
        weight (float, optional): The weight :math:`\lambda`. (default: :obj:`1.`)
    """

    settings: ClassVar[Mapping[str, Any]] = {
        **{"hidden_channels": 128, "loss": "margin", "loss.num_negatives": 16},
        **{"batch_size": 128, "lr": 0.01},
    }
    decoder: FeatureDecoder

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "transe",
        loss: str | type[Loss] | Loss = "margin",
        struct: bool | Tensor | Module | StructuralEmbedding = False,
        weight: float = 1.0,
    ) -> None:
        if not x_dict:
            raise ValueError("TransAE encodes modalities, of which the graph has none")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=scorer,
            fusion="autoencoder",
            loss=loss,
            struct=struct,
        )
        self.weight = weight
        self.decoder = FeatureDecoder(hidden_channels, self.features)

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        z = self.encode(index)
        return self.view_loss(z, *batch) + self.weight * self.reconstruction(z, batch[0], index)

    def reconstruction(self, z: Tensors, head_index: Tensor, index: Tensor | None) -> Tensor:
        r"""The reconstruction error of entities, given the embeddings of all, or of those of
        :obj:`index`, among which they have positions.
        """
        position, heads = distinct_ids(head_index, index)
        return self.decoder.loss(z["fused"][position], self.features, heads)

    @torch.no_grad()
    def impute(self, index: Tensor | None = None) -> Tensors:
        r"""Decodes the features :obj:`[*, D]` of all modalities of entities :obj:`index`, or all,
        also where they are missing.
        """
        with inference(self) as model:
            return model.decoder(model.encode(index)["fused"], model.features)
