import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Module

from torch_imf.evaluation.ranking import inference
from torch_imf.registry import Recorded


class StructuralEmbedding(Recorded, Module):
    r"""What the structural embeddings of a model start from.

    .. code-block:: python

        x = encoder.encode(data)  # Of a trained StructuralEncoder, as in IMF.
        model = IMF(..., struct=StructuralEmbedding(x, freeze=True))

    Args:
        init (torch.Tensor or torch.nn.Module, optional): Embeddings :obj:`[N, C]`, or a module that
            gives them when called without arguments and is trained jointly. If :obj:`None`, random
            ones. (default: :obj:`None`)
        rel_emb (torch.Tensor, optional): Relation embeddings :obj:`[2 R, C_r]` that all views, or
            else the structural one, start from. (default: :obj:`None`)
        freeze (bool, optional): Whether structural embeddings stay as given; a module is called
            once. (default: :obj:`False`)
    """

    init: Tensor | None
    rel_emb: Tensor | None

    def __init__(
        self,
        init: Tensor | Module | None = None,
        rel_emb: Tensor | None = None,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        if init is not None and not isinstance(init, Tensor | Module):
            raise ValueError(f"'struct' needs to be a tensor or a module (got {type(init)})")
        if freeze and init is None:
            raise ValueError("'freeze' needs the embeddings to freeze")
        if freeze and isinstance(init, Module):
            with inference(init):
                init = init()
        self.freeze = freeze
        self.module = init if isinstance(init, Module) else None
        #: Whether a table of the model holds the embeddings and learns them.
        self.uses_table = self.module is None and not freeze
        # Not persistent: a table holds them, which starts from them again if it is reset.
        for name, x in (("init", init), ("rel_emb", rel_emb)):
            x = x.detach().float() if isinstance(x, Tensor) else None
            self.register_buffer(name, x, persistent=False)

    @classmethod
    def of(cls, struct: "bool | Tensor | Module") -> "StructuralEmbedding | None":
        r"""Returns what the argument :obj:`struct` of a model stands for."""
        if isinstance(struct, bool):
            return cls() if struct else None
        return struct if isinstance(struct, cls) else cls(struct)

    @torch.no_grad()
    def reset_tables(self, node_emb: Embedding, rel_emb: Embedding) -> None:
        r"""Lets embeddings of entities and relations start from those given."""
        for name, table in (("init", node_emb), ("rel_emb", rel_emb)):
            init: Tensor | None = getattr(self, name)
            if init is None:
                continue
            size = table.weight.size()
            if init.size() != size or not bool(init.isfinite().all()):
                raise ValueError(
                    f"The structural embeddings '{name}' need to be finite and of shape "
                    f"{list(size)} (got shape {list(init.size())})"
                )
            table.weight.copy_(init)

    def forward(self, node_emb: Embedding, index: Tensor | None = None) -> Tensor:
        r"""Returns the embeddings of entities: of the module, or else of the model's table."""
        if self.module is None:
            return node_emb.weight if index is None else node_emb(index)
        x = self.module()
        return x if index is None else F.embedding(index, x)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(freeze={self.freeze})"
