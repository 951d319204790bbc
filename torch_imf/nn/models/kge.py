from torch import Tensor

from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve


class KGE(MultimodalKGE):
    r"""A structure-only model: a scorer on plain embeddings.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of entity embeddings.
        scorer (str or Scorer, optional): The scorer, by name or as a module.
            (default: :obj:`"distmult"`)
        loss (str or SampledLoss, optional): The 1-N loss, :obj:`"bce"` or
            :obj:`"ce"`, or a loss against sampled negatives.
            (default: :obj:`"bce"`)
        label_smoothing (float, optional): Label smoothing of the
            :obj:`"bce"` loss. (default: :obj:`0.`)
        rel_channels (int, optional): Size of relation embeddings. If
            :obj:`None`, the scorer decides. (default: :obj:`None`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys (:meth:`~torch_imf.nn.dura_loss`).
            (default: :obj:`0.`)
        tie_inverses (bool, optional): If set to :obj:`True`, inverse relations
            are those of the scorer, without embeddings of their own.
            (default: :obj:`False`)
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        scorer: str | Scorer = "distmult",
        loss: str | SampledLoss = "bce",
        label_smoothing: float = 0.0,
        rel_channels: int | None = None,
        regularization: float = 0.0,
        tie_inverses: bool = False,
    ) -> None:
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            scorers={"struct": resolve("scorer", scorer, hidden_channels, rel_channels)},
            loss=loss,
            label_smoothing=label_smoothing,
            regularization=regularization,
            tie_inverses=tie_inverses,
        )
        self.reset_parameters()

    def encode(self, index: Tensor | None = None) -> dict[str, Tensor]:
        return {"struct": self.node_emb.weight if index is None else self.node_emb(index)}
