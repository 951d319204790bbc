import copy
import gc
import importlib
import inspect
import json
import math
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from torch_imf import build_model, describe_settings, fit, from_pretrained, nn, registry
from torch_imf.cli import main
from torch_imf.data import TripletIndex, modalities
from torch_imf.hub import save_pretrained
from torch_imf.nn import IMF, KGE, AdaMF, OneToN, Sampled, TransE
from torch_imf.registry import class_names, classes, describe, lookup, make, register
from torch_imf.sampler import UniformSampler


def test_importing_it_imports_nothing_heavy():
    script = "import sys, torch_imf; print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr


# Recorded arguments #############################################################################


class Toy(nn.Scorer):
    def __init__(self, channels, *rest, power: float = 1.0, **others):
        super().__init__(channels, **others)
        self.rest = rest


class Plain(Toy):  # Without a constructor of its own.
    pass


class Outer(Toy):
    def __init__(self, inner: nn.Scorer, power: float = 3.0) -> None:
        super().__init__(inner.channels, power=power + 1)
        self.inner = inner


def rebuilt(module, allowed=(), **kwargs):
    return make(json.loads(json.dumps(describe(module))), allowed, **kwargs)


def test_recorded_arguments():
    module = Plain(4, 5, 6, rel_channels=2)
    others = {"power": 1.0, "others": {"rel_channels": 2}}
    assert module.init_args == {"channels": 4, "rest": [5, 6], **others}
    assert str(inspect.signature(Plain)) == "(channels, *rest, power: float = 1.0, **others)"
    other = rebuilt(module, [Plain])
    assert type(other) is Plain and (other.rest, other.rel_channels) == ((5, 6), 2)
    with pytest.raises(TypeError, match="'channels'"):
        Plain()
    # What the constructors of base classes are called with is not recorded, parts are:
    outer = Outer(inner=nn.ConvE(36, num_filters=2))
    assert outer.init_args == {"inner": describe(nn.ConvE(36, num_filters=2)), "power": 3.0}
    assert rebuilt(outer, [Outer]).inner.init_args["num_filters"] == 2
    # Copies and pickles have them, too:
    fusion = nn.IMFFusion({"a": 4}, 8)
    copied, pickled = copy.deepcopy(fusion), pickle.loads(pickle.dumps(fusion))
    assert describe(pickled) == describe(fusion) == describe(copied)
    assert copied.init_args is not fusion.init_args


def test_tensors_are_not_kept(fake):
    x_dict, mask_dict = modalities(fake)
    x_dict = {name: x.clone() for name, x in x_dict.items()}
    scorer, index = nn.ConvE(36), TripletIndex(*torch.zeros(3, 1, dtype=torch.long))
    refs = [weakref.ref(x) for x in (scorer, *x_dict.values())]
    sizes = (fake.num_nodes, fake.num_relations, 36, x_dict, mask_dict)
    model = IMF(*sizes, scorer=scorer, struct=torch.randn(fake.num_nodes, 36))
    del scorer, sizes
    names = list(x_dict)
    x_dict.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4
    assert model.init_args["x_dict"] == names and "struct" not in model.init_args
    assert "index" not in UniformSampler(9, index).init_args
    json.dumps(describe(model))


