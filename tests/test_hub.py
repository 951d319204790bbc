import hashlib
import json
import math
import multiprocessing
import os
import re
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch_geometric.data import Data

from torch_imf import (
    evaluate,
    fit,
    fit_view_weights,
    from_pretrained,
    hub,
    nn,
    predict,
    pretrained_graph,
    push_to_hub,
    save_pretrained,
)
from torch_imf.data import TripletIndex, modalities
from torch_imf.hub import MANIFEST, ProjectedFeatures, read_config
from torch_imf.io.atomic import replacing
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.sampler import UniformSampler


def build(cls, data, **kwargs):
    return cls(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs)


imf, adamf = partial(build, nn.IMF), partial(build, nn.AdaMF)


def kge(data, scorer="distmult", **kwargs):
    return nn.KGE(data.num_nodes, data.num_relations, 8, scorer=scorer, **kwargs)


def structural(data):
    encoder = nn.StructuralEncoder(data.num_nodes, data.num_relations, 8, dropout=0.1)
    encoder.register_graph(data)
    return imf(data, struct=encoder)


def struct(data, **kwargs):
    return imf(data, struct=nn.StructuralEmbedding(torch.randn(data.num_nodes, 8), **kwargs))


MODELS = {
    "imf": imf,
    "imf ce": lambda data: imf(data, loss=nn.OneToN("ce", 0.1, regularizer=nn.DURA(0.1))),
    "imf views": lambda data: imf(data, views=["text", "struct"], decision=0.5),
    "imf struct": lambda data: imf(data, views=["struct"]),
    "imf pairs": lambda data: imf(data, contrastive=nn.Contrastive(0.5, 0.1, [("struct", "text")])),
    "imf parts": lambda data: imf(
        data,
        fusion=nn.IMFFusion(dict.fromkeys(["struct", *modalities(data)[0]], 8), 8, 3, 5, 0.1),
        scorer=nn.ContextualRelationalScorer(8, 4, "dot", dropout=0.3, batch_norm=True),
        decision={"struct": 1, "numeric": 2, "text": 3, "visual": 4, "fused": 5},
        shared_relations=False,
    ),
    "imf tensor": struct,
    "imf dropout": lambda data: imf(data, struct=nn.StructuralEmbedding(dropout=0.2)),
    "imf n3": lambda data: imf(
        data,
        loss=nn.OneToN(
            "ce",
            regularizer=nn.N3(0.05),
            auxiliary=nn.RelationPrediction(4.0),
            num_candidates=20,
        ),
    ),
    "imf frozen": lambda data: struct(data, freeze=True),
    "imf encoder": structural,
    "imf features": lambda data: imf(data, struct=False),
    "adamf": adamf,
    "adamf sampler": lambda data: adamf(
        data,
        loss=nn.Sampled(sampler=UniformSampler(data.num_nodes, TripletIndex.from_data(data), 5)),
    ),
    "adamf mat": lambda data: adamf(data, adversary=nn.Adversary(0.3, kinds=["head"])),
    "adamf ce": lambda data: adamf(
        data, loss="ce", scorer="complex", struct=False, tie_inverses=True
    ),
    "ikrl": partial(build, nn.IKRL),
    "tbkgc": partial(build, nn.TBKGC),
    "transae": partial(build, nn.TransAE),
    "mmkrl": partial(build, nn.MMKRL),
    "mkbe": partial(build, nn.MKBE),
    "kbat": partial(build, nn.KBAT),
    "rsme": lambda data: build(
        nn.RSME, data, alpha=torch.rand(data.num_relations), gate=torch.rand(data.num_relations)
    ),
    **{
        name: partial(build, cls)
        for name, cls in {
            **{"lbmkgc": nn.LBMKGC, "mhyper": nn.MHyper, "momok": nn.MoMoK, "mose": nn.MoSE},
            **{"otkge": nn.OTKGE, "vbkgc": nn.VBKGC},
        }.items()
    },
    "kge conve": lambda data: kge(data, nn.ConvE(8, height=2, num_filters=3, kernel_size=2)),
    "ensemble": lambda data: ensemble(data),
    "views alone": lambda data: nn.Ensemble([nn.RuleView().fit(data), nn.TypePrior().fit(data)]),
    "kge tucker": lambda data: kge(data, nn.TuckER(8, 4, hidden_dropout=0.1)),
}


