import pytest
import torch

from torch_imf.nn.functional import grouped_mm
from torch_imf.nn.functional.grouped_mm import group_by_size


@pytest.mark.parametrize("sizes", [[1], [3, 0, 1], [1, 1, 2, 9, 40], [40, 1, 9, 1, 2], [0, 0]])
def test_grouped_mm_equals_naive(same, sizes):
    group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    group = group[torch.randperm(group.numel())]
    x = torch.randn(group.numel(), 3, dtype=torch.double, requires_grad=True)
    matrix = torch.randn(len(sizes), 3, 5, dtype=torch.double, requires_grad=True)
    expected = (x.unsqueeze(1) @ matrix[group]).squeeze(1)
    same(grouped_mm(x, matrix, group), expected, [x, matrix])


def test_group_by_size():
    index = torch.tensor([7, 2, 2, 9, 2, 9])
    value, group = group_by_size(index)
    assert value.tolist() == [7, 9, 2]
    assert torch.equal(value[group], index)
