import copy
import multiprocessing
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from torch_imf import (
    TensorBoard,
    calibrate,
    complete,
    evaluate,
    explain,
    fit,
    fit_view_weights,
    from_pretrained,
    predict,
    save_pretrained,
)
from torch_imf.data import modalities
from torch_imf.data.graph import without_test
from torch_imf.io.sealed import seal, unseal
from torch_imf.nn import (
    IMF,
    KGE,
    N3,
    AdaMF,
    Adversary,
    ContextualRelationalScorer,
    OneToN,
    RelationPrediction,
    Sampled,
    StructuralEmbedding,
)
from torch_imf.training import CheckpointError, make_loader, make_optimizers, train, validate
from torch_imf.training.fit import Diverged

SETTINGS = {"batch_size": 64, "lr": 0.01, "lr_decay": 0.9, "patience": None}
RATES = {"model": 0.01, "generator": 0.001}


def files(folder):
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def equal(state, other):
    return all(torch.equal(x, y) for x, y in zip(state.values(), other.values(), strict=True))


def build(data, channels=8):
    torch.manual_seed(1)
    scorer = ContextualRelationalScorer(channels, 4, dropout=0.1, batch_norm=True)
    sizes = (data.num_nodes, data.num_relations, channels)
    return IMF(*sizes, *modalities(data), rel_channels=4, scorer=scorer)


def with_adversary(data, seed=1):
    torch.manual_seed(seed)
    args = data.num_nodes, data.num_relations, 8, *modalities(data)
    return AdaMF(*args, loss=Sampled(4), adversary=Adversary())


def with_draws(data):
    torch.manual_seed(1)
    loss = OneToN("ce", regularizer=N3(), auxiliary=RelationPrediction(), num_candidates=20)
    args = data.num_nodes, data.num_relations, 8, *modalities(data)
    return AdaMF(*args, scorer="complex", loss=loss, struct=StructuralEmbedding(dropout=0.2))


def test_fit_selects_on_validation(fake):
    model, seen = build(fake), []
    history = fit(model, fake, epochs=6, callback=seen.append, **SETTINGS)
    assert history == seen and [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["loss"] < history[0]["loss"]
    best = max(history, key=lambda entry: entry["mrr"])
    # Test facts are not even known answers:
    found = evaluate(model, without_test(fake), "val")["mrr"]
    assert found == pytest.approx(best["mrr"], abs=1e-9)
    assert found < evaluate(model, fake, "val")["mrr"]

    history = fit(build(fake), fake, epochs=50, batch_size=64, lr=1e-9, patience=2)
    best = max(range(len(history)), key=lambda i: history[i]["mrr"])
    assert len(history) == best + 3 < 50  # It has stopped early.
    history = fit(build(fake), fake, epochs=5, eval_every=3, **SETTINGS)
    assert [entry["epoch"] for entry in history] == [3, 5]


def test_a_loop_of_parts_equals_fit(fake):
    history = fit(with_adversary(fake), fake, 2, 64, lr=RATES)
    model = with_adversary(fake)
    loader = make_loader(model, fake, batch_size=64)
    optimizers = make_optimizers(model, RATES)
    for epoch in (1, 2):
        loss = train(model, loader, optimizers)
        assert {"epoch": epoch, "loss": loss, **validate(model, fake)} == history[epoch - 1]


def test_rates_by_name(fake):
    # Of embeddings and of the rest, of each objective:
    model = build(fake)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, fake, 1, 64, lr=0.01, optimizer="adagrad", dense_lr={"model": 0.0})
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == ("_emb" not in name)
    lr = {"generator": 0.2, "model": 0.1}
    for dense_lr, expected in ((None, [{0.1}, {0.2}]), ({"model": 0.3}, [{0.1, 0.3}, {0.2}])):
        optimizers = make_optimizers(with_adversary(fake), lr, dense_lr, "SGD")
        assert [{group["lr"] for group in x.param_groups} for x in optimizers] == expected


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"lr": {"model": 0.1}}, r"'lr' needs a rate for each of .*\['model', 'generator'\]"),
        ({"lr": {**RATES, "sampler": 0.1}}, "'lr' needs a rate for each .* 'sampler'"),
        ({"dense_lr": {"models": 0.1}}, r"'dense_lr' needs a rate for each .*\{'models': 0.1\}"),
        ({"lr": RATES, "dense_lr": 0.1}, "'dense_lr' needs a rate for each .* by name"),
        *(({"lr": x}, "'lr' needs to be [aof]") for x in (-0.1, float("nan"), "0.1")),
        ({"optimizer": "sgdd"}, "Could not resolve 'sgdd'"),
        *(({x: 0}, f"'{x}' needs to be pos") for x in ("epochs", "batch_size", "patience")),
        ({"eval_every": 0}, "'eval_every' needs to be positive"),
        ({"precision": "fp8"}, "Invalid 'precision' argument"),
        ({"metric": "auc"}, "Invalid 'metric' argument .*'mrr'"),
    ],
)
def test_errors(fake, kwargs, match):
    with pytest.raises(ValueError, match=match):
        fit(with_adversary(fake), fake, **kwargs)