def ensemble(data, *more):
    views = [cls().fit(data) for cls in (nn.TypePrior, nn.RuleView)]
    return nn.Ensemble([*more, imf(data), adamf(data).double(), views[0], kge(data), views[1]])


def perturb(model):
    # As if it had been trained: parameters and statistics that no constructor gives.
    counted = {x for view in model.modules() if isinstance(view, nn.View) for x in view.buffers()}
    with torch.no_grad():
        for x in [*model.parameters(), *model.buffers()]:
            if x.is_floating_point() and x not in counted:
                x.add_(0.1 * torch.rand_like(x))
    return model


def assert_same_answers(model, other):
    head, rel, tail = torch.arange(64), torch.arange(64) % 10, torch.arange(64).flip(0)
    for first, second in (
        (model.eval().predict(head, rel), other.predict(head, rel)),
        (model(head, rel, tail), other(head, rel, tail)),
    ):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_models(fake, tmp_path, name):
    model = perturb(MODELS[name](fake))
    state = torch.get_rng_state()
    save_pretrained(model, tmp_path, fake)
    other, data = from_pretrained(tmp_path), pretrained_graph(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)  # Neither draws numbers of the process.
    assert model.training and not other.training
    assert_same_answers(model, other)
    assert type(model) is type(other) and repr(other) == repr(model)
    save_pretrained(other, tmp_path / "again", data)
    # The same settings, and the same files bit for bit:
    assert (tmp_path / "again" / MANIFEST).read_text() == (tmp_path / MANIFEST).read_text()


def test_fitted_view_weights(fake, tmp_path):
    model = imf(fake, loss="ce", views=["struct", "text", "fused"])
    fit(model, fake, epochs=2, batch_size=64, lr=0.02, progress=False)
    model = fit_view_weights(model, fake)
    save_pretrained(model, tmp_path, fake)
    other = from_pretrained(tmp_path)
    assert other.view_weights() == model.view_weights() == read_config(tmp_path)["view_weights"]
    assert other.fitted == model.fitted and other.fitted["num_facts"] > 0
    assert other.known_names == model.known_names != {}
    mrr = [evaluate(*x)["mrr"] for x in ((model, fake), (other, pretrained_graph(tmp_path)))]
    assert mrr[0] == pytest.approx(mrr[1], rel=1e-3)
    card = (tmp_path / "README.md").read_text()
    assert "`Ensemble` of IMF, TypePrior, RuleView" in card and "| weights by num_facts |" in card


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
    query = {"head": fake.node_names[3], "relation": fake.rel_names[0]}
    assert [x.name for x in predict(other, data, **query)] == [
        x.name for x in predict(model, fake, **query)
    ]
    assert evaluate(other, data)["mrr"] == pytest.approx(metrics["mrr"], rel=1e-3)
    # It can be trained on, with features as they were projected:
    before = other.features["text"].x.clone()
    fit(other, data, epochs=1, batch_size=64, progress=False)
    assert torch.equal(other.features["text"].x, before)
    # Without a graph:
    save_pretrained(model, tmp_path / "other")
    with pytest.raises(ValueError, match="other' holds no graph. Pass 'data'"):
        pretrained_graph(tmp_path / "other")
    # An entity more than the model or the names have, or names that are none:
    more = Data(**{k: x for k, x in data.to_dict().items() if not k.startswith("node_")})
    more.num_nodes = data.num_nodes + 1
    with pytest.raises(ValueError, match="expects 150 entities"):
        save_pretrained(model, tmp_path / "third", more)
    data.num_nodes += 1
    with pytest.raises(ValueError, match="'node_ids' needs to hold 151 strings"):
        save_pretrained(model, tmp_path / "third", data)
    data.num_nodes, data.rel_names = 150, [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="'rel_names' needs to hold 5 strings"):
        save_pretrained(model, tmp_path / "third", data)
    assert not (tmp_path / "third").exists()


