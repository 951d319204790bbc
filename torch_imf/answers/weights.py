from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.answers.probability import PRIOR, prepare_fit, score_batches
from torch_imf.data import TripletIndex
from torch_imf.evaluation.ranking import check_finite


def fit_view_weights(
    model: torch.nn.Module, data: Data, num_facts: int = 1024, seed: int = 0
) -> dict[str, float]:
    r"""Fits the weights :math:`\gamma_k` of decision fusion (Eq. 11 of IMF) to validation facts,
    and leaves all other parameters of a trained model as they are.

    Weights that are learned along with the views do not tell a view that generalises from one that
    has memorised. With the views fixed, they minimise

    .. math::
        - \frac{1}{|\mathcal{V}|} \sum_{(h, r, t) \in \mathcal{V}} \log
        \mathrm{softmax}_t (\tau \, y(h, r, \cdot)) + \lambda \, {\| \log
        \gamma - \log \gamma^0 \|}^2

    over both sides of the validation facts :math:`\mathcal{V}`, with a temperature :math:`\tau`
    that is not kept and :math:`\lambda = 10^{-3}`. Other answers that are training or validation
    facts do not compete. In place of an average of probabilities, its logit is taken. All scores
    are kept: :math:`8 F K N` bytes for :math:`F` facts, :math:`K` views and :math:`N` entities.

    Arguments and errors are those of :meth:`calibrate`. Returns the weight of each view; they sum
    to one.
    """
    data, (head, rel, tail) = prepare_fit(model, data, num_facts, seed)
    decision: Any = model.decision
    if decision is None:
        return model.view_weights()  # type: ignore[operator]

    batches = score_batches(model, head, rel)
    parts = [torch.stack([part[view] for view in decision.views]) for _, _, part in batches]
    score = check_finite(torch.cat(parts, dim=1))  # [V, M, N]
    score = score.sigmoid() if decision.sigmoid else score
    row, col = TripletIndex.from_data(data, data.train_mask | data.val_mask)(head, rel)
    other = col != tail[row]
    row, col = row[other], col[other]

    init = -decision.log_var.detach()
    log_weight = init.clone().requires_grad_()
    log_scale = torch.zeros((), device=init.device, requires_grad=True)
    params = [log_weight, log_scale]
    optimizer = torch.optim.LBFGS(params, max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        y = torch.tensordot(log_weight.softmax(dim=0), score, dims=1)  # [M, N]
        y = torch.logit(y, eps=1e-6) if decision.sigmoid else y
        y = (log_scale.exp() * y).index_put((row, col), y.new_tensor(-torch.inf))
        loss = F.cross_entropy(y, tail) + PRIOR * (log_weight - init).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    with torch.no_grad():
        decision.log_var.copy_(-log_weight)
    return model.view_weights()  # type: ignore[operator]