def test_parts_by_name_are_described_as_what_has_become_of_them(fake):
    sizes = (fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    description = describe(IMF(*sizes, scorer="complex", loss="ce"))
    assert (description["class"], description["scorer"]["class"]) == ("IMF", "ComplEx")
    assert description["loss"] == describe(OneToN("ce"))
    names = ["struct", *modalities(fake)[0]]
    assert description["fusion"]["in_channels"] == dict.fromkeys(names, 8)
    assert describe(IMF(*sizes, scorer=nn.ComplEx(8), loss=OneToN("ce"))) == description
    model = AdaMF(*sizes, loss=Sampled(7, sampler="uniform"), adversary=nn.Adversary(0.5))
    assert describe(model)["loss"] == describe(model.loss_fn)
    assert describe(model)["loss"]["sampler"] == "uniform"
    assert describe(model)["adversary"]["weight"] == 0.5


def test_make():
    assert rebuilt(TransE(4, p_norm=float("inf"))).p_norm == float("inf")
    # A modality may be called 'class':
    assert rebuilt(nn.IMFFusion({"class": 4, "text": 8}, 8)).in_channels == {"class": 4, "text": 8}
    loss = rebuilt(OneToN("bce", 0.1, nn.DURA(0.5)))
    assert (loss.label_smoothing, loss.regularizer.weight) == (0.1, 0.5)
    assert make(describe(TransE(4)), channels=8).channels == 8
    with pytest.raises(ValueError, match="A 'Linear' does not derive from a class of torch_imf"):
        describe(torch.nn.Linear(2, 2))
    sys.modules.pop("this", None)
    kge = {"class": "KGE", "num_nodes": 2, "num_relations": 2, "hidden_channels": 4}
    for description, message in (
        ({"class": "system", "command": "ls"}, "There is no class 'system'"),
        ({"class": "TransE", "channels": 0}, "'TransE' does not take these settings .*positive"),
        ({"class": "TransE", "channels": 4, "colour": "red"}, r"unknown are \['colour'\]"),
        # Nothing is imported because a description says so:
        (kge | {"scorer": "this:s"}, "There is no class 'this:s'"),
        (kge | {"scorer": {"class": "this:s"}}, "There is no class 'this:s'"),
    ):
        with pytest.raises(ValueError, match=message):
            make(description)
    assert "this" not in sys.modules
    # A class of the same name is another one:
    other = type("TransE", (TransE,), {"__module__": "mine"})
    with pytest.raises(ValueError, match="no class 'mine:TransE'.*pass it in 'classes'"):
        rebuilt(other(4))
    assert type(rebuilt(other(4), [other])) is other


# Settings #######################################################################################


def test_describe_settings():
    settings = describe_settings("imf")
    hidden = {"num_nodes", "x_dict", "scorer.channels", "scorer.rel_channels", "loss.loss"}
    assert not hidden & set(settings) and describe_settings(IMF) == settings
    assert settings["scorer.dropout"].parameter.name == "dropout"
    for key, annotation, default in (
        ("scorer.dropout", float, 0.0),
        ("hidden_channels", int, inspect.Parameter.empty),
        ("scorer", str, "contextual"),
        ("struct", bool, True),
        ("rel_channels", int | None, None),
    ):
        parameter = settings[key].parameter
        assert (parameter.annotation, parameter.default) == (annotation, default)
    assert {"contextual", "conve"} <= set(settings["scorer"].choices)
    assert {"adamf", "imf", "mutan"} <= set(settings["fusion"].choices)
    assert {"bce", "ce", "sampled"} <= set(settings["loss"].choices)
    assert settings["scorer.dropout"].choices == ()


def test_settings_of_parts_follow_the_choice():
    for scorer in ("conve", "ConvE", nn.ConvE):
        settings = describe_settings("imf", {"scorer": scorer})
        assert "scorer.num_filters" in settings and "scorer.dropout" not in settings
    sampled = describe_settings("imf", {"loss": "sampled"})
    assert {"bernoulli", "uniform"} <= set(sampled["loss.sampler"].choices)
    assert not {"kbgan", "mans", "mmrns"} & set(sampled["loss.sampler"].choices)
    # Parts have parts, which are there or not:
    settings = describe_settings("imf")
    assert {"dura", "l2", "n3"} <= set(settings["loss.regularizer"].choices)
    assert "dura" not in settings["loss.auxiliary"].choices
    assert not {"loss.sampler", "loss.regularizer.weight"} & set(settings)
    assert "loss.regularizer.weight" in describe_settings("imf", {"loss.regularizer": "dura"})
    settings = describe_settings("adamf")
    assert settings["adversary"].parameter.default is None and "adversary.weight" in settings
    assert "adversary.weight" not in describe_settings("adamf", {"adversary": False})
    # An object has its settings already:
    given = describe_settings("kge", {"scorer": TransE(4)})
    assert not any(name.startswith("scorer.") for name in given)


@pytest.mark.parametrize("name", class_names("model"))
def test_build_every_model(fake, name):
    model = build_model(name.lower(), fake, hidden_channels=8)
    assert type(model).__name__ == name
    # No constructor takes more than one can look over:
    assert len(inspect.signature(type(model)).parameters) <= 14


def test_parts_have_the_sizes_of_the_model(fake):
    sizes = {"hidden_channels": 8, "rel_channels": np.int64(4), "scorer.dropout": np.float64(0.5)}
    model = build_model("imf", fake, **sizes)
    part = model.scorers["fused"]
    assert isinstance(part, nn.ContextualRelationalScorer)
    assert (part.channels, part.rel_channels, part.dropout) == (8, 4, 0.5)
    for struct in (True, False):
        parts = {"scorer": "transe", "fusion": "imf", "fusion.latent_channels": 3}
        model = build_model("adamf", fake, hidden_channels=8, struct=struct, **parts)
        assert isinstance(model.scorers["fused"], TransE)
        assert isinstance(model.fusion, nn.IMFFusion)
        assert model.fusion.init_args["latent_channels"] == 3
        names = {"visual", "text", "numeric"} | ({"struct"} if struct else set())
        assert set(model.fusion.in_channels) == names


def test_a_dotted_setting_changes_nothing_else(fake):
    torch.manual_seed(1)
    expected = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    for settings in ({}, {"scorer.dropout": 0.0}):
        torch.manual_seed(1)
        model = build_model("imf", fake, hidden_channels=8, **settings)
        assert describe(model) == describe(expected)
        torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)