def test_types_of_parameters(fake, tmp_path):
    save_pretrained(kge(fake).double(), tmp_path)
    assert from_pretrained(tmp_path).node_emb.weight.dtype == torch.double
    model = struct(fake, freeze=True)
    save_pretrained(model, tmp_path)
    frozen = [
        {k for k, p in x.named_parameters() if not p.requires_grad}
        for x in (model, from_pretrained(tmp_path))
    ]
    assert frozen[0] == frozen[1] != set()


@pytest.mark.parametrize("mask", [[1, 0, 1, 1, 0, 0], [1] * 6])
def test_projected_features(mask):
    frozen = FrozenFeatures(torch.randn(6, 12), torch.tensor(mask).bool(), 4)
    projected = frozen.lin(frozen.x).detach()
    module = ProjectedFeatures(projected, frozen.mask, frozen.projection())
    assert str(module) == f"ProjectedFeatures(4, coverage={sum(mask)}/6)"
    module.missing.data.copy_(frozen.missing)
    for args in ((), (torch.tensor([[5, 0, 2], [1, 1, 3]]),)):
        torch.testing.assert_close(module(*args), frozen(*args))
        with torch.autocast("cpu", torch.bfloat16):
            low = module(*args).float(), frozen(*args).float()
        torch.testing.assert_close(*low, rtol=0.05, atol=0.05)
    # Projections are part of its state, and none of its parameters:
    assert list(module.state_dict()) == ["missing", "x", *hub.PROJECTION]
    assert [name for name, _ in module.named_parameters()] == ["missing"]


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
    assert stems(tmp_path) == [".lock", "README.md", "config.json", "model", "notes.txt"]


def test_two_processes_save_in_one_folder(fake, tmp_path):
    model = kge(fake)

    def save(i):
        for _ in range(3):
            torch.nn.init.constant_(model.node_emb.weight, i)
            save_pretrained(model, tmp_path, fake)

    process = multiprocessing.get_context("fork").Process(target=save, args=(2,))
    process.start()
    save(1)
    process.join(20)
    assert process.exitcode == 0
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
    words = ("facts of", "entities with", "weight of", "metric", "training")
    assert not any(f"| {word}" in card for word in words)
    metrics = {"mrr": 0.345678, "head": {"mrr": torch.tensor(0.25)}, "mr": 20000.0}
    training = {"lr": [0.1, 0.01], "note": "a | b\nc", "progress": True}
    save_pretrained(imf(fake), tmp_path, fake, metrics, training)
    card = path.read_text()
    rows = ["metric mrr | 0.34568", "metric head mrr | 0.25", "metric mr | 20000"]
    rows += ["training lr | [0.1, 0.01]", r"training note | a \| b c", "weight of struct | 0.2"]
    for row in [*rows, f"facts of val | {int(fake.val_mask.sum())}"]:
        assert f"\n| {row} |\n" in card
    assert "data = torch_imf.pretrained_graph(" in card and "predicts without the features" in card
    # It is of whoever edits it:
    path.write_text(card.replace("# IMF", "# Ours"))
    with pytest.warns(UserWarning, match="README.md' stays as it is"):
        save_pretrained(kge(fake), tmp_path)
    assert "# Ours" in path.read_text() and "20000" in path.read_text()


