import copy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from torch_imf import evaluate, fit
from torch_imf.data import modalities
from torch_imf.nn import (
    IMF,
    KGE,
    AdaMF,
    Adversary,
    ContextualRelationalScorer,
    Sampled,
    StructuralEmbedding,
    StructuralEncoder,
)

SETTINGS = {"batch_size": 64, "lr": 0.01, "lr_decay": 0.9, "patience": None}


def files(folder):
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def build(data, channels=16):
    torch.manual_seed(1)
    scorer = ContextualRelationalScorer(channels, 4, dropout=0.1, batch_norm=True)
    return IMF(
        data.num_nodes,
        data.num_relations,
        channels,
        *modalities(data),
        rel_channels=4,
        scorer=scorer,
    )


def test_fit_selects_on_validation(fake):
    model = build(fake)
    seen = []
    history = fit(model, fake, epochs=6, callback=seen.append, **SETTINGS)
    assert history == seen and [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["loss"] < history[0]["loss"]
    best = max(history, key=lambda entry: entry["mrr"])
    assert evaluate(model, fake, "val")["mrr"] == pytest.approx(best["mrr"], abs=1e-9)


def test_fit_stops_early(fake):
    model = build(fake)
    history = fit(model, fake, epochs=50, batch_size=64, lr=1e-9, patience=2)
    assert len(history) < 50
    best = max(range(len(history)), key=lambda i: history[i]["mrr"])
    assert len(history) == best + 3
    history = fit(build(fake), fake, epochs=5, eval_every=3, **SETTINGS)
    assert [entry["epoch"] for entry in history] == [3, 5]


@pytest.mark.parametrize("optimizer", ["rmsprop", "SGD"])
def test_any_optimizer(fake, optimizer):
    history = fit(build(fake), fake, epochs=1, batch_size=64, lr=0.01, optimizer=optimizer)
    assert len(history) == 1
    with pytest.raises(ValueError, match="Could not resolve 'sgdd'"):
        fit(build(fake), fake, epochs=1, optimizer="sgdd")


def test_resume_with_a_structural_encoder(fake, tmp_path):
    def imf(seed, freeze=False):
        torch.manual_seed(seed)
        encoder = StructuralEncoder(fake.num_nodes, fake.num_relations, 16, dropout=0.1)
        struct = StructuralEmbedding(encoder.register_graph(fake), freeze=freeze)
        return IMF(fake.num_nodes, fake.num_relations, 16, struct=struct)

    path = tmp_path / "checkpoint.pt"
    history = fit(imf(1), fake, epochs=3, batch_size=64)
    fit(imf(1), fake, epochs=1, batch_size=64, checkpoint=path)
    assert fit(imf(1), fake, epochs=3, batch_size=64, checkpoint=path) == history
    with pytest.raises(ValueError, match="belongs to another model"):
        fit(imf(1, freeze=True), fake, epochs=3, batch_size=64, checkpoint=path)
    # Frozen, what it is like is part of what a run is:
    path = tmp_path / "frozen.pt"
    fit(imf(1, freeze=True), fake, epochs=1, batch_size=64, checkpoint=path)
    with pytest.raises(ValueError, match="struct.init"):
        fit(imf(2, freeze=True), fake, epochs=3, batch_size=64, checkpoint=path)


def test_learning_rate_of_embeddings_and_of_the_rest(fake):
    model = build(fake)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, fake, epochs=1, batch_size=64, lr=0.01, optimizer="adagrad", dense_lr=0.0)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == ("_emb" not in name), name


