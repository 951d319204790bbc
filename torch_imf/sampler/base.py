from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from torch_imf.data import TripletIndex
from torch_imf.registry import Recorded

#: Called on :obj:`head_index`, :obj:`rel_type` and :obj:`key_index`, gives :obj:`[B, K]`.
Score = Callable[[Tensor, Tensor, Tensor], Tensor]


class Objective(NamedTuple):
    r"""What is trained, by a name of its own, and its loss."""

    name: str
    parameters: list[Parameter]
    loss: Callable[..., Tensor]


class Sampler(Recorded, torch.nn.Module):
    r"""An abstract base class of samplers: they corrupt the tail of each fact of a batch into
    :math:`K` negatives. The head of a fact is corrupted as the tail of its inverse triple.

    A negative is neither the tail nor a known answer of its query, whatever :math:`K` is. Samplers
    that draw with replacement may repeat one. An entry of :obj:`-1` is *no negative*, as where
    every other entity is a known answer; whoever scores negatives leaves such entries out:

    .. code-block:: python

        neg_index = sampler(head_index, rel_type, tail_index)
        score = model.score(head_index, rel_type, neg_index.clamp(min=0))
        loss = F.softplus(score)[neg_index >= 0].mean()

    All inputs are of shape :obj:`[B]` and on the device of the index (which :obj:`to` does not
    move). Everything is drawn from PyTorch's global random state of that device. A sub-class
    implements :meth:`forward`, and :meth:`objective` if it learns.

    Args:
        num_nodes (int): The number of entities.
        index (TripletIndex, optional): The known facts, *i.e.*, the training facts in both
            directions, none of which is returned as a negative. If :obj:`None`, only the tail
            itself is ruled out (*unfiltered*). (default: :obj:`None`)
        num_negatives (int, optional): The negatives :math:`K` per fact. (default: :obj:`1`)
    """

    def __init__(
        self, num_nodes: int, index: TripletIndex | None = None, num_negatives: int = 1
    ) -> None:
        super().__init__()
        if num_nodes < 2:
            raise ValueError(f"'num_nodes' needs to be at least 2 (got {num_nodes})")
        if index is not None and index.num_nodes > num_nodes:
            got = index.num_nodes
            raise ValueError(f"The index holds ids of {got} entities (expected {num_nodes})")
        self.num_nodes = num_nodes
        self.index = index
        self.num_negatives = num_negatives

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Draws negatives, of shape :obj:`[B, K]`."""
        raise NotImplementedError

    def part(self, part: slice, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Draws for a whole batch, and returns the negatives of a part of it, as processes do that
        share batches.
        """
        return self(head_index, rel_type, tail_index)[part]

    def objective(self, score: Score) -> Objective | None:
        r"""What the sampler learns, if anything, called :obj:`"sampler"`, beside a model of which
        the :obj:`score` of heads, relations :obj:`[B]` and candidates :obj:`[B, K]` is given. Its
        loss takes a batch of facts, and leaves the parameters of the model alone.
        """
        return None

    def extra_repr(self) -> str:
        return f"{self.num_nodes}, num_negatives={self.num_negatives}, index={self.index}"

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.extra_repr()})"


def check_batch(head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> None:
    r"""Raises a :class:`ValueError` if facts are not of one shape :obj:`[B]`."""
    size = head_index.size()
    if len(size) != 1 or rel_type.size() != size or tail_index.size() != size:
        sizes = [list(x.size()) for x in (head_index, rel_type, tail_index)]
        raise ValueError(f"'head_index', 'rel_type', 'tail_index' need one shape [B] (got {sizes})")