@pytest.mark.filterwarnings("ignore:The lock")
def test_other_folders(fake, tmp_path):
    (tmp_path / MANIFEST).write_text('{"architectures": ["Bert"]}')
    with pytest.raises(ValueError, match=r"holds another 'config.json'"):
        save_pretrained(kge(fake), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
    with pytest.raises(OSError, match=f"{MANIFEST}' is a file, choose a folder"):
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


def test_damaged_folders(fake, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    save_pretrained(imf(fake), good, fake)
    config = json.loads((good / MANIFEST).read_text())
    weights, names = (config["files"][x]["file"] for x in ("model.safetensors", "names.json"))

    def check(message, change, load=from_pretrained):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        change()
        with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
            load(bad)

    def write(**kwargs):
        return lambda: (bad / MANIFEST).write_text(json.dumps({**config, **kwargs}))

    def model(**kwargs):
        return write(model={**config["model"], **kwargs})

    def entry(**kwargs):
        return write(files={**config["files"], "model.safetensors": kwargs})

    check(f"{weights}' is missing", lambda: (bad / weights).unlink())
    check(f"{weights}' is damaged: it is not what", lambda: (bad / weights).write_bytes(b"cut"))
    for content in (b"{", b"\xff", b"[" * 100_000, b"[]", b"{}"):
        change = partial((bad / MANIFEST).write_bytes, content)
        check("config.json' is damaged, or not what 'save_pretrained' of", change)
    for message, change in (
        ("which is of format 4 .it is of format 9, by .'torch_imf'", write(format=9)),
        ("it lacks a model", write(model=None)),
        ("it lacks a model", write(files={})),
        ("not its own.*passwd", entry(file="../../etc/passwd", sha256="")),
        ("config.json', written by .* no class 'Popen'", model(**{"class": "Popen"})),
        ("no class 'os:system'", model(scorer="os:system")),
        ("'IMF' does not take these settings .*'colour'", model(colour="red")),
        ("config.json', written by .* cannot be made", model(hidden_channels=9)),
        ("parameters do not fit the settings", model(views=["struct", "text"])),
        ("config.json', written by .* cannot be made", write(model={"class": "IMF"})),
    ):
        check(message, change)
    check(f"{names}' is missing", lambda: (bad / names).unlink(), pretrained_graph)
    check("graph in .* is damaged .*num_nodes|hold", model(num_nodes=149), pretrained_graph)

    # Tensors are all that is read, whatever a file holds:
    torch.save({"a": torch.zeros(1)}, bad / "file")
    digest = hashlib.sha256((bad / "file").read_bytes()).hexdigest()
    file = f"model-{digest[:12]}.safetensors"
    (bad / "file").rename(bad / file)
    entry(file=file, sha256=digest)()
    with pytest.raises(ValueError, match=rf"{file}' is no safetensors file that can be read"):
        from_pretrained(bad)


def test_metrics_are_json(fake, tmp_path):
    metrics = {
        "numbers": (torch.tensor(0.5), torch.arange(2), np.zeros((1, 1))),
        "numpy": [np.float32(0.25), np.int64(3), np.bool_(True), np.str_("Österreich")],
        "head": {0: None, 0.5: True},
    }
    save_pretrained(kge(fake), tmp_path / "a", metrics=metrics)
    assert read_config(tmp_path / "a")["metrics"] == {
        "numbers": [0.5, [0, 1], [[0.0]]],
        "numpy": [0.25, 3, True, "Österreich"],
        "head": {"0": None, "0.5": True},
    }
    for value in ({"mrr": math.nan}, torch.tensor([math.inf]), {1}, "\ud800"):
        with pytest.raises(ValueError, match="'metrics' cannot be kept as JSON"):
            save_pretrained(kge(fake), tmp_path / "b", metrics={"a": value})
    # Nor is a model kept that cannot answer:
    model = kge(fake)
    torch.nn.init.constant_(model.node_emb.weight, torch.nan)
    with pytest.raises(ValueError, match="NaN"):
        save_pretrained(model, tmp_path / "b")
    assert not (tmp_path / "b").exists()


# Classes of one's own ###########################################################################


class Scaled(nn.DistMult):
    def __init__(self, channels, factor=1.0):
        super().__init__(channels)
        self.factor = factor

    def query(self, head, rel):
        return self.factor * head * rel


class Noisy(nn.DistMult):
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
    with pytest.raises(ValueError, match="predicts otherwise.*not persistent"):
        save_pretrained(kge(fake, Noisy(8)), tmp_path / "b")
    assert not (tmp_path / "b").exists()


# The Hugging Face Hub ###########################################################################


@pytest.fixture
def fake_hub(monkeypatch, tmp_path):
    # The folder of a repository that is kept as `huggingface_hub.HfApi` does.
    folder = tmp_path / "hub"
    choose = huggingface_hub.utils.filter_repo_objects

    def create_repo(repo_id, private, exist_ok):
        assert (repo_id, exist_ok) == ("user/name", True)
        folder.mkdir(exist_ok=True)
        (folder / ".gitattributes").touch()

    def upload_folder(repo_id, folder_path, commit_message, allow_patterns, delete_patterns):
        for name in choose(os.listdir(folder), allow_patterns=delete_patterns):
            (folder / name).unlink()
        for name in choose(os.listdir(folder_path), allow_patterns=allow_patterns):
            shutil.copy(f"{folder_path}/{name}", folder)
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")

    def snapshot_download(repo_id, revision, allow_patterns):
        if repo_id != "user/name":
            raise huggingface_hub.errors.LocalEntryNotFoundError("It is not there")
        shutil.rmtree(tmp_path / "snapshot", ignore_errors=True)
        return shutil.copytree(folder, tmp_path / "snapshot")

    api = SimpleNamespace(create_repo=create_repo, upload_folder=upload_folder)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token: {"secret": api}[token])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    return folder


def test_push_to_hub(fake, tmp_path, fake_hub):
    first, second = imf(fake), kge(fake)
    save_pretrained(first, tmp_path / "a", fake, {"mrr": 0.5})
    url = push_to_hub(tmp_path / "a", "user/name", token="secret")
    assert url == "https://huggingface.co/user/name/commit/1"
    assert from_pretrained("user/name").views == first.views
    assert pretrained_graph("user/name", revision="main").node_names == fake.node_names
    # What is in the folder beside it is not shared:
    save_pretrained(second, tmp_path / "a")
    (tmp_path / "a" / "secrets.txt").write_text("mine")
    push_to_hub(tmp_path / "a", "user/name", token="secret")
    assert stems(fake_hub) == [".gitattributes", "README.md", "config.json", "model"]
    assert torch.equal(from_pretrained("user/name").node_emb.weight, second.node_emb.weight)
    # A folder on disk comes first:
    save_pretrained(kge(fake), tmp_path / "user" / "name")
    assert not torch.equal(from_pretrained("user/name").node_emb.weight, second.node_emb.weight)

    with pytest.raises(ValueError, match="could not be shared as 'user/name' .*'of another'"):
        push_to_hub(tmp_path / "a", "user/name", token="of another")
    with pytest.raises(ValueError, match=r"no folder 'user/other'.*Hub, .*\(It is not there"):
        from_pretrained("user/other")
    (weights,) = (tmp_path / "a").glob("model-*")
    weights.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged"):
        push_to_hub(tmp_path / "a", "user/name", token="secret")


def test_without_huggingface_hub(fake, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install \"torch_imf\[hub"):
        push_to_hub(tmp_path, "user/name")
    with pytest.raises(ValueError, match=r"no folder 'user/name'.*pip install \"torch_imf\[hub"):
        from_pretrained("user/name")


# What a stranger may have written ###############################################################


def crafted(folder, change=None, tensors=None, file="model.safetensors", names=None):
    # A folder with other content, under the digests that belong to it.
    path = folder / MANIFEST
    config = json.loads(path.read_text())
    for key, edit in ((file, tensors), ("names.json", names)):
        if edit is None:
            continue
        content = (folder / config["files"][key]["file"]).read_bytes()
        content = edit(content) if key == "names.json" else save(edit(load(content)))
        config["files"][key] = hub._entry(key, content)
        (folder / config["files"][key]["file"]).write_bytes(content)
    if change is not None:
        config = change(config)
    config["model_sha256"] = hub._digest(config["model"])
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "name", ["imf", "adamf mat", "rsme", "kge conve", "kge tucker", "imf frozen"]
)
@pytest.mark.parametrize("key", ["num_relations", "num_nodes", "hidden_channels"])
def test_sizes_of_no_tensor_take_no_memory(fake, tmp_path, monkeypatch, name, key):
    save_pretrained(MODELS[name](fake), tmp_path)

    def change(config):
        config["model"][key] *= 4096
        return config

    made = []
    reset = nn.Scorer.reset_relations
    crafted(tmp_path, change)
    monkeypatch.setattr(
        nn.Scorer, "reset_relations", lambda self, x: made.append(x.device.type) or reset(self, x)
    )
    with pytest.raises(ValueError, match="config.json', written by .* cannot be made"):
        from_pretrained(tmp_path)
    assert "cpu" not in made


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda c: {**c, "versions": "x"}, "config.json' is damaged"),
        (lambda c: {**c, "known_names": [1]}, "config.json' is damaged"),
        (
            lambda c: {**c, "files": {k: x for k, x in c["files"].items() if k != "names.json"}},
            "config.json' is damaged, .* lacks a model",
        ),
        (lambda c: {**c, "model": {**c["model"], "loss": nested(600)}}, "config.json', written by"),
        (lambda c: {**c, "model": {"class": "DistMult", "channels": 8}}, "config.json', written"),
    ],
)
def test_crafted_settings(fake, tmp_path, change, match):
    save_pretrained(kge(fake), tmp_path, fake)
    crafted(tmp_path, change)
    with pytest.raises(ValueError, match=match):
        from_pretrained(tmp_path)