def test_losses_and_other_parts(fake):
    def build(model, **settings):
        return build_model(model, fake, hidden_channels=8, **settings)

    dura = {"loss.regularizer": "dura", "loss.regularizer.weight": 0.3, "contrastive.weight": 0.2}
    model = build("imf", loss="ce", **dura)
    assert describe(model.loss_fn) == describe(OneToN("ce", regularizer=nn.DURA(0.3)))
    assert model.contrastive.weight == 0.2
    assert build("imf", contrastive=False).contrastive is None
    settings = {"loss": "Sampled", "loss.sampler": "bernoulli", "loss.num_negatives": 4}
    model = build("adamf", **settings, **{"adversary.weight": 0.5})
    assert isinstance(model.loss_fn, Sampled) and model.adversary.weight == 0.5
    assert (model.loss_fn.sampler, model.loss_fn.num_negatives) == ("bernoulli", 4)
    fit(model, fake, epochs=1, batch_size=512, progress=False)
    assert build("adamf", adversary=True).adversary.weight == 0.1
    for nothing in ({"adversary": False}, {"adversary": None}, {}):
        assert build("adamf", **nothing).adversary is None


def test_objects_and_classes_are_taken_as_they_are(fake):
    part = nn.ConvE(36)
    model = build_model(KGE, fake, hidden_channels=36, scorer=part)
    assert model.scorers["struct"] is part
    model = build_model(KGE, fake, hidden_channels=8, scorer=TransE, **{"scorer.margin": 2.0})
    assert model.scorers["struct"].margin == 2.0
    struct = torch.randn(fake.num_nodes, 8)
    model = build_model("imf", fake, hidden_channels=8, struct=struct)
    assert torch.equal(model.node_emb.weight, struct)

    class Mine(KGE):
        pass

    assert isinstance(build_model(Mine, fake, hidden_channels=8), Mine)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "IMF needs a value for 'hidden_channels'"),
        ({"hidden_chanels": 8}, r"no setting 'hidden_chanels'. Did you mean 'hidden_channels'\?"),
        ({"scorer": "convex"}, r"no scorer 'convex'. Did you mean 'conve'\? Choose of \['bique', "),
        ({"loss": "mse"}, r"There is no loss 'mse'. Choose of \['bce', 'ce', 'margin', "),
        ({"scorer": int}, "'<class 'int'>' is no scorer: it does not derive from 'Scorer'"),
        ({"scorer.channels": 8}, "no setting 'scorer.channels' where 'scorer' is 'contextual'"),
        ({"scorer": "conve", "scorer.dropout": 0.1}, r"where 'scorer' is 'conve'.*scorer.height"),
        ({"scorer": TransE(8), "scorer.margin": 1.0}, r"'scorer.margin' where 'scorer' is TransE"),
        ({"loss.regularizer.weight": 1.0}, "where 'loss.regularizer' is None"),
        ({"loss.regularizer": "durra"}, r"no regularizer 'durra'. Did you mean 'dura'\?"),
        ({"contrastive": False, "contrastive.weight": 1.0}, "where 'contrastive' is False"),
        ({"loss": "sampled", "loss.sampler": "kbgan"}, r"needs to be an object .*\['bernoulli'"),
        ({"hidden_channels": "8"}, "'hidden_channels' needs to be of type int .got '8'"),
        ({"hidden_channels": None}, "'hidden_channels' needs to be of type int .got None"),
        ({"hidden_channels": True}, "'hidden_channels' needs to be of type int .got True"),
        ({"hidden_channels": 8, "fusion": set()}, "'fusion' needs to be of type str . type.Fusion"),
        ({"hidden_channels": 8, "scorer.dropout": "a"}, "'scorer.dropout' needs to be of type flo"),
        ({"hidden_channels": 2**70}, "'hidden_channels' needs to be finite and below 2..63"),
        *(
            ({"hidden_channels": 8, "scorer.dropout": x}, "'scorer.dropout' needs to be in .0, 1.")
            for x in (-1, 1.0, 2)
        ),
        ({"hidden_channels": 8, "scorer.scale": math.inf}, "'scorer.scale' needs to be finite"),
        ({"hidden_channels": 8, "views": "fused"}, "'views' needs to be of type list.str. . None"),
        ({"hidden_channels": 8, "scorer.similarity": "no"}, "needs to be 'cosine' or 'dot'"),
    ],
)
def test_bad_settings(fake, settings, message):
    with pytest.raises(ValueError, match=message):
        build_model("imf", fake, **settings)


