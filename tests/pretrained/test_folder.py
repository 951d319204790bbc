import hashlib
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
from functools import partial

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
    ConvE,
    SampledLoss,
    TuckER,
    evaluate,
    fit,
    fit_view_weights,
    predict,
)
from torch_imf.data import TripletIndex, modalities
from torch_imf.io.atomic import replacing
from torch_imf.nn import ContextualRelationalScorer, DistMult, IMFFusion, StructuralEncoder
from torch_imf.nn.models.one_to_n import OneToNLoss
from torch_imf.pretrained import files, from_pretrained, pretrained_graph, save_pretrained
from torch_imf.sampler import UniformSampler

safetensors = pytest.importorskip("safetensors.torch")


def imf(data, **kwargs):
    return IMF(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs)


def adamf(data, **kwargs):
    return AdaMF(data.num_nodes, data.num_relations, 8, *modalities(data), **kwargs)


def kge(data, scorer="distmult", **kwargs):
    return KGE(data.num_nodes, data.num_relations, 8, scorer, **kwargs)


def structural(data, **kwargs):
    encoder = StructuralEncoder(data.num_nodes, data.num_relations, 8, dropout=0.1)
    encoder.register_graph(data)
    return imf(data, struct=encoder, **kwargs)


def sampled(data):
    index = TripletIndex.from_data(AddInverse()(data))
    return SampledLoss(sampler=UniformSampler(data.num_nodes, index, num_negatives=5))


MODELS = {
    "imf": imf,
    "imf ce": lambda data: imf(data, loss="ce", label_smoothing=0.0, regularization=0.1),
    "imf loss": lambda data: imf(data, loss=OneToNLoss("bce", 0.1)),
    "imf views": lambda data: imf(data, views=["text", "struct"], decision_weight=0.5),
    "imf struct": lambda data: imf(data, views=["struct"]),
    "imf pairs": lambda data: imf(
        data, contrastive_pairs=[("struct", "text")], contrastive_temperature=0.1
    ),
    "imf fusion": lambda data: imf(
        data,
        fusion=IMFFusion(dict.fromkeys(["struct", *modalities(data)[0]], 8), 8, 3, 5, 0.1),
        scorer=ContextualRelationalScorer(8, 4, "dot", dropout=0.3, batch_norm=True),
        shared_relations=False,
    ),
    "imf weights": lambda data: imf(
        data, decision_weight={"struct": 1, "numeric": 2, "text": 3, "visual": 4, "fused": 5}
    ),
    "imf frozen": lambda data: imf(data, struct=torch.randn(data.num_nodes, 8), freeze_struct=True),
    "imf encoder": structural,
    "adamf": adamf,
    "adamf sampler": lambda data: adamf(data, loss=sampled(data)),
    "adamf mat": lambda data: adamf(data, adversary=Adversary(0.3, kinds=["head"])),
    "adamf ce": lambda data: adamf(
        data, loss="ce", scorer="complex", struct=False, tie_inverses=True
    ),
    "ikrl": lambda data: IKRL(
        data.num_nodes, data.num_relations, 8, *modalities(data), margin=3.0, p_norm=2.0
    ),
    "tbkgc": lambda data: TBKGC(data.num_nodes, data.num_relations, 8, *modalities(data)),
    "rsme": lambda data: RSME(
        *(data.num_nodes, data.num_relations, 8, *modalities(data)),
        alpha=torch.rand(data.num_relations),
        gate=torch.rand(data.num_relations),
    ),
    "kge": kge,
    "kge conve": lambda data: kge(data, ConvE(8, height=2, num_filters=3, kernel_size=2)),
    "kge tucker": lambda data: kge(data, TuckER(8, 4, hidden_dropout=0.1), label_smoothing=0.1),
}