def nested(depth):
    return {"class": "OneToN", "loss": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda x: x | {"node_emb.weight": x["node_emb.weight"].double()},
        lambda x: {k: v.to(torch.int32) for k, v in x.items()},
        lambda x: {k: v.to(torch.float8_e5m2) for k, v in x.items()},
        lambda x: x | {"node_emb.weight": x["node_emb.weight"][:-1].clone()},
        lambda x: x | {"more": torch.zeros(3)},
        lambda x: {},
    ],
)
def test_crafted_parameters(fake, tmp_path, edit):
    save_pretrained(kge(fake), tmp_path)
    crafted(tmp_path, tensors=edit)
    with pytest.raises(ValueError, match="config.json', written by .* cannot be made"):
        from_pretrained(tmp_path)


def one_of(name, change):
    return lambda x: x | {name: change(x[name].clone())}


@pytest.mark.parametrize(
    "edit, change",
    [
        (one_of("members.1.tail_col", lambda x: x.fill_(10**6)), None),
        (one_of("members.1._extra_state", lambda x: x + 1), None),
        (one_of("members.0._extra_state", lambda x: x[:1]), None),
        (one_of("weight", lambda x: x[:-1]), None),
        (one_of("weight", lambda x: x.int()), None),
        (lambda x: x | {"members.2.key": torch.zeros(1)}, None),
        (None, lambda c: c["model"].update(num_nodes=10**9)),
        (None, lambda c: c["model"].update(members=3)),
        (None, lambda c: c["model"]["members"].append({"class": "TypePrior"})),
        (None, lambda c: c["model"]["members"].append({**c["model"], "members": []})),
        (None, lambda c: c["model"]["members"].append({"class": "DistMult", "channels": 8})),
        (None, lambda c: c.update(model=c["model"]["members"][0])),
    ],
)
def test_crafted_ensembles(fake, tmp_path, edit, change):
    save_pretrained(nn.Ensemble([x().fit(fake) for x in (nn.TypePrior, nn.RuleView)]), tmp_path)
    crafted(tmp_path, change and (lambda config: change(config) or config), edit)
    with pytest.raises(ValueError, match="config.json', written by .* cannot be made"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "edit, match",
    [
        (
            lambda x: x | {"edge_index": x["edge_index"] + 0.5},
            "'edge_index' needs to be a torch",
        ),
        (
            lambda x: x | {"edge_type": x["edge_type"].double()},
            "'edge_type' needs to be a torch",
        ),
        (lambda x: x | {"edge_index": torch.tensor(3)}, "'edge_index' needs"),
        (lambda x: x | {"edge_type": torch.tensor(3)}, "shape"),
        (lambda x: x | {"val_mask": x["val_mask"].int()}, "'val_mask' needs to be a torch.bool"),
        (lambda x: x | {"edge_index": x["edge_index"] - 1}, "ids outside"),
        (lambda x: x | {"x_text": torch.zeros(150, 2)}, "it holds .*'x_text'"),
        (lambda x: {k: v for k, v in x.items() if k != "test_mask"}, "it holds"),
    ],
)
def test_crafted_graphs(fake, tmp_path, edit, match):
    save_pretrained(kge(fake), tmp_path, fake)
    crafted(tmp_path, tensors=edit, file="graph.safetensors")
    with pytest.raises(ValueError, match=f"The graph in '{tmp_path}' is damaged .*{match}"):
        pretrained_graph(tmp_path)