def test_nothing_to_train(fake):
    model = build(fake)
    for split in ("train", "val"):
        data = fake.clone()
        data[f"{split}_mask"] = torch.zeros_like(data.val_mask)
        with pytest.raises(ValueError, match=f"The '{split}' split holds no facts"):
            fit(model, data)
    with pytest.raises(ValueError, match="'model' has no parameters to train"):
        fit(model.requires_grad_(False), fake)


@pytest.mark.parametrize("eval_every, optimizer", [(3, "adamw"), (1, "adagrad")])
@pytest.mark.parametrize("build", [build, with_draws])
def test_resume_is_bit_exact(fake, tmp_path, build, eval_every, optimizer):
    settings = {**SETTINGS, "eval_every": eval_every, "optimizer": optimizer}
    whole = build(fake)
    history = fit(whole, fake, epochs=8, **settings)

    path = tmp_path / "run" / "checkpoint.pt"
    fit(build(fake), fake, epochs=4, checkpoint=path, **settings)
    torch.manual_seed(999)  # A new process starts elsewhere, with other parameters.
    model = build(fake)
    for _ in range(2):  # A finished run goes on to the same end.
        model.reset_parameters()
        assert fit(model, fake, epochs=8, checkpoint=path, **settings) == history
        assert equal(whole.state_dict(), model.state_dict())
        assert files(path.parent) == ["checkpoint.pt"]  # No temporaries.


def test_resume_after_kills_at_any_moment(fake, tmp_path):
    def run(name, seed):
        model, path = with_adversary(fake, seed), tmp_path / f"{name}.pt"
        history = fit(model, fake, 14, 128, RATES, patience=None, checkpoint=path)
        torch.save([history, model.state_dict()], tmp_path / f"{name}.out")

    def start(*args):
        process = multiprocessing.get_context("fork").Process(target=run, args=args)
        process.start()
        return process

    begin, path = time.monotonic(), tmp_path / "killed.pt"
    start("whole", 1).join()
    duration = time.monotonic() - begin
    random.seed(0)
    for i in range(5):
        # Another seed per run, as in a new process, once there is a checkpoint to go on from:
        process = start("killed", 2 + i if path.exists() else 1)
        time.sleep(random.uniform(duration / 8, duration / 4))
        process.kill()
        process.join()
    assert unseal(str(path))["epoch"] > 0  # It went on in between.
    start("killed", 9).join()
    assert sorted(files(tmp_path)) == ["killed.out", "killed.pt", "whole.out", "whole.pt"]
    whole, killed = (torch.load(tmp_path / f"{x}.out") for x in ("whole", "killed"))
    assert killed[0] == whole[0] and equal(killed[1], whole[1])


