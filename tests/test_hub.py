import hashlib
import json
import math
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from torch_imf import (
    IKRL,
    IMF,
    KGE,
    RSME,
    TBKGC,
    AdaMF,
    AddInverse,
    Adversary,
    Contrastive,
    ConvE,
    OneToN,
    Sampled,
    StructuralEmbedding,
    TuckER,
    evaluate,
    fit,
    from_pretrained,
    hub,
    pretrained_graph,
    push_to_hub,
    save_pretrained,
)
from torch_imf.data import TripletIndex, modalities
from torch_imf.hub import MANIFEST, ProjectedFeatures
from torch_imf.io.atomic import replacing
from torch_imf.nn import DURA, ContextualRelationalScorer, DistMult, IMFFusion, StructuralEncoder
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.sampler import UniformSampler


def build(cls, data, **kwargs):
    return cls(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs)


imf, adamf = partial(build, IMF), partial(build, AdaMF)


def kge(data, scorer="distmult", **kwargs):
    return KGE(data.num_nodes, data.num_relations, 8, scorer=scorer, **kwargs)


def structural(data):
    encoder = StructuralEncoder(data.num_nodes, data.num_relations, 8, dropout=0.1)
    encoder.register_graph(data)
    return imf(data, struct=encoder)


def sampled(data):
    index = TripletIndex.from_data(AddInverse()(data))
    return Sampled(sampler=UniformSampler(data.num_nodes, index, num_negatives=5))


def struct(data, **kwargs):
    return imf(data, struct=StructuralEmbedding(torch.randn(data.num_nodes, 8), **kwargs))


MODELS = {
    "imf": imf,
    "imf ce": lambda data: imf(data, loss=OneToN("ce", regularizer=DURA(0.1))),
    "imf loss": lambda data: imf(data, loss=OneToN("bce", 0.1)),
    "imf views": lambda data: imf(data, views=["text", "struct"], decision=0.5),
    "imf struct": lambda data: imf(data, views=["struct"]),
    "imf pairs": lambda data: imf(data, contrastive=Contrastive(0.5, 0.1, [("struct", "text")])),
    "imf fusion": lambda data: imf(
        data,
        fusion=IMFFusion(dict.fromkeys(["struct", *modalities(data)[0]], 8), 8, 3, 5, 0.1),
        scorer=ContextualRelationalScorer(8, 4, "dot", dropout=0.3, batch_norm=True),
        shared_relations=False,
    ),
    "imf weights": lambda data: imf(
        data, decision={"struct": 1, "numeric": 2, "text": 3, "visual": 4, "fused": 5}
    ),
    "imf tensor": struct,
    "imf frozen": lambda data: struct(data, freeze=True),
    "imf encoder": structural,
    "imf features": lambda data: imf(data, struct=False),
    "adamf": adamf,
    "adamf sampler": lambda data: adamf(data, loss=sampled(data)),
    "adamf mat": lambda data: adamf(data, adversary=Adversary(0.3, kinds=["head"])),
    "adamf ce": lambda data: adamf(
        data, loss="ce", scorer="complex", struct=False, tie_inverses=True
    ),
    "ikrl": partial(build, IKRL),
    "tbkgc": partial(build, TBKGC),
    "rsme": lambda data: build(
        RSME, data, alpha=torch.rand(data.num_relations), gate=torch.rand(data.num_relations)
    ),
    "kge": kge,
    "kge conve": lambda data: kge(data, ConvE(8, height=2, num_filters=3, kernel_size=2)),
    "kge tucker": lambda data: kge(data, TuckER(8, 4, hidden_dropout=0.1)),
}


def perturb(model):
    # As if it had been trained: parameters and statistics that no constructor gives.
    with torch.no_grad():
        for x in [*model.parameters(), *model.buffers()]:
            if x.is_floating_point():
                x.add_(0.1 * torch.rand_like(x))
    return model


def settings(model):
    # Those that matter in training only, too.
    return {
        name: (type(x).__name__, {k: v for k, v in vars(x).items() if isinstance(v, float)})
        for name, x in model.named_modules()
        if not name.startswith(("features.", "struct", "loss_fn.sampler"))
    }


