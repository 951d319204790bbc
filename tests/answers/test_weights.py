import pytest
import torch

from torch_imf import evaluate, fit, fit_view_weights
from torch_imf.nn import KGE

VIEWS = {"views": ["struct", "text", "fused"], "scorer": "distmult"}


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_silences_a_useless_view(fake, build, loss):
    model = build(fake, channels=16, loss=loss, **VIEWS)
    fit(model, fake, epochs=15, batch_size=64, lr=0.02, eval_every=5)
    with torch.no_grad():  # Confident, and wrong.
        model.scorers["text"].query = lambda head, rel: 5 * torch.randn_like(head)
    before = evaluate(model, fake)["mrr"]
    state = {k: v.clone() for k, v in model.state_dict().items() if "log_var" not in k}
    weights = fit_view_weights(model, fake)
    assert weights == model.view_weights() and sum(weights.values()) == pytest.approx(1.0)
    assert weights["text"] < 0.1 < max(weights.values())
    assert evaluate(model, fake)["mrr"] > before
    assert all(torch.equal(model.state_dict()[k], v) for k, v in state.items())
    assert model.training


def test_sees_no_test_fact(fake, build):
    torch.manual_seed(1)
    model = build(fake, loss="ce", **VIEWS)
    other = fake.clone()
    other.edge_index = other.edge_index.clone()
    other.edge_index[1, other.test_mask] = 0
    state = {k: v.clone() for k, v in model.state_dict().items()}
    weights = fit_view_weights(model, fake)
    model.load_state_dict(state)
    assert fit_view_weights(model, other) == weights
    model.load_state_dict(state)
    assert fit_view_weights(model, fake, num_facts=5) != weights


def test_keeps_weights_without_evidence(fake, build):
    # Nothing tells views apart that score everything the same:
    model = build(fake, loss="ce", **VIEWS, decision={"struct": 1.0, "text": 2.0, "fused": 1.0})
    with torch.no_grad():
        model.rel_emb.weight.zero_()
    weights = fit_view_weights(model, fake)
    assert weights == pytest.approx({"struct": 0.25, "text": 0.5, "fused": 0.25})
    assert fit_view_weights(KGE(fake.num_nodes, fake.num_relations, 8), fake) == {"struct": 1.0}
