r"""Each file of processes is run once, by this file as a script: it forks 1, 2 and 3 of them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from torch_imf import evaluate, fit, from_pretrained, save_pretrained
from torch_imf.data import modalities
from torch_imf.data.distributed import gathered
from torch_imf.datasets import FakeMMKG
from torch_imf.hub import read_config
from torch_imf.nn import (
    IMF,
    KGE,
    N3,
    AdaMF,
    ContextualRelationalScorer,
    MarginRanking,
    OneToN,
    RelationPrediction,
    Sampled,
)
from torch_imf.registry import classes
from torch_imf.training import make_loader, make_optimizers, shard, train

ce = {"loss": "ce", "regularizer": N3(0.1), "auxiliary": RelationPrediction()}
SETTINGS = {
    "bce": (KGE, {"loss": OneToN("bce", 0.1, regularizer=N3(0.1))}),
    "bce of fused entities": (AdaMF, {"scorer": "complex", "loss": OneToN("bce", 0.1)}),
    "dura": (KGE, {"scorer": "complex", "loss": OneToN("ce", regularizer="dura")}),
    "facts": (KGE, {"scorer": "complex", "loss": OneToN(**ce)}),
    "distances": (KGE, {"scorer": "rotate", "loss": "ce"}),
    "distances bce": (KGE, {"scorer": "transe", "loss": OneToN("bce", 0.1)}),
    "uniform": (AdaMF, {"loss": Sampled(4)}),
    "shared": (AdaMF, {"loss": Sampled(4, sampler="shared")}),
    "margin": (KGE, {"scorer": "transe", "loss": MarginRanking(4)}),
    "views": (IMF, {}),
    "views ce": (IMF, {"loss": "ce"}),
    "batch norm": (IMF, {"scorer": ContextualRelationalScorer(8, 4, batch_norm=True)}),
}
#: In single precision, and ranked as they begin.
SINGLE = {f"{x}, fp32": SETTINGS[x] for x in ("facts", "bce of fused entities", "shared", "views")}
#: Of which a step draws at random.
DRAWS = {"AdaMF with an adversary": (AdaMF, {"adversary": True})}
MODELS = {cls.__name__: (cls, {}) for cls in classes("model").values()}


def start(rank, size, port, folder):
    torch.set_num_threads(1)
    if size > 1:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    return FakeMMKG(f"{folder}/fake")[0]


def trained(rank, size, port, folder, is_sharded=False):
    """Trains each model for an epoch, and keeps what has become of it."""
    data, out = start(rank, size, port, folder), {}
    sizes, features = (data.num_nodes, data.num_relations, 8), modalities(data)
    every = MODELS if (size, is_sharded) in ((1, False), (2, False), (3, True)) else {}
    for name, (cls, kwargs) in {**SETTINGS, **SINGLE, **DRAWS, **every}.items():
        torch.manual_seed(0)
        try:
            model = cls(*sizes, *(features if cls is not KGE else ()), **kwargs)
            model = model if name in SINGLE else model.double()
            model = shard(model) if is_sharded else model
            first = evaluate(model, data, "val")
            loader = make_loader(model, data, 301)  # Which no number of processes divides.
            lr = 0.5 if name in SETTINGS and name != "batch norm" else 0.01  # Some diverge.
            optimizers = make_optimizers(model, lr, optimizer="sgd")
            loss = train(model, loader, optimizers)
            given = torch.arange(2 * int(data.val_mask.sum())).view(2, -1, 1) % data.num_nodes
            negatives = {
                x: torch.cat([y, y - 1], dim=1)
                for x, y in zip(("head", "tail"), given, strict=True)
            }
            metrics = first
            if name not in SINGLE:
                sampled = evaluate(model, data, "val", negatives=negatives)
                metrics = (evaluate(model, data, "val"), sampled)
            state = {k: x.double() for k, x in model.state_dict().items()}
            weight = state["node_emb.weight"]
            state["node_emb.weight"] = gathered(weight) if model.shard else weight
            out[name] = loss, state, metrics
        except ValueError as error:
            out[name] = str(error)
    torch.save(out, f"{folder}/{size}-{rank}{'-sharded' * is_sharded}.pt")


def kept(rank, size, port, folder, name, epochs, is_sharded, killed_in=None):
    """Goes on with a checkpoint, which may have been that of fewer processes or more."""
    data = start(rank, size, port, folder)
    model = small(data)
    model = shard(model) if is_sharded else model
    kill = lambda entry: entry["epoch"] == killed_in and rank == 1 and os._exit(1)  # noqa: E731
    path, rates = f"{folder}/kept/{name}.pt", {"batch_size": 301, "lr": 0.01}
    try:
        fit(model, data, epochs, **rates, checkpoint=path, callback=kill, progress=False)
        save_pretrained(model, f"{folder}/{name}", data)
    except RuntimeError as error:
        Path(folder, "killed.txt").write_text(f"{type(error).__name__}: {error}")


def small(data):
    torch.manual_seed(0)
    x_dict, mask_dict = modalities(data)
    mask_dict["text"] = torch.arange(data.num_nodes) < 5  # Which one process alone holds some of.
    sizes = data.num_nodes, data.num_relations, 8
    return AdaMF(*sizes, x_dict, mask_dict, loss=Sampled(4)).double()


def refused(rank, size, port, folder):
    """Keeps what is said of what cannot be trained."""
    data, out = start(rank, size, port, folder), []
    other = data.clone()
    other.train_mask[rank] = False
    torch.manual_seed(rank)
    model = KGE(data.num_nodes, data.num_relations, 8)
    same, single = small(data), KGE(1, 1, 8)
    first = torch.tensor([0])  # Of which the other process has no row to send.
    for name, x in shard(small(data)).embed(first).items():
        assert torch.equal(x, same.embed(first)[name])
    calls = [lambda: fit(model, data), lambda: shard(model), lambda: fit(same, other)]
    calls += [lambda: fit(same, data, batch_size=1), lambda: shard(single)]
    for call in calls:
        try:
            call()
        except ValueError as error:
            out.append(str(error))
    torch.save(out, f"{folder}/refused-{rank}.pt")


def fork(size, function, *args):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    args = (size, port, *args)
    context = mp.start_processes(function, args, size, join=False, start_method="fork")
    for process in context.processes:
        process.join(300)
    if function is not kept:
        assert context.join(), "a process has failed"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    subprocess.run([sys.executable, __file__, str(folder)], check=True, timeout=600)
    return {"folder": folder, **{x.stem: torch.load(x) for x in folder.glob("*.pt")}}


def same(result, expected, exact=False, tolerance=1e-10):
    (loss, state, metrics), (other_loss, other, other_metrics) = result, expected
    if exact:
        assert loss == other_loss and all(torch.equal(x, other[k]) for k, x in state.items())
    assert loss == pytest.approx(other_loss, rel=1e-6)  # It is added up in single precision.
    assert metrics == other_metrics
    for name, x in state.items():
        assert torch.allclose(x, other[name], rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize("name", SETTINGS)
def test_any_number_of_processes_trains_the_same(found, name):
    for ranks in ("2-0", "3-0"):
        same(found[ranks][name], found["1-0"][name])
    for ranks in ("2-1", "3-2"):
        same(found[ranks][name], found[f"{ranks[0]}-0"][name], exact=True)


def test_processes_stay_the_same_where_they_draw(found):
    for name in DRAWS:
        same(found["3-1"][name], found["3-0"][name], exact=True)


@pytest.mark.parametrize("name", SETTINGS)
def test_any_number_of_shards_trains_the_same(found, name):
    for ranks in ("2-1", "3-0"):
        same(found[f"{ranks}-sharded"][name], found["1-0"][name])


@pytest.mark.parametrize("name", SINGLE)
def test_single_precision_is_as_near_as_it_can_be(found, name):
    for ranks in ("2-1", "3-0", "2-1-sharded", "3-0-sharded"):
        same(found[ranks][name], found["1-0"][name], tolerance=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_shares_its_entities_or_says_why_not(found, name):
    result, alone = (found[x][name] for x in ("3-2-sharded", "2-1"))
    if isinstance(result, str):
        assert result == alone or (f"'{name}'" in result and "Leave 'shard' out" in result)
    else:
        same(result, found["1-0"][name])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_shares_its_loss_or_says_why_not(found, name):
    result = found["2-1"][name]
    if isinstance(result, str):
        assert f"'{name}'" in result and "Train it in one process" in result
    else:
        same(result, found["1-0"][name])


def test_shards_are_kept_for_any_number_of_processes(found):
    folder = found["folder"]
    config = read_config(folder / "three")
    assert config["shards"] == 3 and sum(x.startswith("rows_") for x in config["files"]) == 3
    models = {x: from_pretrained(folder / x) for x in ("one", "two", "three", "anew")}
    expected = models.pop("one").state_dict()
    assert config["num_parameters"] == sum(x.numel() for x in models["two"].parameters())
    for name, model in models.items():
        for key, x in model.state_dict().items():
            assert torch.allclose(x.double(), expected[key].double(), atol=1e-9), (name, key)
    # In one process, all is in one file again:
    files = {x.name for x in (folder / "kept").glob("[!.]*")}
    assert "two.pt.3.1-of-2" in files and not any(x.startswith("anew.pt.") for x in files)


def test_a_process_that_is_killed_ends_all(found):
    text = (found["folder"] / "killed.txt").read_text()
    assert text.startswith("RankLost: Another process of this job has ended")


def test_processes_that_differ_are_found(found):
    for rank in range(2):
        seeds, models, facts, batch, nodes = found[f"refused-{rank}"]
        assert "differ in first parameters (rank 0 from [1])" in seeds
        assert "differ in first parameters (" in models
        assert "differ in training facts, unsplit facts (" in facts
        assert "'batch_size' needs to be at least the number of processes (got 1, " in batch
        assert "fewer entities (1) than processes (2)" in nodes


if __name__ == "__main__":
    FakeMMKG(f"{sys.argv[1]}/fake")
    fork(2, refused, sys.argv[1])
    for name, *steps in (
        ("one", (1, 3, False)),
        ("two", (2, 2, True, 2), (2, 3, True)),  # Killed in its second epoch.
        ("three", (1, 1, False), (2, 2, False), (3, 3, True)),
        ("anew", (3, 2, True), (1, 3, False)),
    ):
        for size, *how in steps:
            fork(size, kept, sys.argv[1], name, *how)
    for size in (1, 2, 3):
        fork(size, trained, sys.argv[1])
        if size > 1:
            fork(size, trained, sys.argv[1], True)
