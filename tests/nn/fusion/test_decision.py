import math

import torch

from torch_imf.nn import DecisionFusion


def test_decision_fusion_with_fixed_weights():
    decision = DecisionFusion(["s", "t"], weight={"s": 1.0, "t": 3.0})
    assert str(decision) == "DecisionFusion(['s', 't'], learned=False)"
    score = {"s": torch.randn(2, 5), "t": torch.randn(2, 5)}
    expected = (score["s"].sigmoid() + 3 * score["t"].sigmoid()) / 4  # Eq. 11
    assert torch.allclose(decision(score), expected)
    loss = {"s": torch.tensor(2.0), "t": torch.tensor(0.5)}
    assert torch.allclose(decision.loss(loss), torch.tensor(3.5))  # Eq. 10
    assert not decision.log_var.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        loss = {"s": torch.tensor(7.301), "t": torch.tensor(0.5)}
        assert torch.allclose(decision.loss(loss), torch.tensor(8.801), atol=1e-5)

    decision = DecisionFusion(["s", "t"], weight={"s": 1.0, "t": 3.0}, sigmoid=False)
    assert torch.allclose(decision(score), (score["s"] + 3 * score["t"]) / 4)


def test_learned_weights_reach_a_finite_optimum():
    decision = DecisionFusion(["s", "t"])
    assert torch.allclose(decision.weight(), torch.tensor([0.5, 0.5]))
    loss = {"s": torch.tensor(0.2), "t": torch.tensor(0.8)}
    optimizer = torch.optim.Adam(decision.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        decision.loss(loss).backward()
        optimizer.step()
    gamma = decision.log_var.neg().exp()
    assert torch.allclose(gamma, 1 / (1 + torch.tensor([0.2, 0.8])), rtol=1e-2)
    assert torch.allclose(decision.weight(), torch.tensor([0.6, 0.4]), atol=1e-2)
    decision.reset_parameters()
    assert decision.log_var.abs().max() == 0


def test_errors(refuses):
    for weight in ({"s": 1.0}, {"s": 1.0, "t": 0.0}, {"s": 1.0, "t": math.nan}):
        refuses(("positive number for each of", lambda x=weight: DecisionFusion(["s", "t"], x)))
