from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.registry import Recorded


class Scorer(Recorded, torch.nn.Module):
    r"""An abstract base class of scoring functions: everything known about :math:`(h, r)` is a
    *query*, everything about :math:`t` is a *key*, and the score :math:`\psi(h, r, t)` is their
    similarity (higher is more likely).

    Triple-wise, 1-N and 1-K scores all come from the same three methods. A sub-class implements
    :meth:`query` or :meth:`grouped_query`, and, where they differ from the defaults, :meth:`key`,
    :meth:`similarity` and :meth:`invert`.

    Args:
        channels (int): Size of entity embeddings.
        rel_channels (int, optional): Size of relation embeddings, or :obj:`channels`. (default:
            :obj:`None`)
    """

    #: Whether :meth:`similarity` is the plain product of query and key (plus :obj:`logit_bias`),
    #: which the 1-N losses of :obj:`torch_imf.nn.functional` compute without storing the scores.
    dot_product: bool = True
    #: Whether the backward pass of :meth:`similarity`, where it is no plain product, keeps more of
    #: a pair than its score.
    stores_pairs: bool = True
    #: Whether relation embeddings need to be of the size of entity embeddings.
    same_channels: ClassVar[bool] = False
    #: How many numbers of an embedding make one modulus, for regularisers. They are two if its
    #: first half holds real parts, and its second half the imaginary ones.
    num_parts: ClassVar[int] = 1
    #: What a model trains well with that has this scorer and is given nothing else, as settings of
    #: :meth:`torch_imf.recipe`. If there are none, it is the model's own defaults.
    settings: ClassVar[Mapping[str, Any]] = {}
    #: A scalar added to every score, or :obj:`None`.
    logit_bias: Tensor | None

    def __init__(self, channels: int, rel_channels: int | None = None) -> None:
        super().__init__()
        self.register_parameter("logit_bias", None)
        self.channels = channels
        self.rel_channels = channels if rel_channels is None else rel_channels
        if self.same_channels and self.rel_channels != channels:
            name = self.__class__.__name__
            raise ValueError(f"{name} needs 'rel_channels' to be {channels} (got {rel_channels})")

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""

    def reset_relations(self, weight: Tensor) -> None:
        r"""Initialises relation embeddings, of shape :obj:`[R, rel_channels]`, in place."""
        torch.nn.init.xavier_normal_(weight)

    def forward(self, head: Tensor, rel: Tensor, tail: Tensor) -> Tensor:
        r"""Scores triples: :obj:`[B, C], [B, C_r], [B, C] -> [B]`."""
        sizes = [x.size(-1) for x in (head, rel, tail)]
        if sizes != [self.channels, self.rel_channels, self.channels]:
            expected = self.channels, self.rel_channels
            raise ValueError(
                f"{self.__class__.__name__} scores entities and relations of {expected} channels "
                f"(got heads, relations and tails of {sizes})"
            )
        return self.similarity(self.query(head, rel), self.key(tail).unsqueeze(1)).squeeze(1)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        r"""Encodes :math:`(h, r)`: :obj:`[B, C], [B, C_r] -> [B, Q]`."""
        if type(self).grouped_query is Scorer.grouped_query:
            raise NotImplementedError
        return self.grouped_query(head, rel, torch.arange(rel.size(0), device=rel.device))

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        r"""Encodes queries that share relations: :obj:`rel` holds the distinct ones, of shape
        :obj:`[G, C_r]`, and :obj:`group` says which one each query has, of shape :obj:`[B]`. It is
        :obj:`query(head, rel[group])`.
        """
        return self.query(head, F.embedding(group, rel))

    def key(self, tail: Tensor) -> Tensor:
        r"""Encodes :math:`t`: :obj:`[*, C] -> [*, Q]`."""
        return tail

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        r"""Scores queries :obj:`[B, Q]` against shared keys :obj:`[N, Q]`, giving :obj:`[B, N]`, or
        each against its own keys :obj:`[B, K, Q]`, giving :obj:`[B, K]`.
        """
        score = query @ key.t() if key.dim() == 2 else (query.unsqueeze(1) @ key.mT).squeeze(1)
        return score if self.logit_bias is None else score + self.logit_bias

    def invert(self, rel: Tensor) -> Tensor:
        r"""Returns the embedding of the inverse relation, with :math:`\psi(h, r, t) = \psi(t,
        r^{-1}, h)`. Raises a :class:`NotImplementedError` if a scorer has none.
        """
        raise NotImplementedError(f"'{self.__class__.__name__}' does not tie inverse relations")

    def relation_query(self, head: Tensor, tail: Tensor) -> Tensor:
        r"""Encodes :math:`(h, t)`, so that the score is the plain product with the embedding of the
        relation: :obj:`[B, C], [B, C] -> [B, C_r]`. Raises a :class:`NotImplementedError` if a
        scorer is none.
        """
        raise NotImplementedError(f"'{self.__class__.__name__}' does not predict relations")

    def factors(
        self, entity: Tensor, rel: Tensor, facts: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        r"""Returns what regularisers compute norms of: embeddings :obj:`[N, C]` and :obj:`[R, C_r]`
        of entities and relations, and which of them are head, relation and tail of each fact, given
        all embeddings and facts.
        """
        return entity, rel, *facts

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels})"