def with_names(**kwargs):
    return lambda content: json.dumps({**json.loads(content), **kwargs}).encode()


@pytest.mark.parametrize(
    "names, match",
    [
        (with_names(node_ids=["a"] * 150), "'node_ids' holds an identifier twice"),
        (with_names(rel_ids="abcde"), "'rel_ids' needs to hold 5 strings .got str"),
        (with_names(node_names={"a": 1}), "'node_names' needs to hold 150 strings .got dict"),
        (with_names(rel_names=[1, 2, 3, 4, 5]), "'rel_names' needs to hold 5 strings"),
        (with_names(num_nodes=3), "it holds"),
        (with_names(node_types=["a"] * 150), "'node_types' needs to hold 150 lists of strings"),
        (lambda content: b"[" * 100_000, ""),
        (lambda content: b"3", ""),
    ],
)
def test_crafted_names(fake, tmp_path, names, match):
    save_pretrained(kge(fake), tmp_path, fake)
    crafted(tmp_path, names=names)
    with pytest.raises(ValueError, match=f"The graph in '{tmp_path}' is damaged .*{match}"):
        pretrained_graph(tmp_path)


@pytest.mark.parametrize("size", [725.0, True, "5", 0, 2**70])
def test_crafted_sizes(fake, tmp_path, size):
    save_pretrained(kge(fake), tmp_path, fake)
    crafted(tmp_path, lambda c: {**c, "model": {**c["model"], "num_relations": size}})
    with pytest.raises(ValueError, match=f"The graph in '{tmp_path}' is damaged"):
        pretrained_graph(tmp_path)


