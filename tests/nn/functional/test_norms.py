import pytest
import torch

from torch_imf.nn.functional import l2_loss, n3_loss


def powers(x, power, num_parts):
    return x.unflatten(-1, (num_parts, -1)).norm(dim=-2).pow(power).sum(dim=-1)


def random_input(dtype=torch.double):
    entity, rel = (torch.randn(n, 8, dtype=dtype, requires_grad=True) for n in (9, 5))
    facts = torch.randint(9, (20,)), torch.randint(5, (20,)), torch.randint(9, (20,))
    return entity, rel, facts


@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_equal_naive(same, num_parts):
    entity, rel, (head_index, rel_type, tail_index) = random_input()
    cases = [(n3_loss, 3, (num_parts,)), (l2_loss, 2, ())]
    for loss, power, args in cases:
        parts = entity[head_index], rel[rel_type], entity[tail_index]
        expected = sum(powers(x, power, num_parts) for x in parts).mean()
        same(loss(entity, rel, head_index, rel_type, tail_index, *args), expected, [entity, rel])


def test_at_zero_and_without_facts():
    entity, rel, facts = random_input()
    loss = n3_loss(0 * entity, rel, *facts, 2)
    assert torch.autograd.grad(loss, entity)[0].abs().max() == 0  # No NaN.
    assert n3_loss(entity, rel, *(x[:0] for x in facts)) == 0


def test_low_precision():
    entity, rel, facts = random_input(torch.float)
    with torch.autocast("cpu", torch.bfloat16):
        out = n3_loss(entity.bfloat16(), rel, *facts, 2)
    assert out.dtype == torch.float
    assert torch.allclose(out, n3_loss(entity, rel, *facts, 2), rtol=1e-2)
