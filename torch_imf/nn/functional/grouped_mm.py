import torch
from torch import Tensor


def grouped_mm(x: Tensor, matrix: Tensor, group: Tensor) -> Tensor:
    r"""Multiplies each row with the matrix of its group, giving :obj:`[B, D]`. It is :obj:`(x[:,
    None] @ matrix[group])[:, 0]`, without a matrix for each row: the rows of a group are multiplied
    at once, and groups of about the same size together. It is fastest if groups are in the order of
    their sizes (:meth:`group_by_size`).

    Args:
        x (torch.Tensor): The rows, of shape :obj:`[B, C]`.
        matrix (torch.Tensor): The matrices, of shape :obj:`[G, C, D]`.
        group (torch.Tensor): The group of each row, of shape :obj:`[B]`.
    """
    if group.numel() == 0:
        return (x.unsqueeze(1) @ matrix[group]).squeeze(1)
    # Rows by group, each group padded to the largest of those that are multiplied together:
    count = torch.bincount(group, minlength=matrix.size(0))
    start, sizes = count.cumsum(0) - count, count.tolist()
    perm = group.argsort(stable=True)
    x, group = x[perm], group[perm]
    position = torch.arange(group.numel(), device=group.device) - start[group]

    out, row, first = [], 0, 0
    for part in matrix.split(_runs(sizes)):
        last = first + part.size(0)
        width, num_rows = max(sizes[first:last]), sum(sizes[first:last])
        here = slice(row, row + num_rows)
        slot = (group[here] - first) * width + position[here]
        padded = x.new_zeros(part.size(0) * width, x.size(1)).index_copy(0, slot, x[here])
        product = padded.view(part.size(0), width, x.size(1)) @ part  # [G', W, D]
        out.append(product.flatten(0, 1).index_select(0, slot))
        row, first = row + num_rows, last
    return torch.cat(out).index_select(0, perm.argsort())


def group_by_size(index: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the distinct values of a vector, rarest first, and which of them each element is."""
    value, group, count = index.unique(return_inverse=True, return_counts=True)
    order = count.argsort(stable=True)
    return value[order], order.argsort()[group]


def _runs(sizes: list[int], factor: int = 4) -> list[int]:
    # The lengths of runs of groups whose sizes are within a factor.
    runs, low, high = [0], sizes[0], sizes[0]
    for size in sizes:
        low, high = min(low, size), max(high, size)
        if high > factor * low:
            runs, low, high = [*runs, 0], size, size
        runs[-1] += 1
    return runs
