import copy

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.nn.kge import DistMult

from torch_imf import Calibration, calibrate, calibration_error, fit, fit_view_weights
from torch_imf.answers.calibration import as_logit
from torch_imf.data import TripletIndex
from torch_imf.data.index import both_sides
from torch_imf.nn import KGE

VIEWS = {"views": ["struct", "text", "fused"], "scorer": "distmult", "channels": 16}


@pytest.fixture
def trained(fake, build):
    def trained(loss, epochs):
        model = build(fake, loss=loss, **VIEWS)
        fit(model, fake, epochs=epochs, batch_size=64, lr=0.02, eval_every=epochs)
        return model

    return trained


def candidates(model, data, split, known):
    # Scores of all candidates of the queries of a split, which are true, which are not known.
    (head, tail), rel = data.edge_index[:, split], data.edge_type[split]
    head, rel, _ = both_sides(head, rel, tail, data.num_relations)
    head, rel = torch.stack([head, rel]).unique(dim=1)
    score = model.eval().predict(head, rel)
    target, new = torch.zeros_like(score), torch.ones_like(score, dtype=torch.bool)
    new[tuple(TripletIndex.from_data(data, known)(head, rel))] = False
    target[tuple(TripletIndex.from_data(data, split)(head, rel))] = 1
    return score, target, new


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_calibrate_calibrates(fake, trained, loss):
    model = trained(loss, 12)
    state = copy.deepcopy(model.state_dict())
    calibration = calibrate(model, fake)
    assert model.training and calibration.scale > 0
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    score, target, new = candidates(model, fake, fake.test_mask, ~fake.test_mask)
    probability = calibration(score)
    before = score if loss == "bce" else score.softmax(dim=-1)
    assert bool((probability.gather(1, score.argsort()).diff() >= 0).all())  # The same order.
    # The new answers that would be shown, and all of them:
    best = score.masked_fill(~new, -torch.inf).topk(10).indices
    for part, bound in ((lambda x: x.gather(1, best), 0.9), (lambda x: x[new], 0.6)):
        error = calibration_error(part(probability), part(target))
        assert error < bound * calibration_error(part(before), part(target))


def test_calibrate_is_the_optimum(fake, trained, monkeypatch):
    monkeypatch.setattr("torch_imf.answers.calibration.PRIOR", 1e-9)
    # Independently: no other parameters give validation facts a higher likelihood.
    model = trained("bce", 4)
    best = calibrate(model, fake)
    score, target, new = candidates(model, fake, fake.val_mask, fake.train_mask)

    def loss(*args):
        logit = Calibration(*args, is_prob=True).logit(score)[new].double()
        return float(binary_cross_entropy_with_logits(logit, target[new].double()))

    args = [best.scale, best.norm, best.bias]
    for i in range(3):
        for step in (-0.02, 0.02):
            other = list(args)
            other[i] += step
            if other[1] >= 0:  # A share of the softmax is not negative.
                assert loss(*args) < loss(*other)


def test_calibrate_thins_out(fake, trained, monkeypatch):
    model = trained("ce", 6)
    exact = calibrate(model, fake)
    monkeypatch.setattr("torch_imf.answers.calibration.BATCH_SIZE", 7)
    assert calibrate(model, fake).bias == pytest.approx(exact.bias, 1e-3)
    monkeypatch.setattr("torch_imf.answers.calibration.NUM_BEST", 20)
    thin = calibrate(model, fake)
    assert thin != exact
    for name in ("scale", "norm", "bias"):
        assert getattr(thin, name) == pytest.approx(getattr(exact, name), abs=0.05)


def test_sees_no_test_fact(fake, build):
    torch.manual_seed(1)
    model, other = build(fake, loss="ce", **VIEWS), fake.clone()
    other.edge_index = other.edge_index.clone()
    other.edge_index[1, other.test_mask] = 0
    assert calibrate(model, other) == calibrate(model, fake) != calibrate(model, fake, 5)


def test_calibration(fake):
    score = torch.tensor([[1.0, 2.0, 4.0]])
    assert torch.allclose(Calibration(2.0, 0.0, -1.0)(score), (2 * score - 1).sigmoid())
    softmax = Calibration(1.0, 1.0, 0.0).logit(score)
    assert torch.allclose(softmax, score.log_softmax(dim=-1))
    prob = torch.tensor([[0.0, 0.25, 1.0]])
    logit = as_logit(prob, True)
    assert bool(logit.isfinite().all()) and float(logit[0, 1]) == pytest.approx(-1.0986, abs=1e-4)
    assert not calibrate(KGE(fake.num_nodes, fake.num_relations, 8), fake, 20).is_prob
    # Three bins hold one, one and two: |0.05| + |0.15 - 1| + |1.95 - 1| over four.
    probability, target = torch.tensor([[0.05, 0.15, 0.95, 1.0], [0.0, 1.0, 1.0, 0.0]])
    assert calibration_error(probability, target) == pytest.approx((0.05 + 0.85 + 0.95) / 4)


def test_errors(fake, build):
    model, data = build(fake), fake.clone()
    data.val_mask = torch.zeros_like(data.val_mask)
    for function in (calibrate, fit_view_weights):
        with pytest.raises(ValueError, match="needs to be positive"):
            function(model, fake, num_facts=0)
        with pytest.raises(ValueError, match="'val' split holds no facts"):
            function(model, data)
        with pytest.raises(ValueError, match="needs to be one of this package .got a 'DistMult'"):
            function(DistMult(fake.num_nodes, fake.num_relations, 8), fake)
        with pytest.raises(ValueError, match="'seed' needs to be finite and below"):
            function(model, fake, seed=2**70)
    with pytest.raises(ValueError, match="Expected some"):
        calibration_error(torch.ones(0), torch.ones(0))
    for probability in (torch.rand(3), torch.tensor([torch.nan])):
        with pytest.raises(ValueError, match=r"in \[0, 1\] and as many targets"):
            calibration_error(probability, torch.ones(1))
