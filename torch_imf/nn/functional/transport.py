import math

import torch
from torch import Tensor


@torch.no_grad()
def transport_plan(x: Tensor, y: Tensor, epsilon: float = 0.1, num_iters: int = 50) -> Tensor:
    r"""The optimal transport, by the `"Sinkhorn Distances: Lightspeed Computation of Optimal
    Transport" <https://arxiv.org/abs/1306.0895>`_ paper, between the :math:`D` dimensions of some
    vectors and the :math:`C` dimensions of others, each of equal mass:

    .. math::
        \mathbf{P} = \frac{1}{K} \sum_{k} \mathrm{argmin}_{\mathbf{P}} \sum_{d, c} P_{d c} \,
        (\hat{x}_{k d} - \hat{y}_{k c})^2 + \epsilon \, P_{d c} \log P_{d c}, \qquad
        \mathbf{P} \mathbf{1} = \tfrac{1}{D} \mathbf{1}, \quad
        \mathbf{P}^{\top} \mathbf{1} = \tfrac{1}{C} \mathbf{1}

    where :math:`\hat{\mathbf{x}}` and :math:`\hat{\mathbf{y}}` are the vectors with mean zero and
    standard deviation one. There is no gradient.

    Args:
        x (torch.Tensor): The vectors to move, of shape :obj:`[K, D]`.
        y (torch.Tensor): Where to, of shape :obj:`[K, C]`.
        epsilon (float, optional): The strength :math:`\epsilon` of the entropy, positive. (default:
            :obj:`0.1`)
        num_iters (int, optional): The number of iterations. (default: :obj:`50`)

    Returns:
        The plan, of shape :obj:`[D, C]`.
    """
    x, y = (_standardized(x.double()), _standardized(y.double()))
    kernel = (x.unsqueeze(2) - y.unsqueeze(1)).square() / -epsilon  # [K, D, C]
    log_a, log_b = -math.log(x.size(1)), -math.log(y.size(1))
    v = torch.zeros_like(y)
    for _ in range(num_iters):  # In logarithms, as the kernel underflows.
        u = log_a - (kernel + v.unsqueeze(1)).logsumexp(dim=2)
        v = log_b - (kernel + u.unsqueeze(2)).logsumexp(dim=1)
    return (kernel + u.unsqueeze(2) + v.unsqueeze(1)).exp().mean(dim=0)


def _standardized(x: Tensor) -> Tensor:
    x = x - x.mean(dim=-1, keepdim=True)
    return x / x.square().mean(dim=-1, keepdim=True).sqrt().clamp(min=1e-12)