def test_flipped_bits_of_settings(fake, tmp_path):
    # Any of these is still a model that can be made, and predicts otherwise.
    save_pretrained(kge(fake, "transe"), tmp_path, fake)
    path, text = tmp_path / MANIFEST, (tmp_path / MANIFEST).read_text()
    margin = json.loads(text)["model"]["scorer"]["margin"]
    path.write_text(text.replace(f'"margin": {margin}', f'"margin": {margin + 4}'))
    assert path.read_text() != text
    with pytest.raises(ValueError, match="settings are not those that were saved"):
        from_pretrained(tmp_path)
    path.write_text(text)
    assert from_pretrained(tmp_path).known_names.keys() == {*hub.NAMES}


def test_what_is_no_model_or_folder(fake, tmp_path):
    for args, match in (
        ((fake, tmp_path), "first argument needs to be a model of this package .got a 'Data'"),
        ((tmp_path, kge(fake)), "first argument needs to be a model"),
        ((kge(fake), fake, tmp_path), "'folder' needs to be a path .got a 'Data'"),
        ((kge(fake), tmp_path, [fake]), "needs to be a 'Data'.*'dataset.0.'"),
    ):
        with pytest.raises(ValueError, match=match):
            save_pretrained(*args)
    for classes in ("KGE", [kge(fake)], nn.KGE):
        with pytest.raises(ValueError, match="'classes' needs to be of type Sequence.type."):
            from_pretrained(tmp_path, classes)