def test_checkpoint_of_another_run(fake, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(build(fake), fake, epochs=1, checkpoint=path, **SETTINGS)
    content = path.read_bytes()
    features, facts = fake.clone(), fake.clone()
    features.x_text = features.x_text.flip(1)
    facts.train_mask[0] = not facts.train_mask[0]
    swapped = copy.copy(fake)
    swapped.val_mask, swapped.test_mask = fake.test_mask, fake.val_mask
    for model, data, lr, match in (
        (build(fake, channels=4), fake, 0.01, "belongs to another model"),
        (KGE(fake.num_nodes, fake.num_relations, 8), fake, 0.01, "belongs to another model"),
        (build(fake), fake, 0.5, r"to other settings: \{'lr': \(0.01, 0.5\)\}"),
        (build(features), features, 0.01, "features.text.x"),
        (build(facts), facts, 0.01, "belongs to other training facts and unsplit facts"),
        (build(swapped), swapped, 0.01, "belongs to other test facts and validation facts"),
    ):
        with pytest.raises(CheckpointError, match=match) as raised:
            fit(model, data, checkpoint=path, **{**SETTINGS, "lr": lr})
        assert str(path) in str(raised.value)
    assert path.read_bytes() == content

    path.write_bytes(content[:-1000])
    with open(tmp_path / "other.pt", "wb") as file:
        seal([1, 2], file)
    for file, match in (
        (path, "c.*pt' cannot be read. Delete it to start anew"),
        (tmp_path / "other.pt", "is no checkpoint of this version of 'fit'"),
        (tmp_path, "cannot be written"),
    ):
        with pytest.raises(CheckpointError, match=match):
            fit(build(fake), fake, checkpoint=file, **SETTINGS)


@pytest.mark.parametrize("moved", ["val", "test", "unsplit"])
def test_checkpoint_of_other_held_out_facts(fake, tmp_path, moved):
    # One fact leaves a split, all others stay; the model and the training facts are the same.
    path, other = tmp_path / "checkpoint.pt", fake.clone()
    fit(build(fake), fake, epochs=1, checkpoint=path, **SETTINGS)
    if moved == "unsplit":
        kept = torch.arange(fake.num_edges).repeat_interleave(1 + fake.test_mask.int())
        for name in ("edge_type", "train_mask", "val_mask", "test_mask"):
            other[name] = fake[name][kept]
        other.edge_index = fake.edge_index[:, kept]
        again = torch.cat([torch.zeros(1).bool(), kept.diff() == 0])
        other.test_mask = other.test_mask & ~again
    else:
        other[f"{moved}_mask"][fake[f"{moved}_mask"].nonzero()[0]] = False
    name = {"val": "unsplit facts and validation", "test": "test facts and unsplit"}
    with pytest.raises(CheckpointError, match=f"to other {name.get(moved, 'unsplit')} facts"):
        fit(build(other), other, epochs=2, checkpoint=path, **SETTINGS)
    assert len(fit(build(fake), fake, epochs=2, checkpoint=path, **SETTINGS)) == 2


def test_fitted_models_know_their_graph(fake, tmp_path):
    model = build(fake)
    evaluate(model, fake)
    other = fake.clone()
    other.node_ids = [fake.node_ids[-1], *fake.node_ids[:-1]]
    evaluate(model, other)  # It knows no names yet.
    fit(model, fake, epochs=1, progress=False, **SETTINGS)
    save_pretrained(model, tmp_path)  # Without the graph, which it knows all the same.
    for one in (model, copy.deepcopy(model), from_pretrained(tmp_path)):
        evaluate(one, fake)
        for ask in (
            lambda data, m=one: evaluate(m, data),
            lambda data, m=one: fit(m, data, epochs=1, progress=False, **SETTINGS),
            lambda data, m=one: predict(m, data, head="node_1", relation=0),
            lambda data, m=one: complete(m, data, k=3),
            lambda data, m=one: explain(m, data, 0, 0, 1),
            lambda data, m=one: calibrate(m, data),
            lambda data, m=one: fit_view_weights(m, data),
            lambda data, m=one: save_pretrained(m, tmp_path / "other", data),
        ):
            with pytest.raises(ValueError, match="trained with other entities, or in another o"):
                ask(other)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_leaks_are_told(fake, held_out):
    data = fake.clone()
    first = data.train_mask.nonzero()[0], data[f"{held_out}_mask"].nonzero()[0]
    data.edge_index[:, first[1]] = data.edge_index[:, first[0]]
    data.edge_type[first[1]] = data.edge_type[first[0]]
    name = {"val": "validation", "test": "test"}[held_out]
    with pytest.warns(UserWarning, match=f"1 of .* {name} facts are training facts as well"):
        fit(build(data), data, epochs=1, progress=False, **SETTINGS)
    if held_out == "test":
        with pytest.warns(UserWarning, match="1 of .* test facts are training facts as well"):
            evaluate(build(data), data)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"lr": (0.1, 0.2)}, r"'lr' needs to be of type float .* .got .0.1, 0.2"),
        ({"optimizer": "adagard"}, "Could not resolve 'adagard' .*PyTorch. Did you mean 'adagrad'"),
        ({"optimizer": "sparseadam"}, "optimizer 'sparseadam' cannot be used .*'weight_decay'"),
        ({"weight_decay": -1.0}, "optimizer 'adamw' cannot be used .*weight_decay value: -1"),
        ({"epochs": 2.5}, "'epochs' needs to be of type int .got 2.5"),
        ({"batch_size": "64"}, "'batch_size' needs to be of type int .got '64'"),
        ({"batch_size": 10**20}, "'batch_size' needs to be finite"),
        *(({"lr_decay": x}, "'lr_decay' needs to be") for x in (-1, float("nan"), 1e30, "a")),
        ({"checkpoint": "a\0b"}, "'checkpoint' is no path"),
        ({"checkpoint": "/proc/x/y"}, "The checkpoint '/proc/x/y' cannot be written"),
        ({"callback": 5}, "'callback' needs to be of type Callable"),
        ({"optimizer": "x"}, r"Choose of \['adadelta', .*'sgd'\]"),
    ],
)
def test_arguments_of_a_newcomer(fake, kwargs, match):
    with pytest.raises(ValueError, match=match):
        fit(build(fake), fake, **{"epochs": 1, **kwargs})


