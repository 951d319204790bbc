from collections.abc import Sequence

import torch
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.sampler.uniform import UniformSampler


class MANSSampler(UniformSampler):
    r"""Corrupts an entity as a whole, or one of its modalities only, to align modalities with
    structure, after the `"Modality-Aware Negative Sampling for Multi-modal Knowledge Graph
    Embedding" <https://arxiv.org/abs/2304.11618>`_ paper (MANS).

    It draws the negatives :math:`t^{\prime}` of a :class:`UniformSampler`. Given these, or those of
    any other sampler, :meth:`mix` tells which entity each view of a negative is taken from. With
    :math:`t = (t_s, t_v)` of structure and, *e.g.*, an image, it is

    :math:`(t_s, t^{\prime}_v)` with probability :math:`\beta` (a modality negative), and
    :math:`(t^{\prime}_s, t^{\prime}_v)` otherwise (an ordinary one). Of several modalities, one
    drawn with equal probability is replaced. The schedule of :math:`\beta` gives the variants of
    the paper:

    - *visual* (MANS-V): :obj:`share=1`.
    - *two-stage* (MANS-T): :obj:`share=0, warmup=M`: modality negatives in the first :math:`M`
      steps, ordinary ones ever after.
    - *hybrid* (MANS-H): :obj:`share=beta`.
    - *adaptive* (MANS-A): :obj:`adaptive=True`, :meth:`adapt` in each step.

    A step is a call of :meth:`mix` in training mode. Models of joint embeddings, such as
    :class:`~torch_imf.nn.AdaMF`, mix in their loss; to others, this is the :class:`UniformSampler`.
    Modalities that are not to be replaced stay with the structure. The rule of :meth:`adapt` is
    ours, as are independent draws rather than a fixed number per batch.

    .. code-block:: python

        sampler = MANSSampler(num_nodes, index, 16, list(x_dict), mask_dict, adaptive=True)
        model = AdaMF(..., loss=Sampled(sampler=sampler))

    Args:
        num_nodes, index, num_negatives: See :class:`Sampler`.
        modalities (list[str], optional): The modalities to replace. (default: :obj:`("visual",)`)
        mask_dict (dict[str, torch.Tensor], optional): Which entities :obj:`[N]` have a modality.
            Where the tail or its replacement lacks it, a negative is ordinary. (default:
            :obj:`None`)
        share (float, optional): The probability :math:`\beta`. (default: :obj:`0.5`)
        warmup (int, optional): The first steps, with modality negatives only. (default: :obj:`0`)
        adaptive (bool, optional): Whether a model adapts :math:`\beta` in each step. (default:
            :obj:`False`)
    """

    mask: Tensor
    share: Tensor
    num_steps: Tensor

    def __init__(
        self,
        num_nodes: int,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        modalities: Sequence[str] = ("visual",),
        mask_dict: dict[str, Tensor] | None = None,
        share: float = 0.5,
        warmup: int = 0,
        adaptive: bool = False,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        mask_dict = {} if mask_dict is None else mask_dict
        if len(modalities) == 0 or "struct" in modalities:
            raise ValueError(f"'modalities' need to be others than 'struct' (got {modalities})")
        if not 0 <= share <= 1 or warmup < 0:
            got = share, warmup
            raise ValueError(f"'share' needs to be in [0, 1] and 'warmup' at least 0 (got {got})")
        sizes = {name: list(mask.size()) for name, mask in mask_dict.items()}
        if not set(sizes) <= set(modalities) or any(x != [num_nodes] for x in sizes.values()):
            expected = f"of shape {[num_nodes]} of {list(modalities)}"
            raise ValueError(f"Expected masks {expected} (got {sizes})")
        self.modalities = list(modalities)
        self.warmup = warmup
        self.adaptive = adaptive
        ones = torch.ones(num_nodes, dtype=torch.bool)
        mask = torch.stack([mask_dict[m].cpu() if m in mask_dict else ones for m in modalities])
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("share", torch.tensor(float(share)))
        self.register_buffer("num_steps", torch.tensor(0))

    def mix(self, tail_index: Tensor, neg_index: Tensor) -> dict[str, Tensor]:
        r"""Tells which entity :obj:`"struct"` and each modality of a negative are taken from, of
        shape :obj:`[B, K]` each, given the tails :obj:`[B]` and their negatives :obj:`[B, K]`, of
        which :obj:`-1` stays. A modality negative is one whose :obj:`"struct"` is the tail.
        """
        share = self.share.masked_fill(self.num_steps < self.warmup, 1.0)
        self.num_steps += int(self.training)
        tail = tail_index.unsqueeze(1).expand_as(neg_index)
        choice = torch.randint(len(self.modalities), neg_index.size(), device=tail.device)
        is_mixed = torch.rand(neg_index.size(), device=tail.device) < share
        is_mixed &= (neg_index >= 0) & self.mask[choice, tail] & self.mask[choice, neg_index]
        views = {
            name: neg_index.where(~is_mixed | (choice == i), tail)
            for i, name in enumerate(self.modalities)
        }
        return {"struct": neg_index.where(~is_mixed, tail), **views}

    @torch.no_grad()
    def adapt(self, score: Tensor, neg_score: Tensor, mask: Tensor) -> None:
        r"""Sets :math:`\beta` to the share of modality negatives that are not yet told from their
        facts, so that there are many of them until modalities are aligned, and few from then on:

        .. math::
            \beta = (1 + |\{(i, k) \in \mathcal{M}: \psi_{ik} \geq \psi_i\}|) / (2 + |\mathcal{M}|)

        with scores of facts :obj:`[B]` and of their negatives :obj:`[B, K]`, and a mask of the
        modality negatives :math:`\mathcal{M}`.
        """
        wrong = mask & (neg_score >= score.unsqueeze(1))
        self.share.copy_((1 + wrong.sum()) / (2 + mask.sum()))

    def extra_repr(self) -> str:
        out = f"{super().extra_repr()}, modalities={self.modalities}, warmup={self.warmup}"
        return f"{out}, adaptive=True" if self.adaptive else out