@pytest.mark.parametrize("name", MODELS)
def test_models(fake, tmp_path, name):
    model = perturb(MODELS[name](fake))
    state = torch.get_rng_state()
    save_pretrained(model, tmp_path)
    other = from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)  # Neither draws numbers of the process.
    assert model.training and not other.training

    head, rel = torch.randint(fake.num_nodes, (64,)), torch.randint(10, (64,))
    model.eval()
    score, views, weights = model.predict(head, rel, return_views=True)
    score2, views2, weights2 = other.predict(head, rel, return_views=True)
    torch.testing.assert_close(score, score2, rtol=1e-4, atol=1e-5)
    assert list(views) == list(views2) and weights == weights2
    for view in views:
        torch.testing.assert_close(views[view], views2[view], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model(head, rel, head.flip(0)), other(head, rel, head.flip(0)), rtol=1e-4, atol=1e-5
    )
    assert type(model) is type(other) and repr(other) == repr(model)
    assert settings(other) == settings(model)
    config = json.loads((tmp_path / "config.json").read_text())
    save_pretrained(other, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again == config  # The same settings, and the same files bit for bit.


def test_graph(fake, tmp_path):
    model = imf(fake)
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    metrics = evaluate(model, fake)
    save_pretrained(model, tmp_path, fake, metrics, {"epochs": 1, "lr": 0.001})
    other, data = from_pretrained(tmp_path), pretrained_graph(tmp_path)
    for key in ("edge_index", "edge_type", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(data[key], fake[key]) and data[key].dtype == fake[key].dtype
    for key in ("num_nodes", "num_relations", "node_names", "node_ids", "rel_names"):
        assert data[key] == fake[key]
    assert not any(key.startswith("x_") for key in data.keys())
    assert evaluate(other, data)["mrr"] == pytest.approx(metrics["mrr"], rel=1e-3)
    # It can be trained on, with features as they were projected:
    before = other.features["text"].x.clone()
    fit(other, data, epochs=1, batch_size=64, progress=False)
    assert torch.equal(other.features["text"].x, before)
    # Without a graph:
    save_pretrained(model, tmp_path / "other")
    with pytest.raises(ValueError, match="other' holds no graph. Pass 'data'"):
        pretrained_graph(tmp_path / "other")
    # An entity more than the model has, or not one name for each:
    data.num_nodes += 1
    with pytest.raises(ValueError, match="expects 150 entities"):
        save_pretrained(model, tmp_path / "third", data)
    data.num_nodes, data.rel_names = 150, [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="'rel_names' needs to hold 5 strings"):
        save_pretrained(model, tmp_path / "third", data)
    assert not (tmp_path / "third").exists()


def test_in_a_fresh_process(fake, tmp_path):
    model = imf(fake, loss="ce").eval()
    save_pretrained(model, tmp_path / "model", fake)
    script = """
from torch_imf import evaluate, from_pretrained, pretrained_graph
print(evaluate(from_pretrained("model"), pretrained_graph("model"))["mrr"])
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(evaluate(model, fake)["mrr"], rel=1e-4)


def test_types_of_parameters(fake, tmp_path):
    save_pretrained(kge(fake).double(), tmp_path)
    assert from_pretrained(tmp_path).node_emb.weight.dtype == torch.double
    model = struct(fake, freeze=True)
    save_pretrained(model, tmp_path)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    other = from_pretrained(tmp_path)
    assert {name for name, p in other.named_parameters() if not p.requires_grad} == frozen


@pytest.mark.parametrize("full", [False, True])
def test_projected_features(full):
    mask = torch.ones(6, dtype=torch.bool) if full else torch.tensor([1, 0, 1, 1, 0, 0]).bool()
    frozen = FrozenFeatures(torch.randn(6, 12), mask, 4)
    module = ProjectedFeatures(frozen.lin(frozen.x).detach(), mask)
    assert str(module) == f"ProjectedFeatures(4, coverage={6 if full else 3}/6)"
    module.missing.data.copy_(frozen.missing)
    index = torch.tensor([[5, 0, 2], [1, 1, 3]])
    for args in ((), (index,)):
        torch.testing.assert_close(module(*args), frozen(*args))
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(
                module(*args).float(), frozen(*args).float(), rtol=0.05, atol=0.05
            )
    assert torch.equal(module.mask, mask) and module(index).size() == (2, 3, 4)
    # Projections are part of its state, and none of its parameters:
    assert list(module.state_dict()) == ["missing", "x"]
    assert [name for name, _ in module.named_parameters()] == ["missing"]
    before = module.x.clone()
    module.reset_parameters()
    assert torch.equal(module.x, before) and not torch.equal(module.missing, frozen.missing)
    with pytest.raises(ValueError, match="need to be of 2 entities"):
        ProjectedFeatures(torch.zeros(1, 3), torch.tensor([True, True]))


# Files ##########################################################################################


def stems(folder):
    return sorted(path.name.split("-")[0] for path in folder.iterdir())


def test_saving_again(fake, tmp_path, monkeypatch):
    first, second = kge(fake), kge(fake)
    (tmp_path / "notes.txt").write_text("mine")
    save_pretrained(first, tmp_path, fake)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    # Whenever it stops, the folder holds the one model or the other:
    writes = []

    def dying(path, limit):
        writes.append(path)
        if len(writes) > limit:
            raise OSError(28, "No space left on device")
        return replacing(path)

    for limit, model in enumerate([first, first, second]):
        writes.clear()
        monkeypatch.setattr(hub, "replacing", partial(dying, limit=limit))
        with pytest.raises(OSError, match="No space left"):
            save_pretrained(second, tmp_path)
        assert torch.equal(from_pretrained(tmp_path).node_emb.weight, model.node_emb.weight)
        assert len(list(tmp_path.glob("model-*"))) == 1  # Nothing of the other one stays.
        for name in before if model is first else []:
            assert (tmp_path / name).read_bytes() == before[name]
    names = [path.rpartition("/")[2].split("-")[0] for path in writes]
    assert names == ["model", "config.json", "README.md"]
    monkeypatch.undo()
    save_pretrained(second, tmp_path)
    assert torch.equal(from_pretrained(tmp_path).node_emb.weight, second.node_emb.weight)
    assert stems(tmp_path) == [".lock", "README.md", "config.json", "model", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_processes_save_in_one_folder(fake, tmp_path):
    model = kge(fake)

    def save(i):
        for _ in range(3):
            torch.nn.init.constant_(model.node_emb.weight, i)
            save_pretrained(model, tmp_path, fake)

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=save, args=(i,)) for i in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert from_pretrained(tmp_path).node_emb.weight.unique().tolist() in ([1], [2])
    assert pretrained_graph(tmp_path).num_edges == fake.num_edges
    assert stems(tmp_path) == [".lock", "README.md", "config.json", "graph", "model", "names"]


def test_card(fake, tmp_path):
    path = tmp_path / "README.md"
    save_pretrained(kge(fake), tmp_path)
    card = path.read_text()
    assert card.startswith("---\nlibrary_name: torch_imf\n") and "\n# KGE\n" in card
    assert "of 150 entities and 5 relations" in card and '"class": "DistMult"' in card
    assert "pretrained_graph" not in card and "It takes no features." in card
    # What is not known is not spoken of:
    assert not any(f"## {x}" in card for x in ("Metrics", "Training", "Graph", "Modalities"))
    metrics = {"mrr": 0.34567, "head": {"mrr": torch.tensor(0.25)}, "mr": 20000.0}
    training = {"lr": [0.1, 0.01], "note": "a | b\nc", "facts": 100000, "progress": True}
    save_pretrained(imf(fake), tmp_path, fake, metrics, training)
    card = path.read_text()
    for line in (
        *("| mrr | 0.3457 |", "| head mrr | 0.25 |", "| mr | 20,000 |", "| lr | [0.1, 0.01] |"),
        *(r"| note | a \| b c |", "| facts | 100,000 |", "| progress | True |"),
        *(f"| val | {int(fake.val_mask.sum())} |", "| struct | 0.2 |"),
    ):
        assert f"{line}\n" in card
    assert "data = pretrained_graph(" in card and "predicts without the features" in card
    # It is of whoever edits it:
    path.write_text(card.replace("# IMF", "# Ours"))
    with pytest.warns(UserWarning, match="README.md' stays as it is"):
        save_pretrained(kge(fake), tmp_path)
    assert "# Ours" in path.read_text() and "20,000" in path.read_text()


def test_other_folders(fake, tmp_path):
    for content in ('{"architectures": ["Bert"]}', "[]", "{", "[" * 100_000):
        (tmp_path / MANIFEST).write_text(content)
        with pytest.raises(ValueError, match=r"holds another 'config.json'"):
            save_pretrained(kge(fake), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
    with pytest.raises(ValueError, match="is a file. Choose another folder"):
        save_pretrained(kge(fake), tmp_path / MANIFEST)
    for name in ("nowhere", MANIFEST):
        with pytest.raises(ValueError, match=f"{name}' holds no saved model: there is no"):
            from_pretrained(tmp_path / name)
    # An empty name, as of a variable that is not set, is not the root of the disk:
    with pytest.raises(ValueError, match=r"Invalid 'folder' argument \(got ''\)"):
        save_pretrained(kge(fake), "")


def test_a_remote_folder(fake):
    model = kge(fake)
    save_pretrained(model, "memory://pretrained/kge", fake)
    save_pretrained(perturb(model), "memory://pretrained/kge/", fake)
    other = from_pretrained("memory://pretrained/kge")
    assert torch.equal(other.node_emb.weight, model.node_emb.weight)
    assert pretrained_graph("memory://pretrained/kge").node_names == fake.node_names


def edit(**kwargs):
    def change(folder):
        path = folder / MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), **kwargs}))

    return change


def test_damaged_folders(fake, tmp_path):
    good = tmp_path / "good"
    save_pretrained(imf(fake), good, fake)
    config = json.loads((good / MANIFEST).read_text())
    weights = config["files"]["model.safetensors"]["file"]
    names = config["files"]["names.json"]["file"]

    def check(message, change, load=from_pretrained):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(good, tmp_path / "bad")
        change(tmp_path / "bad")
        with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
            load(tmp_path / "bad")

    def model(**kwargs):
        return edit(model={**config["model"], **kwargs})

    def entry(name, **kwargs):
        return edit(files={**config["files"], name: {**config["files"][name], **kwargs}})

    def write(content):
        return lambda folder: (folder / MANIFEST).write_bytes(content)

    def cut(folder):
        (folder / weights).write_bytes((folder / weights).read_bytes()[:-100])

    def pickled(folder):
        torch.save({"a": torch.zeros(1)}, folder / weights)
        content = (folder / weights).read_bytes()
        entry("model.safetensors", sha256=hashlib.sha256(content).hexdigest())(folder)

    check(f"{weights}' is missing", lambda folder: (folder / weights).unlink())
    check(f"{weights}' is damaged: it is not what", cut)
    check(f"{weights}' is no file of tensors", pickled)
    for content in (b"{", b"\xff", b"[" * 100_000):
        check("config.json' is damaged: it is no JSON", write(content))
    check("has no 'format'", write(b"[]"))
    check("is of format 9, and this version of torch_imf reads format", edit(format=9))
    check("lacks 'model' or 'files'", edit(model=None))
    check("it names no 'model.safetensors'", edit(files={}))
    check("not its own.*passwd", entry("model.safetensors", file="../../etc/passwd"))
    check("config.json', written by .* no class 'Popen'", model(**{"class": "Popen"}))
    check("no class 'os:system'", model(scorer="os:system"))
    check("'IMF' does not take these settings .*'colour'", model(colour="red"))
    check(r"of shape \[150, 8\] \(expected \[150, 9\]", model(hidden_channels=9))
    check("parameters do not fit the settings", model(views=["struct", "text"]))
    check("config.json', written by .* cannot be made", model(scorer=3))
    check("config.json', written by .* cannot be made", edit(model={"class": "IMF"}))
    check(f"{names}' is missing", lambda folder: (folder / names).unlink(), pretrained_graph)
    check("graph in .* is damaged .*num_nodes|hold", model(num_nodes=149), pretrained_graph)


def test_models_that_cannot_be_saved(fake, tmp_path):
    model = kge(fake)
    torch.nn.init.constant_(model.node_emb.weight, torch.nan)
    with pytest.raises(ValueError, match="NaN"):
        save_pretrained(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_json(fake, tmp_path):
    metrics = {
        "tensor": torch.tensor(0.5),
        "numbers": (torch.arange(2), np.zeros((1, 1))),
        "numpy": [np.float32(0.25), np.int64(3), np.bool_(True), np.str_("Österreich")],
        "head": {0: None, 0.5: True, "1": "one"},
    }
    save_pretrained(kge(fake), tmp_path / "a", metrics=metrics)
    assert hub.read_config(tmp_path / "a")["metrics"] == {
        "tensor": 0.5,
        "numbers": [[0, 1], [[0.0]]],
        "numpy": [0.25, 3, True, "Österreich"],
        "head": {"0": None, "0.5": True, "1": "one"},
    }
    for value in ({"mrr": math.nan}, torch.tensor([math.inf]), {1}, "\ud800", {(0, 1): 2}):
        with pytest.raises(ValueError, match="'metrics' cannot be kept as JSON"):
            save_pretrained(kge(fake), tmp_path / "b", metrics={"a": value})
    assert not (tmp_path / "b").exists()


# Classes of one's own ###########################################################################


class Scaled(DistMult):
    def __init__(self, channels, factor=1.0):
        super().__init__(channels)
        self.factor = factor

    def query(self, head, rel):
        return self.factor * head * rel


class Held(DistMult):
    def __init__(self, channels, weight):
        super().__init__(channels)
        self.weight = weight


class Noisy(DistMult):
    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("noise", torch.randn(channels), persistent=False)

    def query(self, head, rel):
        return self.noise * head * rel


def test_classes_of_ones_own(fake, tmp_path):
    save_pretrained(kge(fake, Scaled(8, 3.0)), tmp_path)
    with pytest.raises(ValueError, match="no class '.*:Scaled'.*pass it in 'classes'"):
        from_pretrained(tmp_path)
    other = from_pretrained(tmp_path, classes=[Scaled])
    assert other.scorers["struct"].factor == 3.0
    # One that has moved to another module since:
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace(f"{__name__}:Scaled", "old.module:Scaled"))
    assert from_pretrained(tmp_path, classes=[Scaled]).scorers["struct"].factor == 3.0
    with pytest.raises(ValueError, match="'Held' does not take .*missing .*'weight'"):
        save_pretrained(kge(fake, Held(8, torch.ones(8))), tmp_path / "b")
    with pytest.raises(ValueError, match="predicts otherwise.*not persistent"):
        save_pretrained(kge(fake, Noisy(8)), tmp_path / "b")
    assert not (tmp_path / "b").exists()


# The Hugging Face Hub ###########################################################################


class FakeHub:
    r"""Keeps what is uploaded, as :class:`huggingface_hub.HfApi` does."""

    repos: dict[str, dict[str, bytes]] = {}

    def __init__(self, token=None):
        self.token = token

    def create_repo(self, repo_id, private, exist_ok):
        assert exist_ok and self.token == "secret"
        self.repos.setdefault(repo_id, {".gitattributes": b""})

    def upload_folder(self, repo_id, folder_path, commit_message, allow_patterns, delete_patterns):
        choose = huggingface_hub.utils.filter_repo_objects
        files, old = sorted(os.listdir(folder_path)), self.repos[repo_id]
        gone = set(choose(old, allow_patterns=delete_patterns))
        names = choose(files, allow_patterns=allow_patterns)
        new = {name: Path(folder_path, name).read_bytes() for name in names}
        self.repos[repo_id] = {k: x for k, x in old.items() if k not in gone} | new
        return huggingface_hub.CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/{len(new)}",
            commit_message=commit_message,
            commit_description="",
            oid="0",
        )


@pytest.fixture
def fake_hub(monkeypatch, tmp_path):
    def snapshot_download(repo_id, revision, allow_patterns):
        if repo_id not in FakeHub.repos:
            raise huggingface_hub.errors.LocalEntryNotFoundError("It is not there")
        folder = tmp_path / "snapshots" / f"{repo_id}-{revision}"
        folder.mkdir(parents=True, exist_ok=True)
        choose = huggingface_hub.utils.filter_repo_objects
        for name in choose(FakeHub.repos[repo_id], allow_patterns=allow_patterns):
            (folder / name).write_bytes(FakeHub.repos[repo_id][name])
        return str(folder)

    monkeypatch.setattr(FakeHub, "repos", {})
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    return FakeHub


def test_push_to_hub(fake, tmp_path, fake_hub):
    first, second = imf(fake), kge(fake)
    url = push_to_hub(first, "user/name", fake, {"mrr": 0.5}, token="secret")
    assert url == "https://huggingface.co/user/name/commit/5"
    assert from_pretrained("user/name").views == first.views
    assert pretrained_graph("user/name", revision="main").node_names == fake.node_names
    # A folder, in which there is more than is to be shared:
    save_pretrained(second, tmp_path / "a")
    (tmp_path / "a" / "secrets.txt").write_text("mine")
    push_to_hub(tmp_path / "a", "user/name", token="secret")
    names = sorted(name.split("-")[0] for name in fake_hub.repos["user/name"])
    assert names == [".gitattributes", "README.md", "config.json", "model"]
    assert torch.equal(from_pretrained("user/name").node_emb.weight, second.node_emb.weight)
    # A folder on disk comes first:
    save_pretrained(kge(fake), tmp_path / "user" / "name")
    assert not torch.equal(from_pretrained("user/name").node_emb.weight, second.node_emb.weight)

    with pytest.raises(ValueError, match=r"no folder 'user/other', and no .*Hub \(It is not there"):
        from_pretrained("user/other")
    (weights,) = (tmp_path / "a").glob("model-*")
    weights.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged"):
        push_to_hub(tmp_path / "a", "user/name", token="secret")
    with pytest.raises(ValueError, match="'metrics' .* in the folder already"):
        push_to_hub(tmp_path / "a", "user/name", metrics={"mrr": 1.0})


def test_without_huggingface_hub(fake, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install torch_imf\[hub\]"):
        push_to_hub(tmp_path, "user/name")
    with pytest.raises(ValueError, match=r"no folder 'user/name'.*pip install torch_imf\[hub\]"):
        from_pretrained("user/name")