def test_numbers_of_numpy(fake, tmp_path):
    kwargs = {"lr": np.float32(0.01), "checkpoint": tmp_path / "run.pt"}  # Whose settings are kept.
    assert (
        len(fit(KGE(150, 5, 8), fake, epochs=np.int64(1), batch_size=np.int64(64), **kwargs)) == 1
    )


def test_what_is_no_model_to_train(fake):
    with pytest.raises(ValueError, match="A model to train is one .*got a 'Linear'"):
        fit(torch.nn.Linear(3, 3), fake)


def test_validation_and_test_facts_change_no_training_batch(fake):
    # Every held-out fact is replaced by another: not one training batch differs.
    other, held_out = copy.copy(fake), ~fake.train_mask
    other.edge_index = fake.edge_index.clone()
    other.edge_index[:, held_out] = torch.randint(fake.num_nodes, (2, int(held_out.sum())))
    batches = []
    for data in (fake, other):
        torch.manual_seed(3)
        batches.append(list(make_loader(KGE(data.num_nodes, data.num_relations, 8), data, 64)))
    assert len(batches[0]) > 5
    for first, second in zip(*batches, strict=True):
        assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("build", [build, with_draws])
def test_train_in_bf16(fake, build):
    model = build(fake)
    history = fit(model, fake, epochs=3, precision="bf16", **SETTINGS)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(p.dtype == torch.float for p in model.parameters())


LOSS = "The loss is nan from batch 2 on: training has diverged in ep"


@pytest.mark.parametrize(
    "build, lr, batch_size, error, match",
    [
        # The generator loss grows first, as fakes are too far away to be taken for facts:
        (with_adversary, {**RATES, "generator": 1e10}, 64, RuntimeError, "generator loss is inf f"),
        # Fakes are NaN, and both losses at once:
        (with_adversary, {**RATES, "generator": 1e20}, 64, RuntimeError, LOSS),
        # There is no other batch to tell:
        (with_adversary, {**RATES, "generator": 1e45}, 9999, RuntimeError, "has left parameters N"),
        (build, 1e18, 64, RuntimeError, LOSS),
        # Found by validation: parameters are finite, scores are not.
        (build, 1e15, 9999, ValueError, "NaN or infinite scores"),
    ],
)
def test_explodes_in_the_first_epoch(fake, tmp_path, build, lr, batch_size, error, match):
    model, path = build(fake), tmp_path / "checkpoint.pt"
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=match):
        fit(model, fake, batch_size=batch_size, lr=lr, checkpoint=path)
    assert equal(model.state_dict(), before) and files(tmp_path) == []


@pytest.mark.parametrize("error, epoch", [(KeyboardInterrupt, 1), (Diverged, 3)])
def test_interrupted(fake, error, epoch):
    # Before the first validation, what has been learned is all there is. Afterwards, the best
    # epoch is known.
    model, seen = with_adversary(fake), []
    before, loss = copy.deepcopy(model.state_dict()), model.loss

    def validated(entry):
        seen.append((entry["mrr"], copy.deepcopy(model.state_dict())))

    def interrupted(*batch):
        last = seen[-1][1] if seen else before
        if len(seen) == epoch - 1 and not equal(model.state_dict(), last):
            raise error
        return loss(*batch)

    model.loss = interrupted
    with pytest.raises(error):
        fit(model, fake, batch_size=64, lr=0.01, callback=validated)
    state = model.state_dict()
    assert not equal(state, before)
    assert not seen or equal(state, max(seen, key=lambda entry: entry[0])[1])


def test_without_docstrings_and_assertions():
    script = """
from torch_imf import build_model, evaluate, fit
from torch_imf.data import audit
from torch_imf.datasets import FakeMMKG
data = FakeMMKG()[0]
assert not audit(data).is_clean, "assertions are on"
model = build_model("imf", data, hidden_channels=4)
fit(model, data, epochs=1, lr=0.01, progress=False)
print(evaluate(model, data)["mrr"] > 0, fit.__doc__)
"""
    command = [sys.executable, "-OO", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "True None\n", result.stderr


def test_tensorboard(tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with TensorBoard(tmp_path) as board:
        board({"epoch": 3, "loss": 0.5, "mrr": 0.25, "hits@10": 0.75})
        board({"epoch": 6, "loss": 0.25, "mrr": 0.5, "hits@10": 1.0})
        board.log("test", {"mrr": 0.125, "head": {"mrr": 1.0}}, epoch=6)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    tags = {"train/loss", "val/mrr", "val/hits_at_10", "test/mrr"}
    assert set(events.Tags()["scalars"]) == tags
    assert [(x.step, x.value) for x in events.Scalars("train/loss")] == [(3, 0.5), (6, 0.25)]
    assert [(x.step, x.value) for x in events.Scalars("test/mrr")] == [(6, 0.125)]
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install \"torch_imf\[tensorboard\]\""):
        TensorBoard(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