class Parallel(Scorer):
    r"""Sums the scores of several embeddings of an entity side by side, by one scorer and one
    relation embedding:

    .. math::
        \Psi(h, r, t) = \sum_{k=1}^{K} \psi(\mathbf{h}_k, \mathbf{r}, \mathbf{t}_k)

    This is the score of MMKRL with :class:`~torch_imf.nn.TransE`.

    Args:
        scorer (Scorer): The scorer :math:`\psi` of embeddings of size :math:`C`. Those of entities
            are of size :math:`K C`, as :class:`~torch_imf.nn.SideBySide` returns them.
        num_parts (int): Their number :math:`K`.
    """

    aliases: ClassVar[dict] = {}
    dot_product = False

    def __init__(self, scorer: Scorer, num_parts: int) -> None:
        super().__init__(num_parts * scorer.channels, scorer.rel_channels)
        self.scorer = scorer
        self.size = num_parts

    def reset_parameters(self) -> None:
        self.scorer.reset_parameters()

    def reset_relations(self, weight: Tensor) -> None:
        self.scorer.reset_relations(weight)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return torch.cat([self.scorer.query(x, rel) for x in self._parts(head)], dim=-1)

    def key(self, tail: Tensor) -> Tensor:
        return torch.cat([self.scorer.key(x) for x in self._parts(tail)], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        pairs = zip(self._parts(query), self._parts(key), strict=True)
        return torch.stack([self.scorer.similarity(*pair) for pair in pairs]).sum(dim=0)

    def invert(self, rel: Tensor) -> Tensor:
        return self.scorer.invert(rel)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.chunk(self.size, dim=-1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scorer}, num_parts={self.size})"


class CrossModal(Parallel):
    r"""Scores entities within and across two embeddings each, a structural one and one of their
    modalities, by one scorer and one relation embedding:

    .. math::
        \Psi(h, r, t) = \sum_{a, b \in \{s, m\}} \psi(\mathbf{h}_a, \mathbf{r}, \mathbf{t}_b) \;
        \big[ + \, \psi(\mathbf{h}_s + \mathbf{h}_m, \mathbf{r}, \mathbf{t}_s + \mathbf{t}_m) \big]

    This is the score of IKRL with :class:`~torch_imf.nn.TransE`, and that of TBKGC with the term in
    brackets.

    Args:
        scorer (Scorer): The scorer :math:`\psi` of embeddings of size :math:`C`. Those of entities
            are both side by side, of size :math:`2 C`, as :class:`~torch_imf.nn.StackFusion`
            returns them.
        total (bool, optional): Whether to score the sums of both, too. (default: :obj:`False`)
    """

    aliases: ClassVar[dict] = {}

    def __init__(self, scorer: Scorer, total: bool = False) -> None:
        super().__init__(scorer, 2)
        self.total = total

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        queries, keys = (x.chunk(3 if self.total else 2, dim=-1) for x in (query, key))
        pairs = [*product(queries[:2], keys[:2]), *zip(queries[2:], keys[2:], strict=True)]
        return torch.stack([self.scorer.similarity(*pair) for pair in pairs]).sum(dim=0)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        struct, modal = super()._parts(x)
        return (struct, modal, struct + modal) if self.total else (struct, modal)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scorer}, total={self.total})"
