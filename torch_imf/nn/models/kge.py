from torch import Tensor
from torch.nn import Module

from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import MultimodalKGE, make_scorer
from torch_imf.nn.scorer import Scorer


class KGE(MultimodalKGE):
    r"""A structure-only model: a scorer on plain embeddings. All other arguments are those of
    :class:`MultimodalKGE`; features are not used, but every model is called alike.

    Args:
        scorer (str or Scorer, optional): The scorer. (default: :obj:`"distmult"`)
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
        scorer: str | type[Scorer] | Scorer = "distmult",
        loss: str | type[Loss] | Loss = "bce",
        struct: bool | Tensor | Module = True,
        rel_channels: int | None = None,
        tie_inverses: bool = False,
    ) -> None:
        if struct is False:
            raise ValueError("KGE knows of nothing but structure ('struct' cannot be False)")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels),
            scorers={"struct": make_scorer(scorer, hidden_channels, rel_channels)},
            loss=loss,
            struct=struct,
            tie_inverses=tie_inverses,
        )
        self.reset_parameters()

    def encode(self, index: Tensor | None = None) -> Tensors:
        return self.embed(index)
