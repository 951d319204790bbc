import torch
from torch import Tensor
from torch.nn import Module

from torch_imf.nn.functional import transport_plan
from torch_imf.nn.fusion import WeightedFusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import modality_names
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import Scorer


class OTKGE(JointKGE):
    r"""The OTKGE model from the `"OTKGE: Multi-modal Knowledge Graph Embeddings via Optimal
    Transport" <https://proceedings.neurips.cc/paper_files/paper/2022/hash/
    ffdb280e7c7b4c4af30e04daf5a84b98-Abstract-Conference.html>`_ paper: ComplEx on a weighted sum
    (:class:`~torch_imf.nn.WeightedFusion`) of structural embeddings and features, which a transport
    plan moves to the space of the structural ones:

    .. math::
        \mathbf{e} = w_s \, \mathbf{e}_s + \sum_{m} w_m (\mathbf{W}_m + C \, \mathbf{P}_m)
        \, \mathbf{x}_m

    The plan :math:`\mathbf{P}_m` (:meth:`~torch_imf.nn.transport_plan`) is between the dimensions
    of features and of structural embeddings, and :math:`\mathbf{W}_m` is learned. With the factor
    :math:`C`, the number of channels, each channel gets an average of features.

    As in the released code, plans are those of a few entities (the first ones with a training fact
    that have the modality), without gradient, and weights are fixed. Its plans are computed at
    every step (:obj:`every=1`), of values that are not standardised; the weights of structure,
    image and text are 0.2, 0.1 and 0.7 on FB15K, and 0.1, 0.1 and 0.8 on WN9. All other arguments
    are those of :class:`JointKGE`, with even :obj:`hidden_channels` for ComplEx.

    Args:
        scorer (str or Scorer, optional): The scorer. (default: :obj:`"complex"`)
        weight (dict[str, float], optional): The weights :math:`w`, see
            :class:`~torch_imf.nn.WeightedFusion`. (default: :obj:`None`)
        num_entities (int, optional): The number of entities of a plan. (default: :obj:`10`)
        every (int, optional): Training steps per plan. (default: :obj:`100`)
        loss (str or Loss, optional): The loss. (default: :obj:`"ce"`)
    """

    num_steps: Tensor

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "complex",
        weight: dict[str, float] | None = None,
        num_entities: int = 10,
        every: int = 100,
        loss: str | type[Loss] | Loss = "ce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
    ) -> None:
        in_channels = dict.fromkeys(modality_names(struct, x_dict), hidden_channels)
        if "struct" not in in_channels:
            raise ValueError("OTKGE moves features to structural embeddings ('struct' is False)")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=scorer,
            fusion=WeightedFusion(in_channels, hidden_channels, weight),
            loss=loss,
            struct=struct,
        )
        self.num_entities = num_entities
        self.every = every
        self.register_buffer("num_steps", torch.tensor(0))
        for module in self.features.values():
            module.plan = torch.zeros_like(module.lin.weight)

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        if self.training:
            if self.num_steps % self.every == 0:
                self.transport()
            self.num_steps += 1
        return super().loss(head_index, rel_type, *target)

    @torch.no_grad()
    def transport(self) -> None:
        r"""Computes the plans anew, from structural embeddings as they are now."""
        assert self.struct is not None
        for module in self.features.values():
            known = module.mask if self.seen is None else module.mask & self.seen
            known = known if bool(known.any()) else module.mask
            index = known.nonzero().squeeze(1)[: self.num_entities]
            struct = self.struct(self.node_emb, index)
            plan = transport_plan(module.read(module.row[index]), struct)
            module.plan = (self.hidden_channels * plan.t()).to(module.lin.weight).contiguous()
