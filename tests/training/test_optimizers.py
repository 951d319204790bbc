import copy

import pytest
import torch

from torch_imf import IMF, KGE, AdaMF, fit
from torch_imf.data import modalities
from torch_imf.nn import OneToN, Sampled
from torch_imf.training import make_loader, make_optimizers, optimizers, train

SETTINGS = {"scorer": "distmult", "loss": Sampled(3, sampler="shared")}
MODELS = [
    (KGE, SETTINGS),
    (KGE, {"scorer": "distmult", "loss": OneToN("ce", num_candidates=5)}),
    (AdaMF, {**SETTINGS, "adversary": True}),
    (IMF, {**SETTINGS, "contrastive": True}),
]


def build(fake, cls, **settings):
    torch.manual_seed(0)
    settings = copy.deepcopy(settings)
    return cls(fake.num_nodes, fake.num_relations, 8, *modalities(fake), **settings)


def trained(fake, model, optimizer, batches, lr=0.1):
    (*_,) = found = make_optimizers(model, lr, optimizer=optimizer)
    torch.manual_seed(0)
    train(model, batches, found)
    return model


@pytest.mark.parametrize("cls, settings", MODELS)
@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
def test_rows_that_no_batch_touches(fake, monkeypatch, cls, settings, optimizer):
    dense, lazy = (build(fake, cls, **settings) for _ in range(2))
    before = dense.node_emb.weight.detach().clone()
    batches = [batch for _, batch in zip(range(3), make_loader(dense, fake, 4), strict=False)]
    trained(fake, dense, optimizer, batches)
    monkeypatch.setattr(optimizers, "LARGE", 1)
    trained(fake, lazy, optimizer, batches)
    assert lazy.node_emb.sparse and not dense.node_emb.sparse
    moved = (lazy.node_emb.weight != before).any(dim=-1)
    assert 4 < moved.sum() < fake.num_nodes
    same = [
        torch.allclose(*x, atol=1e-5)
        for x in zip(dense.parameters(), lazy.parameters(), strict=True)
    ]
    # Adagrad leaves rows without a gradient alone as it is, and the decay of AdamW does not:
    assert all(same) or optimizer == "adamw"


def test_a_lazy_run_goes_on(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(optimizers, "LARGE", 1)
    rest = {"batch_size": 64, "lr": 0.01, "progress": False}
    whole, part = (build(fake, AdaMF, **SETTINGS) for _ in range(2))
    torch.manual_seed(1)
    history = fit(whole, fake, 4, **rest, checkpoint=str(tmp_path / "a"))
    torch.manual_seed(1)
    fit(part, fake, 2, **rest, checkpoint=str(tmp_path / "b"))
    part = build(fake, AdaMF, **SETTINGS)
    assert fit(part, fake, 4, **rest, checkpoint=str(tmp_path / "b")) == history
    for x, y in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(x, y)


def test_large_batches_touch_all(fake, monkeypatch):
    monkeypatch.setattr(optimizers, "LARGE", 1)
    model = build(fake, KGE, **SETTINGS)
    fit(model, fake, 1, 1024, progress=False)  # Gradients of all rows, which Adam takes as well.
    assert model.node_emb.sparse
