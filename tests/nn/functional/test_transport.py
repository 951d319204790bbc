import torch

from torch_imf.nn.functional import transport_plan


def test_plan_equals_plain_iterations():
    x, y = torch.randn(2, 5, dtype=torch.double), torch.randn(2, 3, dtype=torch.double)
    expected = torch.zeros(5, 3, dtype=torch.double)
    for a, b in zip(x, y, strict=True):
        a, b = ((z - z.mean()) / z.std(correction=0) for z in (a, b))
        kernel = (-(a[:, None] - b).square() / 0.5).exp()
        v = torch.ones(3, dtype=torch.double)
        for _ in range(50):
            u = 1 / 5 / (kernel @ v)
            v = 1 / 3 / (kernel.t() @ u)
        expected += u[:, None] * kernel * v / 2
    plan = transport_plan(x, y, epsilon=0.5)
    assert torch.allclose(plan, expected)
    assert torch.allclose(plan.sum(dim=0), torch.tensor(1 / 3).double())
    assert torch.allclose(plan.sum(dim=1), torch.tensor(1 / 5).double(), atol=1e-4)


def test_without_entropy_the_order_is_kept():
    x, y = (torch.randperm(6).float().unsqueeze(0) for _ in range(2))
    plan = transport_plan(x, y, epsilon=0.02)
    expected = torch.zeros(6, 6)
    expected[x[0].argsort(), y[0].argsort()] = 1 / 6
    assert torch.allclose(plan.float(), expected, atol=1e-3)
    assert transport_plan(torch.ones(1, 4), torch.ones(1, 2)).isfinite().all()
