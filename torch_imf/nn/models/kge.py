from collections.abc import Mapping
from typing import Any, ClassVar

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


class KBAT(KGE):
    r"""The decoder of the KBAT model from the `"Learning Attention-based Embeddings for Relation
    Prediction in Knowledge Graphs" <https://arxiv.org/abs/1906.01195>`_ paper: ConvKB on the
    vectors of a :class:`~torch_imf.nn.TripleEncoder`, which is trained first and stays as it is.
    Its relations start from those of the encoder. A recipe trains both:

    .. code-block:: python

        settings = recipe("kbat", data)
        model = settings.build(data)  # Trains the encoder.
        fit(model, data, **settings.fit)

    The loss is the soft margin of facts and negatives (:class:`~torch_imf.nn.Sampled` with a
    temperature of zero). The released code trains the vectors of entities further:
    :obj:`StructuralEmbedding(x, rel_emb)` without :obj:`freeze`. Its published figures are of
    negatives that were filtered by test facts, and of ranks in which ties count as right. All other
    arguments are those of :class:`KGE`.

    Args:
        scorer (str or Scorer, optional): The decoder. (default: :obj:`"convkb"`)
        loss (str or Loss, optional): The loss. (default: :obj:`"soft_margin"`)
    """

    settings: ClassVar[Mapping[str, Any]] = {
        "hidden_channels": 64,
        "structure": {
            "encoder": "TripleEncoder",
            "use": "frozen",
            "fit": {"lr": 0.01, "batch_size": 512, "epochs": 60, "eval_every": 3, "patience": 4},
        },
        **{"scorer": "convkb", "loss": "soft_margin", "loss.num_negatives": 8},
        **{"batch_size": 128, "lr": 5e-3},
    }

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "convkb",
        loss: str | type[Loss] | Loss = "soft_margin",
        struct: bool | Tensor | Module = True,
        rel_channels: int | None = None,
        tie_inverses: bool = False,
    ) -> None:
        super().__init__(
            *(num_nodes, num_relations, hidden_channels),
            scorer=scorer,
            loss=loss,
            struct=struct,
            rel_channels=rel_channels,
            tie_inverses=tie_inverses,
        )