@pytest.mark.parametrize("eval_every, optimizer", [(1, "adamw"), (3, "adamw"), (1, "adagrad")])
def test_resume_is_bit_exact(fake, tmp_path, eval_every, optimizer):
    settings = {**SETTINGS, "eval_every": eval_every, "optimizer": optimizer}
    whole = build(fake)
    history = fit(whole, fake, epochs=8, **settings)

    path = tmp_path / "run" / "checkpoint.pt"
    fit(build(fake), fake, epochs=4, checkpoint=path, **settings)
    torch.manual_seed(999)  # A new process starts elsewhere, with other parameters.
    model = build(fake)
    model.reset_parameters()
    resumed = fit(model, fake, epochs=8, checkpoint=path, **settings)
    assert resumed == history
    for (name, x), y in zip(whole.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(x, y), name
    assert files(path.parent) == ["checkpoint.pt"]  # No temporaries.

    # A finished run goes on from its last checkpoint to the same end:
    model.reset_parameters()
    assert fit(model, fake, epochs=8, checkpoint=path, **settings) == history
    assert torch.equal(model.node_emb.weight, whole.node_emb.weight)


def test_resume_after_a_kill(fake, tmp_path):
    # Killed in the middle of the sixth epoch, between two checkpoints.
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_train import SETTINGS, build
from torch_imf import fit
from torch_imf.datasets import FakeMMKG
import torch
torch.set_num_threads(1)
data = FakeMMKG()[0]
model = build(data)
loss, steps = model.loss, []
def dying(*batch):
    steps.append(batch)
    if len(steps) == {5 * 12 + 3}:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(*batch)
model.loss = dying
fit(model, data, epochs=8, eval_every=2, checkpoint={str(tmp_path / "c.pt")!r}, **SETTINGS)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert files(tmp_path) == ["c.pt"]
    assert 0 < torch.load(tmp_path / "c.pt", weights_only=True)["epoch"] < 8
    settings = {**SETTINGS, "eval_every": 2}
    whole, model = build(fake), build(fake)
    history = fit(whole, fake, epochs=8, **settings)
    model = build(fake)
    assert fit(model, fake, epochs=8, checkpoint=tmp_path / "c.pt", **settings) == history
    for x, y in zip(whole.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(x, y)


def test_checkpoint_holds_the_best_and_the_last_epoch(fake, tmp_path):
    path = tmp_path / "checkpoint.pt"
    model = build(fake)
    values = iter([0.2, 0.9, 0.1])

    def worsen(entry):  # The second epoch is the best one.
        entry["mrr"] = next(values)

    fit(model, fake, epochs=3, checkpoint=path, callback=worsen, **SETTINGS)
    state = torch.load(path, weights_only=True)
    last = build(fake)
    last.load_state_dict(state["model"])
    assert not torch.equal(last.node_emb.weight, state["best"]["node_emb.weight"])


def test_checkpoint_of_another_run(fake, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(build(fake), fake, epochs=1, checkpoint=path, **SETTINGS)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="belongs to another model"):
        fit(build(fake, channels=8), fake, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match="belongs to another model"):
        fit(KGE(fake.num_nodes, fake.num_relations, 16), fake, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match=r"other settings \{'lr': 0.01\} \(got \{'lr': 0.5\}\)"):
        fit(build(fake), fake, checkpoint=path, **{**SETTINGS, "lr": 0.5})
    data = fake.clone()
    data.x_text = data.x_text.flip(1)
    with pytest.raises(ValueError, match="features.text.x"):
        fit(build(data), data, checkpoint=path, **SETTINGS)
    data = fake.clone()
    data.train_mask[0] = not data.train_mask[0]
    with pytest.raises(ValueError, match="other training facts"):
        fit(build(data), data, checkpoint=path, **SETTINGS)
    assert path.read_bytes() == content

    # Models that differ in nothing but what they compute:
    sizes = (fake.num_nodes, fake.num_relations, 16)
    path = tmp_path / "kge.pt"
    fit(KGE(*sizes, scorer="distmult"), fake, epochs=1, checkpoint=path, **SETTINGS)
    for other in (KGE(*sizes, scorer="complex"), KGE(*sizes, scorer="distmult", loss="ce")):
        with pytest.raises(ValueError, match="belongs to another model"):
            fit(other, fake, checkpoint=path, **SETTINGS)


def test_checkpoint_errors(fake, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(build(fake), fake, epochs=1, checkpoint=path, **SETTINGS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RuntimeError, match="cannot be read .* Delete it to start anew"):
        fit(build(fake), fake, checkpoint=path, **SETTINGS)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="is no checkpoint of 'fit'"):
        fit(build(fake), fake, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match="cannot be written"):
        fit(build(fake), fake, checkpoint=tmp_path, **SETTINGS)


def test_a_failed_save_keeps_the_last_checkpoint(fake, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    fit(build(fake), fake, epochs=1, checkpoint=path, **SETTINGS)
    content = path.read_bytes()

    def full(state, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        fit(build(fake), fake, epochs=2, checkpoint=path, **SETTINGS)
    assert path.read_bytes() == content
    assert files(tmp_path) == ["checkpoint.pt"]


def test_validation_and_test_facts_change_no_training_batch(fake):
    # Every held-out fact is replaced by another: not one training batch differs.
    other = copy.copy(fake)
    held_out = ~fake.train_mask
    other.edge_index = fake.edge_index.clone()
    other.edge_index[:, held_out] = torch.randint(fake.num_nodes, (2, int(held_out.sum())))
    batches = []

    class Spy(KGE):
        def loss(self, *batch):
            batches[-1].append(batch)
            return super().loss(*batch)

    for data in (fake, other):
        batches.append([])
        torch.manual_seed(3)
        fit(Spy(data.num_nodes, data.num_relations, 8), data, epochs=1, **SETTINGS)
    assert len(batches[0]) > 5
    for first, second in zip(*batches, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_train_in_bf16(fake):
    torch.manual_seed(1)
    model = build(fake)
    history = fit(model, fake, epochs=4, precision="bf16", **SETTINGS)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(p.dtype == torch.float for p in model.parameters())


def test_errors(fake):
    model = build(fake)
    for name in ("epochs", "batch_size", "eval_every", "patience"):
        with pytest.raises(ValueError, match=f"'{name}' needs to be positive"):
            fit(model, fake, **{name: 0})
    with pytest.raises(ValueError, match="Invalid 'precision' argument"):
        fit(model, fake, precision="fp8")
    with pytest.raises(ValueError, match="Invalid 'metric' argument .*'mrr'"):
        fit(model, fake, metric="auc")
    data = fake.clone()
    data.val_mask = torch.zeros_like(data.val_mask)
    with pytest.raises(ValueError, match="The 'val' split holds no facts"):
        fit(model, data)
    data = fake.clone()
    data.train_mask = torch.zeros_like(data.train_mask)
    with pytest.raises(ValueError, match="The 'train' split holds no facts"):
        fit(model, data)
    with torch.no_grad():
        model.node_emb.weight.fill_(float("inf"))
    with pytest.raises(RuntimeError, match="training has diverged"):
        fit(model, fake)


def test_divergence_keeps_the_best_parameters(fake):
    model = build(fake)
    good = {}

    def poison(entry):
        if entry["epoch"] == 2:
            good.update({key: x.clone() for key, x in model.state_dict().items()})
            with torch.no_grad():
                model.scorers["text"].weight.fill_(float("nan"))

    with pytest.raises(RuntimeError, match="training has diverged"):
        fit(model, fake, epochs=5, callback=poison, **SETTINGS)
    assert all(x.isfinite().all() for x in model.state_dict().values())


def with_adversary(data):
    torch.manual_seed(1)
    args = data.num_nodes, data.num_relations, 8, *modalities(data)
    return AdaMF(*args, loss=Sampled(4), adversary=Adversary())


def equal(state, other):
    return all(torch.equal(x, y) for x, y in zip(state.values(), other.values(), strict=True))


@pytest.mark.parametrize(
    "lr, batch_size, message",
    [
        # The generator loss grows first, as fakes are too far away to be taken for facts:
        (1e10, 64, r"The generator loss is inf from batch \d+ on: "),
        # Fakes are NaN, and both losses at once:
        (1e20, 64, "The loss is nan from batch 2 on, the generator loss is nan from batch 2 on: "),
        # There is no other batch to tell:
        (1e45, 9999, "The generator loss has left parameters NaN or infinite: "),
    ],
)
def test_generator_explodes_in_the_first_epoch(fake, tmp_path, lr, batch_size, message):
    model, path = with_adversary(fake), tmp_path / "checkpoint.pt"
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match=f"^{message}training has diverged in epoch 1. Lower"):
        fit(model, fake, batch_size=batch_size, lr=[0.01, lr], checkpoint=path, progress=False)
    assert equal(model.state_dict(), before)
    assert files(tmp_path) == []


def test_generator_explodes_later(fake, tmp_path):
    # With its learning rate: 0.1, 1e4, and 1e9 in the third epoch. That of the model is fine.
    settings = {"batch_size": 64, "lr": [1e-12, 0.1], "lr_decay": 1e5, "progress": False}
    model, path, seen = with_adversary(fake), tmp_path / "checkpoint.pt", []

    def keep(entry):
        seen.append((entry["mrr"], copy.deepcopy(model.state_dict())))

    for _ in range(2):  # What goes on from the checkpoint ends the same way.
        with pytest.raises(
            RuntimeError, match="[Tt]he generator loss is .* has diverged in epoch 3. "
        ):
            fit(model, fake, 9, checkpoint=path, callback=keep, **settings)
        assert len(seen) == 2 and not equal(seen[0][1], seen[1][1])
        best = max(seen, key=lambda entry: entry[0])[1]
        assert equal(model.state_dict(), best)
        state = torch.load(path, weights_only=True)
        assert state["epoch"] == 2
        assert equal(state["model"], seen[-1][1]) and equal(state["best"], best)
        assert files(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize(
    "lr, error, message",
    [
        (1e30, RuntimeError, "The loss is nan from batch 2 on: training has diverged in epoch 1"),
        # Found by validation: parameters are finite, scores are not.
        (1e15, ValueError, "NaN or infinite scores"),
    ],
)
def test_model_explodes_in_the_first_epoch(fake, lr, error, message):
    torch.manual_seed(1)
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        fit(model, fake, batch_size=9999 if lr < 1e20 else 64, lr=lr, progress=False)
    assert equal(model.state_dict(), before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, torch.OutOfMemoryError, RuntimeError])
def test_interrupted_before_the_first_validation(fake, error):
    # Nobody knows whether what has been learned is better, but it is all there is.
    model = with_adversary(fake)
    before, loss = copy.deepcopy(model.state_dict()), model.loss
    steps = iter(range(5))

    def interrupted(*batch):
        if next(steps, None) is None:
            raise error
        return loss(*batch)

    model.loss = interrupted
    with pytest.raises(error):
        fit(model, fake, batch_size=64, lr=0.01, progress=False)
    state = model.state_dict()
    assert not equal(state, before) and all(x.isfinite().all() for x in state.values())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_after_a_validation(fake, error):
    model, seen = build(fake), []

    def stop(entry):
        seen.append((entry["mrr"], copy.deepcopy(model.state_dict())))
        if len(seen) == 3:
            raise error

    with pytest.raises(error):
        fit(model, fake, 9, callback=stop, progress=False, **SETTINGS)
    assert equal(model.state_dict(), max(seen, key=lambda entry: entry[0])[1])


def test_nothing_to_train(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8).requires_grad_(False)
    with pytest.raises(ValueError, match="without parameters to train"):
        fit(model, fake, 1, progress=False)