@pytest.mark.parametrize("kind", registry.KINDS)
def test_no_argument_takes_anything(kind):
    for cls in set(classes(kind).values()) - set(classes("dataset").values()):
        settings = registry._arguments(cls)
        for name in settings:
            known = {"num_nodes": 9, "num_relations": 2, "hidden_channels": 4, "channels": 4}
            needed = [x for x, y in settings.items() if y.parameter.default is y.parameter.empty]
            given = {x: known.get(x) for x in needed} | {name: object()}
            with pytest.raises(ValueError, match="needs to be of type .* [(]got "):
                cls(**given)


def test_arguments_of_wrong_types(refuses):
    x_dict = {"text": torch.ones(9, 3)}
    refuses(
        (
            "IMF: 'contrastive' .* Contrastive . bool [(]got 0.1",
            lambda: IMF(9, 2, 4, contrastive=0.1),
        ),
        ("AdaMF: 'adversary' .*Adversary", lambda: AdaMF(9, 2, 4, x_dict, adversary=0.01)),
        ("DURA: 'weight' .*float [(]got '0.05'", lambda: nn.DURA("0.05")),
        ("KGE: 'hidden_channels' .*int [(]got 16.0", lambda: KGE(9, 2, 16.0)),
        ("IMF: 'views' .*list.str. . None", lambda: IMF(9, 2, 4, x_dict, views="struct")),
        ("IMF: 'views' .*got .'struct', 1", lambda: IMF(9, 2, 4, x_dict, views=["struct", 1])),
        ("IMF: 'decision' .*got 'mean'", lambda: IMF(9, 2, 4, x_dict, decision="mean")),
        ("KGE: 'x_dict' .*got tensor", lambda: KGE(9, 2, 4, torch.ones(9, 3))),
        ("Sampled: 'num_negatives' .*got True", lambda: Sampled(num_negatives=True)),
    )
    # What means the same is taken:
    assert KGE(np.int64(9), 2, np.int32(4)).init_args["num_nodes"] == 9
    assert nn.DURA(1).weight == nn.DURA(np.float32(1)).weight == 1
    assert IMF(9, 2, 4, x_dict, views=("struct", "text")).views == ["struct", "text"]


def test_numbers_of_things_are_positive(refuses):
    class Deep(nn.DistMult):
        def __init__(self, channels: int, num_heads: int = 1, num_layers: int = 0) -> None:
            super().__init__(channels)

    assert Deep(4, num_layers=0).channels == 4  # As by default.
    refuses(
        ("Deep: 'num_heads' needs to be positive .got 0", lambda: Deep(4, num_heads=0)),
        ("Deep: 'num_layers' needs to be positive .got -1", lambda: Deep(4, num_layers=-1)),
        ("N3: 'weight' cannot be negative .got -0.1", lambda: nn.N3(-0.1)),
    )


# Classes of other packages ######################################################################

OTHERS = """
import torch
from torch_imf.datasets import Countries
from torch_imf.encoders import Encoder
from torch_imf.nn import DURA, KGE, DistMult, OneToN, Regularizer
from torch_imf.sampler import UniformSampler


class Twist(DistMult):
    "Twists heads."

    def __init__(self, channels: int, rel_channels: int | None = None, angle: float = 1.0) -> None:
        super().__init__(channels, rel_channels)
        self.angle = angle

    def query(self, head, rel):
        return self.angle * head * rel


class Focal(OneToN):
    aliases = {"focal": {"loss": "ce"}}

    def __init__(
        self, loss: str = "ce", gamma: float = 2.0, regularizer: str | Regularizer | None = None
    ) -> None:
        super().__init__(loss, regularizer=regularizer)
        self.gamma = gamma


class Shrink(DURA):
    pass


class OddSampler(UniformSampler):
    pass


class LengthEncoder(Encoder):
    pass


class Village(Countries):
    pass


class Mine(KGE):
    pass
"""
#: The class and the name of each kind.
KINDS = {
    **{"scorer": ("Twist", "twist"), "loss": ("Focal", "focal"), "model": ("Mine", "mine")},
    **{"regularizer": ("Shrink", "shrink"), "sampler": ("OddSampler", "odd")},
    **{"encoder": ("LengthEncoder", "length"), "dataset": ("Village", "Village")},
}


