import torch
from torch import Tensor

#: The logit of what is not to be drawn: finite, so that gradients are.
LOW = -1e9


def gumbel_top_k(
    logits: Tensor, k: int, temperature: float = 1.0, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Draws :math:`K` of :math:`N` candidates without replacement, with
    probabilities :math:`\mathrm{softmax}(\ell)` renormalised after each draw,
    as those of largest perturbed logits :math:`\alpha_c = \ell_c + g_c` with
    :math:`g_c \sim \mathrm{Gumbel}(0, 1)`, from the `"Stochastic Beams and
    Where to Find Them" <https://arxiv.org/abs/1903.06059>`_ paper.

    Each drawn candidate has a weight of one, whose gradient is that of a
    relaxed draw (*straight-through*), the sum of the Gumbel-softmaxes of the
    single draws, each without the candidates drawn before it:

    .. math::
        z_c = \sum_{i=1}^{\min(K, \mathrm{rank}(c))} \frac{\exp(\alpha_c /
        \tau)}{\sum_{j : \mathrm{rank}(j) \geq i} \exp(\alpha_j / \tau)}

    The draws are sorted by :math:`\alpha`, so that all sums are cumulative ones.

    Args:
        logits (torch.Tensor): The logits, of shape :obj:`[*, N]`.
        k (int): The number :math:`K \leq N` of draws.
        temperature (float, optional): The temperature :math:`\tau` of the
            relaxed draw. (default: :obj:`1.`)
        mask (torch.Tensor, optional): Candidates to draw only after all
            others, of the shape of :obj:`logits`. (default: :obj:`None`)

    Returns:
        The positions of the draws in their order, and their weights, of shape
        :obj:`[*, K]` each. Weights of masked candidates have no meaning.
    """
    noise = -torch.empty_like(logits).exponential_().log()
    value = (logits + noise) / temperature
    if mask is not None:
        value = value.masked_fill(mask, LOW)
    top, index = value.topk(k, dim=-1)
    other = value.scatter(-1, index, LOW).logsumexp(dim=-1, keepdim=True)
    # Of all that are not drawn before:
    log_rest = torch.cat([other, top.flip(-1)], dim=-1).logcumsumexp(dim=-1)[..., 1:].flip(-1)
    soft = (top + (-log_rest).logcumsumexp(dim=-1)).exp()
    return index, soft - soft.detach() + 1
