from functools import reduce
from operator import add

import torch
from torch import Tensor

from torch_imf.nn.fusion.base import Tensors
from torch_imf.registry import Recorded


class DecisionFusion(Recorded, torch.nn.Module):
    r"""The decision fusion of :class:`~torch_imf.nn.IMF`, which weighs the losses (Eq. 10) and the
    predictions (Eq. 11) of all views:

    .. math::
        \mathcal{L} = \sum_k \gamma_k (1 + \mathcal{L}_k) + s_k, \qquad
        y = \frac{\sum_k \gamma_k y_k}{\sum_k \gamma_k}, \qquad
        \gamma_k = e^{-s_k}

    The paper learns :math:`\gamma_k` from :math:`\sum_k \gamma_k \mathcal{L}_k` alone, which is
    linear in :math:`\gamma_k` and has no minimum. The term :math:`s_k` is that of `"Multi-Task
    Learning Using Uncertainty to Weigh Losses" <https://arxiv.org/abs/1705.07115>`_; with the one,
    the optimum :math:`\gamma_k = 1 / (1 + \mathcal{L}_k)` stays in :math:`(0, 1]`.

    Args:
        views (list[str]): The names of the views.
        weight (dict[str, float] or float, optional): Fixed weights :math:`\gamma_k`, positive, or
            one for all. If :obj:`None`, they are learned. (default: :obj:`None`)
        sigmoid (bool, optional): If set to :obj:`False`, :math:`y_k` is the score itself rather
            than its sigmoid: a product of experts. Sigmoids of scores above 17 tie in
            :obj:`float32`. (default: :obj:`True`)
    """

    init: Tensor

    def __init__(
        self, views: list[str], weight: dict[str, float] | float | None = None, sigmoid: bool = True
    ) -> None:
        super().__init__()
        each = 1.0 if weight is None else weight
        given = each if isinstance(each, dict) else dict.fromkeys(views, each)
        if set(given) != set(views) or any(not w > 0 for w in given.values()):
            raise ValueError(f"'weight' needs a positive number for each of {views} (got {weight})")
        self.views = list(views)
        self.learned = weight is None
        self.sigmoid = sigmoid
        init = torch.tensor([float(given[view]) for view in views])
        self.register_buffer("init", init, persistent=False)
        self.log_var = torch.nn.Parameter(torch.empty(len(views)), requires_grad=self.learned)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.log_var.data.copy_(-self.init.log())

    def forward(self, score_dict: Tensors) -> Tensor:
        r"""Averages the predictions of all views, of one shape each (Eq. 11). The result is in
        :obj:`[0, 1]` if :obj:`sigmoid` is set.
        """
        scores = (score_dict[view] for view in self.views)
        parts = (x.sigmoid() if self.sigmoid else x for x in scores)
        return reduce(add, map(torch.mul, self.weight(), parts))

    def loss(self, loss_dict: Tensors) -> Tensor:
        r"""Joins the losses of all views, scalars, into one (Eq. 10)."""
        loss = torch.stack([loss_dict[view] for view in self.views])
        gamma = self.log_var.neg().exp()  # Products by hand, as autocast would round a matmul.
        if self.learned:
            return (gamma * (loss + 1)).sum() + self.log_var.sum()
        return (gamma * loss).sum()

    def weight(self) -> Tensor:
        r"""The weights :math:`\gamma_k / \sum_j \gamma_j` of the views :obj:`[V]`."""
        return self.log_var.neg().softmax(dim=0)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.views}, learned={self.learned})"
