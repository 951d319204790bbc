import copy
import inspect

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Module, ModuleDict
from torch.utils.checkpoint import checkpoint

from torch_imf.data.distributed import mean_row
from torch_imf.data.graph import check_features, is_mapped
from torch_imf.nn.fusion.base import Tensors
from torch_imf.registry import Recorded

#: How many entities are read from the disk at once.
CHUNK = 2**16


class StructuralEmbedding(Recorded, Module):
    r"""What the structural embeddings of a model start from.

    .. code-block:: python

        x = encoder.encode(data)  # Of a trained StructuralEncoder, as in IMF.
        model = IMF(..., struct=StructuralEmbedding(x, freeze=True))

    Learned embeddings of entities without a training fact are only ever pushed away from all
    queries. In evaluation, such an entity has the mean of the others instead, but for scorers by
    distance (:class:`~torch_imf.nn.TransE`, :class:`~torch_imf.nn.RotatE`).

    Args:
        init (torch.Tensor or torch.nn.Module, optional): Embeddings :obj:`[N, C]`, or a module that
            gives them when called without arguments and is trained jointly, or random ones.
            (default: :obj:`None`)
        rel_emb (torch.Tensor, optional): Relation embeddings :obj:`[2 R, C_r]` that all views, or
            else the structural one, start from. (default: :obj:`None`)
        freeze (bool, optional): Whether structural embeddings stay as given; a module is called
            once. (default: :obj:`False`)
        dropout (float, optional): The probability that an entity with other modalities is fused
            without its structural embedding, drawn for each batch in training, so that they learn
            to speak for it, as they then do in evaluation for entities without a training fact.
            The structural view of :class:`~torch_imf.nn.IMF` keeps it. (default: :obj:`0.`)
    """

    init: Tensor | None
    rel_emb: Tensor | None
    _kept: tuple[Tensor, tuple[int, ...], Tensor] | None = None

    def __init__(
        self,
        init: Tensor | Module | None = None,
        rel_emb: Tensor | None = None,
        freeze: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if freeze and init is None:
            raise ValueError("'freeze' needs the embeddings to freeze")
        if isinstance(init, Module):
            try:
                inspect.signature(init.forward).bind()
            except TypeError as error:
                kind = type(init).__name__
                raise ValueError(
                    f"A module for structural embeddings is called without arguments, which a "
                    f"'{kind}' does not take ({error})"
                ) from error
        if freeze and isinstance(init, Module):
            training = init.training  # A twin would not do for what only `init` itself refers to.
            with torch.no_grad():
                x = init.eval()()
            init.train(training)
            init = x
        self.freeze = freeze
        self.dropout = dropout
        self.module = None if isinstance(init, Tensor) else init
        #: Whether a table of the model holds the embeddings and learns them.
        self.uses_table = self.module is None and not freeze
        # Not persistent: a table holds them, which starts from them again if it is reset.
        for name, x in (("init", init), ("rel_emb", rel_emb)):
            if isinstance(x, Tensor) and not x.is_floating_point():
                raise ValueError(f"'{name}' need to be floats (got {x.dtype})")
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
                got = list(init.size())
                raise ValueError(f"'{name}' need to be finite, of shape {list(size)} (got {got})")
            table.weight.copy_(init)

    def forward(
        self, node_emb: Embedding, index: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        r"""Returns the embeddings of entities: of the module, or else of the model's table, given
        which entities :obj:`[N]` have a training fact, or all.
        """
        x = node_emb.weight if self.module is None else self._given(node_emb.weight.size())
        if not self.training and seen is not None and not bool(seen.all()):
            mean = self._mean(x, seen)
            if index is not None:
                return x[index].where(seen[index].unsqueeze(-1), mean)
            x = x.where(seen.unsqueeze(-1), mean)
        is_sparse = node_emb.sparse and self.training and x is node_emb.weight
        if index is None and is_sparse:  # Gradients are of one kind, whatever a batch touches.
            index = torch.arange(x.size(0), device=x.device)
        return x if index is None else F.embedding(index, x, sparse=is_sparse)

    def drop(self, mask_dict: Tensors, seen: Tensor | None = None) -> Tensors:
        r"""Adds to the masks :obj:`[*]` of other modalities which entities keep their structural
        embedding: in evaluation, those that have been :obj:`seen` in a training fact.
        """
        if self.dropout == 0 or not mask_dict or not (self.training or seen is not None):
            return mask_dict
        others = torch.stack(list(mask_dict.values())).any(dim=0)
        if self.training:
            hidden = torch.rand(others.size(), device=others.device) < self.dropout
        else:
            hidden = ~seen  # type: ignore[operator]
        return {**mask_dict, "struct": ~(hidden & others)}

    def extend(self, weight: Tensor) -> None:
        r"""Takes the embeddings that a model's table now holds in place of what gave them."""
        self.init = None if self.init is None else weight
        self.module = None
        self.uses_table = not self.freeze

    def _mean(self, x: Tensor, seen: Tensor) -> Tensor:
        # Kept as long as embeddings stay as they are, of which few may be asked for at a time.
        if torch.is_grad_enabled() or x.is_inference():
            return mean_row(x[seen])
        source, version, mean = (None, (), x) if self._kept is None else self._kept
        if source is not x or version != (x._version, seen._version):
            mean = mean_row(x[seen])
            self._kept = x, (x._version, seen._version), mean
        return mean

    def _given(self, size: torch.Size) -> Tensor:
        x = self.module()  # type: ignore[misc]
        if not isinstance(x, Tensor) or x.size() != size:
            got = list(x.size()) if isinstance(x, Tensor) else f"a '{type(x).__name__}'"
            raise ValueError(
                f"The module of 'struct' needs to give embeddings {list(size)} (got {got})"
            )
        return x

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(freeze={self.freeze}, dropout={self.dropout})"


class FrozenFeatures(Module):
    r"""Frozen features, of shape :obj:`[N, D]`, of the entities that have a modality, as a mask of
    shape :obj:`[N]` tells, projected to a common size, and one learned vector for those without.
    They are centred and scaled to rows of norm one on average, and no checkpoint carries them.
    Those on the disk (:meth:`~torch_imf.data.map_features`) stay there: rows are read, centred and
    scaled as they are asked for.
    """

    x: Tensor
    #: Which rows of features on the disk are those of entities that have the modality, or all.
    source: Tensor | None = None
    row: Tensor
    center: Tensor  # [D]
    scale: Tensor
    plan: Tensor | None
    _low: tuple[Tensor, int, Tensor] | None = None

    def __init__(self, x: Tensor, mask: Tensor, out_channels: int) -> None:
        super().__init__()
        row = mask.cumsum(0) - 1
        #: Whether :obj:`x` are features on the disk, as they are.
        self.is_mapped = is_mapped(x)
        if self.is_mapped:
            center, scale = _moments(x, mask)
            self.x = x.detach()  # No buffer, which would go to another device, or be copied.
            self.source = None if bool(mask.all()) else mask.nonzero().squeeze(1)
        else:
            x = x[mask].detach().float()
            center = x.mean(dim=0)
            x = x - center
            scale = x.norm(dim=-1).mean().clamp(min=1e-12)
            self.register_buffer("x", x / scale, persistent=False)
        self.register_buffer("row", row.where(mask, mask.sum()), persistent=False)
        self.register_buffer("center", center, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.full = bool(mask.all())
        #: How many rows came at a time. Each block is projected as it was when it was the last.
        self.blocks = [self.num_rows]
        self.lin = torch.nn.Linear(x.size(1), out_channels)
        #: What a model adds to the weight of the projection :obj:`[C, D]`, if anything.
        self.register_buffer("plan", None)
        self.missing = torch.nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.xavier_normal_(self.lin.weight)
        torch.nn.init.zeros_(self.lin.bias)
        torch.nn.init.normal_(self.missing, std=1 / self.missing.numel() ** 0.5)

    @property
    def num_rows(self) -> int:
        r"""How many entities have the modality."""
        return self.x.size(0) if self.source is None else self.source.numel()

    @property
    def mask(self) -> Tensor:
        r"""Which entities have the modality, of shape :obj:`[N]`."""
        return self.has()

    def has(self, index: Tensor | None = None) -> Tensor:
        r"""Which of the entities :obj:`index`, or all, have the modality."""
        return (self.row if index is None else self.row[index]) < self.num_rows

    def forward(self, index: Tensor | None = None) -> Tensor:
        r"""Represents the entities :obj:`index`, or all, as :obj:`[*, C]`."""
        if index is None:
            h = self.projected()
            missing = self.missing[None].to(h.dtype)
            return h if self.full else F.embedding(self.row, torch.cat([h, missing]))
        row = self.row[index]
        missing = row == self.num_rows
        h = self._project(self.read(row.masked_fill(missing, 0)))
        return h.where(~missing.unsqueeze(-1), self.missing.to(h.dtype))

    @property
    def in_channels(self) -> int:
        r"""The size of raw features."""
        return self.center.numel()

    def projected(self) -> Tensor:
        r"""Returns the projections of the entities that have the modality."""
        if self.is_mapped:  # The backward pass reads them again, rather than to store them.

            def project(row: Tensor) -> Tensor:
                return self._project(self.read(row))

            rows = torch.arange(self.num_rows).split(CHUNK)
            return torch.cat([checkpoint(project, row, use_reentrant=False) for row in rows])
        parts = self._cast().split(self.blocks)
        return torch.cat([*map(self._project, parts)]) if len(parts) > 1 else self._project(*parts)

    def projection(self) -> Tensors:
        r"""Returns what new features are projected by: :obj:`weight`, :obj:`bias`, and the
        :obj:`center` and :obj:`scale` of raw ones.
        """
        weight = self.lin.weight if self.plan is None else self.lin.weight + self.plan
        lin = {"weight": weight, "bias": self.lin.bias}
        return {**lin, "center": self.center, "scale": self.scale}

    def read(self, row: Tensor) -> Tensor:
        r"""Returns the features of entities that have the modality, by their places among these,
        centred and scaled.
        """
        if not self.is_mapped:
            return self.x[row]
        row = row.to(self.x.device)
        return self.standardized(self.x[row if self.source is None else self.source[row]])

    def standardized(self, x: Tensor) -> Tensor:
        r"""Centres and scales raw features of other entities as those of the known ones."""
        return (x.to(self.center) - self.center) / self.scale

    def extend(self, x: Tensor, mask: Tensor) -> None:
        r"""Adds the rows of new entities at the end: raw features :obj:`[K, D]`, and which of them
        there are.
        """
        self._append(self.standardized(x[mask]), mask)

    def select(self, index: Tensor) -> None:
        r"""Keeps the entities :obj:`index` alone. Features on the disk stay there."""
        mask = self.has(index)
        rows = self.row[index[mask]]
        if len(rows) == 0 < len(mask):  # One is looked up in place of what is missing.
            rows = rows.new_zeros(1)
        if self.is_mapped:
            rows = rows.to(self.x.device)
            self.source = rows if self.source is None else self.source[rows]
        else:
            self.x = self.x[rows]
        self.row = (mask.cumsum(0) - 1).where(mask, self.num_rows)
        self.full, self.blocks = bool(mask.all()), [self.num_rows]

    def _project(self, x: Tensor) -> Tensor:
        out = self.lin(x)
        return out if self.plan is None else out + F.linear(x, self.plan)

    def _append(self, x: Tensor, mask: Tensor) -> None:
        if self.is_mapped:  # What is added lies in memory, and so does the rest from now on.
            first = self.read(torch.arange(self.num_rows))
            del self.x  # Of which features in memory are a buffer, and go where the others go.
            self.register_buffer("x", first, persistent=False)
            self.source, self.is_mapped = None, False
        size, mask = self.x.size(0), mask.to(self.row.device)
        row = torch.cat([self.row, (size + mask.cumsum(0) - 1).where(mask, size)])
        is_missing = torch.cat([~self.mask, ~mask])
        self.x = torch.cat([self.x, x])
        self.row = row.masked_fill(is_missing, self.x.size(0))
        self.full = self.full and bool(mask.all())
        self.blocks = [*self.blocks, x.size(0)]

    def _cast(self) -> Tensor:
        # Features in the type that autocast asks for, kept from one step to the next.
        x, device = self.x, self.x.device.type
        if not torch.is_autocast_enabled(device):
            return x
        dtype = torch.get_autocast_dtype(device)
        source, version, low = (None, 0, x) if self._low is None else self._low
        if source is not x or version != x._version or low.dtype != dtype:
            with torch.inference_mode(False):  # It may be needed in training later.
                low = x.to(dtype)
            self._low = x, x._version, low
        return low

    def __deepcopy__(self, memo: dict) -> "FrozenFeatures":
        if self.is_mapped:
            memo[id(self.x)] = self.x
        out = self.__class__.__new__(self.__class__)
        out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __repr__(self) -> str:
        coverage = f"coverage={self.num_rows}/{self.row.numel()}"
        return f"FrozenFeatures({self.x.size(1)}, {self.lin.out_features}, {coverage})"


def _moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # The mean of some rows, and the mean of their distances to it.
    parts = list(zip(x.split(CHUNK), mask.split(CHUNK), strict=True))
    total = sum(part[has].double().sum(dim=0) for part, has in parts)
    center = (total / mask.sum()).float()
    norm = sum((part[has].float() - center).norm(dim=-1).double().sum() for part, has in parts)
    return center, (norm / mask.sum()).float().clamp(min=1e-12)


def project(x_dict: Tensors, mask_dict: Tensors, num_nodes: int, out_channels: int) -> ModuleDict:
    r"""Returns the :class:`FrozenFeatures` of each modality."""
    check_features(x_dict, mask_dict, num_nodes)
    out = ModuleDict()
    for name, x in x_dict.items():
        # Names of views that are there anyway, and those that a ModuleDict cannot hold:
        if name in ("struct", "fused") or "." in name or not name or hasattr(out, name):
            raise ValueError(f"A modality cannot be called '{name}'. Rename 'x_{name}'")
        mask = mask_dict.get(name, torch.ones(num_nodes, dtype=torch.bool))
        if not bool(mask.any()):
            raise ValueError(f"Modality '{name}' is missing for every entity. Leave it out")
        out[name] = FrozenFeatures(x, mask, out_channels)
    return out