@pytest.fixture(params=["by module", "register", "entry point"])
def others(request, tmp_path, monkeypatch):
    (tmp_path / "others.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_registered", [])
    names = [name for name, _ in KINDS.values()]
    if request.param == "entry point":
        info = tmp_path / "others-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        lines = [f"{name} = others:{name}\n" for name in [*names, "Broken"]]
        (info / "entry_points.txt").write_text("[torch_imf]\n" + "".join(lines))
        registry._loaded_entry_points.cache_clear()
        with pytest.warns(UserWarning, match="'others:Broken' cannot be imported"):
            registry._loaded_entry_points()
    module = importlib.import_module("others")
    for name in names if request.param == "register" else []:
        assert register(getattr(module, name)) is getattr(module, name)
    yield module
    registry._loaded_entry_points.cache_clear()
    del sys.modules["others"]


def test_classes_of_other_packages(request, others, fake, tmp_path, capsys):
    is_named = "by module" not in request.node.name
    names = {kind: x[1] if is_named else f"others:{x[0]}" for kind, x in KINDS.items()}

    def run(*words):
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    # They are offered:
    listed = run("list")
    for kind, (cls, name) in KINDS.items():
        assert lookup(kind, names[kind]) is getattr(others, cls)
        assert (classes(kind).get(name) is getattr(others, cls)) == is_named
        rows = listed["losses" if kind == "loss" else f"{kind}s"]
        assert (cls in [row["name"] for row in rows]) == is_named
    about = run("describe", names["scorer"])
    assert about == {"name": "Twist", "text": "Twists heads."} == run("describe", "others:Twist")
    assert ("twist" in describe_settings("adamf")["scorer"].choices) == is_named
    settings = describe_settings("adamf", {"loss": "sampled"})
    assert ("odd" in settings["loss.sampler"].choices) == is_named

    # They are trained, and what can be set of them has flags:
    part = {"scorer": names["scorer"], "scorer.angle": 2.0, "loss": names["loss"]}
    part |= {"loss.gamma": 1.5, "loss.regularizer": names["regularizer"]}
    part |= {"loss.regularizer.weight": 0.25, "hidden_channels": 8}
    flags = [word for key, x in part.items() for word in (f"--{key.replace('_', '-')}", x)]
    none = ["--text-encoder", "none", "--visual-encoder", "none", "--numeric-encoder", "none"]
    words = ["Village" if is_named else "countries", "--model", names["model"], *none, *flags]
    words += ["--extra-views", "none", "--epochs", 1]
    out = run("train", *words, "--out", tmp_path / "run")
    assert out["settings"] == {"model": names["model"], **part, "epochs": 1}

    # They are saved, and made again if they are known:
    model = build_model(others.Mine, fake, **part)
    fit(model, fake, epochs=1, batch_size=512, progress=False)
    save_pretrained(model, tmp_path / "model")
    known = () if is_named else [getattr(others, cls) for cls, _ in KINDS.values()]
    for folder in (tmp_path / "model", tmp_path / "run" / "model"):
        other = from_pretrained(folder, known)
        assert type(other) is others.Mine and type(other.loss_fn.regularizer) is others.Shrink
        assert other.scorers["struct"].angle == 2.0 and other.loss_fn.gamma == 1.5
        assert other.loss_fn.regularizer.weight == 0.25
    # The shell asks them, and imports what it is told to:
    own = [] if is_named else ["--classes", *(f"others:{cls}" for cls, _ in KINDS.values())]
    asked = ["--head", "France", "--relation", "borders"]
    assert len(run("predict", tmp_path / "run", *asked, *own)["answers"]) == 10


def test_classes_that_are_not_there():
    for query in ("torch:Twister", "nowhere:Twist"):
        with pytest.raises(ValueError, match=f"The scorer '{query}' cannot be imported"):
            lookup("scorer", query)
    with pytest.raises(ValueError, match="'torch.nn:Linear' is no scorer"):
        lookup("scorer", "torch.nn:Linear")


def test_register(monkeypatch):
    monkeypatch.setattr(registry, "_registered", [])
    with pytest.raises(ValueError, match=r"'Linear' needs to derive from one of \['MultimodalKGE'"):
        register(torch.nn.Linear)
    with pytest.raises(ValueError, match="There is a scorer 'transe' already"):
        register(type("TransE", (TransE,), {"__module__": "mine"}))
    # A cell of a notebook that is run again:
    for _ in range(2):
        cls = register(type("Twist", (TransE,), {"__module__": "__main__"}))
        assert classes("scorer")["twist"] is cls and len(registry._registered) == 1