def perturb(model):
    # As if it had been trained: parameters and statistics that no constructor gives.
    with torch.no_grad():
        for x in [*model.parameters(), *model.buffers()]:
            if x.is_floating_point():
                x.add_(0.1 * torch.rand_like(x))
    return model


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
    # Settings that matter in training only are those of the model, too:
    assert type(model) is type(other) and repr(other) == repr(model)
    config = json.loads((tmp_path / "config.json").read_text())
    save_pretrained(other, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again == config  # The same settings, and the same files bit for bit.


def test_settings_of_modules(fake, tmp_path):
    def settings(model):
        return {
            name: (type(x).__name__, {k: v for k, v in vars(x).items() if isinstance(v, float)})
            for name, x in model.named_modules()
            if not name.startswith("features.")
        }

    for name in ["imf fusion", "imf loss", "adamf mat", "ikrl", "kge conve", "kge tucker"]:
        model = MODELS[name](fake)
        save_pretrained(model, tmp_path)
        assert settings(from_pretrained(tmp_path)) == settings(model)


def test_graph(fake, tmp_path):
    model = imf(fake)
    fit(model, fake, epochs=1, batch_size=64)
    fit_view_weights(model, fake)
    metrics = evaluate(model, fake)
    save_pretrained(model, tmp_path, fake, metrics, {"epochs": 1, "lr": 0.001})
    other, data = from_pretrained(tmp_path), pretrained_graph(tmp_path)
    for key in ("edge_index", "edge_type", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(data[key], fake[key]) and data[key].dtype == fake[key].dtype
    for key in ("num_nodes", "num_relations", "node_names", "node_ids", "rel_names"):
        assert data[key] == fake[key]
    assert not any(key.startswith("x_") for key in data.keys())
    assert evaluate(other, data)["mrr"] == pytest.approx(metrics["mrr"], rel=1e-3)
    answers, answers2 = (predict(m, d, 3, 2, k=5) for m, d in ((model, fake), (other, data)))
    assert [x.name for x in answers] == [x.name for x in answers2]
    assert [x.score for x in answers] == pytest.approx([x.score for x in answers2], rel=1e-4)
    assert answers[0].weights == answers2[0].weights  # Those that 'fit_view_weights' has fitted.
    # It can be trained on, with features as they were projected:
    before = other.features["text"].x.clone()
    fit(other, data, epochs=1, batch_size=64)
    assert torch.equal(other.features["text"].x, before)
    # Without a graph:
    save_pretrained(model, tmp_path / "other")
    with pytest.raises(ValueError, match="other' holds no graph. Pass 'data'"):
        pretrained_graph(tmp_path / "other")
    # An entity more than the model has:
    data.num_nodes += 1
    with pytest.raises(ValueError, match="expects 150 entities"):
        save_pretrained(model, tmp_path / "third", data)
    assert not (tmp_path / "third").exists()


def test_in_a_fresh_process(fake, tmp_path):
    from torch_imf.datasets import FakeMMKG

    data = FakeMMKG(str(tmp_path / "dataset"))[0]
    model = imf(data, loss="ce").eval()
    save_pretrained(model, tmp_path / "model", data)
    expected = [(x.index, x.name, x.known) for x in predict(model, data, 3, 2)]
    shutil.rmtree(tmp_path / "dataset")
    script = """
import json, sys
from torch_imf import evaluate, predict
from torch_imf import from_pretrained, pretrained_graph
model, data = from_pretrained("model"), pretrained_graph("model")
answers = [(x.index, x.name, x.known) for x in predict(model, data, 3, 2)]
print(json.dumps([answers, evaluate(model, data)["mrr"]]))
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answers, mrr = json.loads(result.stdout)
    assert [tuple(x) for x in answers] == expected
    assert mrr == pytest.approx(evaluate(model, data)["mrr"], rel=1e-4)


def test_types_of_parameters(fake, tmp_path):
    save_pretrained(kge(fake).double(), tmp_path)
    assert from_pretrained(tmp_path).node_emb.weight.dtype == torch.double
    model = imf(fake, struct=torch.zeros(fake.num_nodes, 8), freeze_struct=True)
    save_pretrained(model, tmp_path)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    other = from_pretrained(tmp_path)
    assert {name for name, p in other.named_parameters() if not p.requires_grad} == frozen


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
        monkeypatch.setattr(files, "replacing", partial(dying, limit=limit))
        with pytest.raises(OSError, match="No space left"):
            save_pretrained(second, tmp_path)
        assert torch.equal(from_pretrained(tmp_path).node_emb.weight, model.node_emb.weight)
        assert len(list(tmp_path.glob("model-*"))) == 1  # Nothing of the other one stays.
        for name in before if model is first else []:
            assert (tmp_path / name).read_bytes() == before[name]
    assert [path.rpartition("/")[2].split("-")[0] for path in writes] == [
        *("model", "config.json", "README.md")
    ]
    monkeypatch.undo()
    save_pretrained(second, tmp_path)
    assert torch.equal(from_pretrained(tmp_path).node_emb.weight, second.node_emb.weight)
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == [".lock", "README.md", "config.json", "model", "notes.txt"]
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
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == [".lock", "README.md", "config.json", "graph", "model", "names"]


def test_an_edited_card_stays(fake, tmp_path):
    model, path = kge(fake), tmp_path / "README.md"
    save_pretrained(model, tmp_path, metrics={"mrr": 0.25})
    assert "| mrr | 0.25 |" in path.read_text()
    save_pretrained(model, tmp_path, metrics={"mrr": 0.5})
    assert "| mrr | 0.5 |" in path.read_text()
    path.write_text(path.read_text().replace("# KGE", "# Ours"))
    with pytest.warns(UserWarning, match="README.md' stays as it is"):
        save_pretrained(model, tmp_path, metrics={"mrr": 0.75})
    assert "# Ours" in path.read_text() and "0.75" not in path.read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine")
    with pytest.warns(UserWarning, match="stays as it is"):
        save_pretrained(model, tmp_path / "other")
    assert (tmp_path / "other" / "README.md").read_text() == "mine"


def test_other_folders(fake, tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["Bert"]}')
    with pytest.raises(ValueError, match="holds another 'config.json'"):
        save_pretrained(kge(fake), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with pytest.raises(ValueError, match="has no 'format'"):
        from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a file. Choose another folder"):
        save_pretrained(kge(fake), tmp_path / "config.json")
    with pytest.raises(ValueError, match="nowhere' holds no saved model: there is no"):
        from_pretrained(tmp_path / "nowhere")


def test_a_remote_folder(fake):
    model = kge(fake)
    save_pretrained(model, "memory://pretrained/kge", fake)
    save_pretrained(perturb(model), "memory://pretrained/kge/", fake)
    other = from_pretrained("memory://pretrained/kge")
    assert torch.equal(other.node_emb.weight, model.node_emb.weight)
    assert pretrained_graph("memory://pretrained/kge").node_names == fake.node_names


def edit(path, **kwargs):
    path.write_text(json.dumps({**json.loads(path.read_text()), **kwargs}))


def test_damaged_folders(fake, tmp_path):
    good = tmp_path / "good"
    save_pretrained(imf(fake), good, fake)
    config = json.loads((good / "config.json").read_text())
    weights = config["files"]["model.safetensors"]["file"]

    def check(message, change, load=from_pretrained):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(good, tmp_path / "bad")
        change(tmp_path / "bad")
        with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
            load(tmp_path / "bad")

    def manifest(**kwargs):
        return lambda folder: edit(folder / "config.json", **kwargs)

    def model(**kwargs):
        return manifest(model={**config["model"], **kwargs})

    def entry(name, **kwargs):
        return manifest(files={**config["files"], name: {**config["files"][name], **kwargs}})

    def cut(folder):
        (folder / weights).write_bytes((folder / weights).read_bytes()[:-100])

    def pickled(folder):
        torch.save({"a": torch.zeros(1)}, folder / weights)
        content = (folder / weights).read_bytes()
        entry("model.safetensors", sha256=hashlib.sha256(content).hexdigest())(folder)

    check(f"{weights}' is missing", lambda folder: (folder / weights).unlink())
    check(f"{weights}' is damaged: it is not what", cut)
    check(f"{weights}' is no file of tensors", pickled)
    check("config.json' is damaged: it is no JSON", lambda f: (f / "config.json").write_text("{"))
    check(
        "config.json' is damaged: it is no JSON", lambda f: (f / "config.json").write_bytes(b"\xff")
    )
    check("no JSON", lambda f: (f / "config.json").write_text("[" * 100_000))
    check("has no 'format'", lambda f: (f / "config.json").write_text("[]"))
    check("is of format 2, and this version of torch_imf reads format 1", manifest(format=2))
    check("lacks 'model' or 'files'", manifest(model=None))
    check("it names no 'model.safetensors'", manifest(files={}))
    check("not its own.*passwd", entry("model.safetensors", file="../../etc/passwd"))
    check("config.json', written by .* no class 'Popen'", model(**{"class": "Popen"}))
    check("'IMF' does not take these settings .*'colour'", model(colour="red"))
    check(r"of shape \[150, 8\] \(expected \[150, 9\]", model(hidden_channels=9))
    check("parameters do not fit the settings", model(views=["struct", "text"]))
    check("config.json', written by .* cannot be made", model(scorer=3))
    check("config.json', written by .* cannot be made", manifest(model={"class": "IMF"}))
    names = config["files"]["names.json"]["file"]
    check(f"{names}' is missing", lambda f: (f / names).unlink(), pretrained_graph)
    check("graph in .* is damaged .*num_nodes|hold", model(num_nodes=149), pretrained_graph)


def test_models_that_cannot_be_saved(fake, tmp_path):
    model = kge(fake)
    torch.nn.init.constant_(model.node_emb.weight, torch.nan)
    with pytest.raises(ValueError, match="NaN"):
        save_pretrained(model, tmp_path)
    with pytest.raises(ValueError, match=r"'metrics\['mrr'\]' is nan, which cannot be"):
        save_pretrained(kge(fake), tmp_path, metrics={"mrr": torch.tensor(torch.nan)})
    assert list(tmp_path.iterdir()) == []


class Scaled(DistMult):
    def __init__(self, channels, factor=1.0):
        super().__init__(channels)
        self.factor = factor

    def query(self, head, rel):
        return self.factor * head * rel


class Forgetful(DistMult):
    def __init__(self, channels, factor=1.0):
        super().__init__(channels)


class Noisy(DistMult):
    def __init__(self, channels):
        super().__init__(channels)
        self.register_buffer("noise", torch.randn(channels), persistent=False)

    def query(self, head, rel):
        return self.noise * head * rel


def test_classes_of_ones_own(fake, tmp_path):
    model = kge(fake, Scaled(8, 3.0))
    with pytest.raises(ValueError, match="'Scaled' cannot be made again.*in 'classes'"):
        save_pretrained(model, tmp_path)
    save_pretrained(model, tmp_path, classes=[Scaled])
    with pytest.raises(ValueError, match="no class 'Scaled'"):
        from_pretrained(tmp_path)
    other = from_pretrained(tmp_path, classes=[Scaled])
    assert other.scorers["struct"].factor == 3.0
    with pytest.raises(ValueError, match="'Forgetful' has no attribute 'factor'"):
        save_pretrained(kge(fake, Forgetful(8)), tmp_path, classes=[Forgetful])
    with pytest.raises(ValueError, match="predicts otherwise.*not persistent"):
        save_pretrained(kge(fake, Noisy(8)), tmp_path, classes=[Noisy])
