import copy
import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch_geometric.data import Data

from torch_imf import nn
from torch_imf.data.graph import check_graph, without_test
from torch_imf.io.progress import watched
from torch_imf.nn import MultimodalKGE, StructuralEmbedding
from torch_imf.registry import build_model, checked, lookup
from torch_imf.training.fit import Diverged, fit, make_loader, make_optimizers, train, validate
from torch_imf.training.published import PUBLISHED

#: Who trains well with it.
MODELS = ("imf", "adamf", "kge", "mkbe", "otkge", "lbmkgc", "mhyper", "mose")
#: Settings that are chosen together. Whoever chooses one of them has other plans.
TOGETHER = ("scorer", "loss", "optimizer", "lr")
#: The weights of the regulariser to try, for so many epochs at a time.
WEIGHTS = (0.1, 0.03, 0.01, 0.003)
EPOCHS = 3
#: The most validation facts of a trial, and the most entities that a fact is compared with.
NUM_FACTS, NUM_CANDIDATES = 1000, 3000


class Recipe(dict[str, Any]):
    r"""Settings of a model and of its training, all in one dictionary of plain values.

    Args:
        name (str): The name of the model.
        settings (dict): The settings. Among them may be a :obj:`"structure"`: that of a
            :class:`~torch_imf.nn.StructuralEncoder`, or of the :obj:`"encoder"` of this name, which
            is trained first, with those of its own training as :obj:`"fit"`, and its :obj:`"use"`,
            :obj:`"frozen"` or as what the model starts from, :obj:`"init"`.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.name = name

    @property
    def model(self) -> dict[str, Any]:
        r"""Those of :meth:`~torch_imf.build_model`."""
        others = {"structure", *inspect.signature(fit).parameters}
        return {name: x for name, x in self.items() if name not in others}

    @property
    def fit(self) -> dict[str, Any]:
        r"""Those of :meth:`~torch_imf.fit`."""
        return {name: x for name, x in self.items() if name in inspect.signature(fit).parameters}

    def build(self, data: Data) -> MultimodalKGE:
        r"""Builds the model for a graph, and trains its structural encoder first, if it has one."""
        settings = self.model
        if "structure" in self and "struct" not in settings:
            settings["struct"] = _structure(data, settings["hidden_channels"], self["structure"])
        return build_model(self.name, data, **settings)


@checked
def recipe(
    model: str,
    data: Data,
    given: Mapping[str, Any] | None = None,
    name: str = "best",
    search: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Recipe:
    r"""Returns settings of a model and of its training, by name.

    .. code-block:: python

        settings = recipe("imf", data)
        model = settings.build(data)
        fit(model, data, **settings.fit)

    :obj:`"best"` trains well: ComplEx against all entities, regularised by
    :class:`~torch_imf.nn.N3`, with Adagrad. Sizes follow from the number of facts. How strongly to
    regularise does not, and a wrong weight ruins a model, so that it is tried: structure alone is
    trained with four weights for three epochs, the two best of them for three more, and the best
    one with embeddings of twice the size. Facts are compared with up to 3,000 candidates there, and
    trials on up to a thousand validation facts. It has nothing for models that are trained
    otherwise, nor if a setting that belongs to its own is given, but for a scorer or a model that
    has settings of its own (:class:`~torch_imf.nn.HAKE`, for one), of which nothing is tried.

    :obj:`"paper"` has the equations of the papers of :class:`~torch_imf.nn.IMF` and
    :class:`~torch_imf.nn.AdaMF` to the letter, and :obj:`"released"` the choices of their released
    code, with their sizes and rates, to be compared with. On Countries, with 64 channels and for
    200 epochs, both have far less than the defaults of the constructors
    (:obj:`benchmarks/README.md`).

    Args:
        model (str): The name of the model.
        data (Data): The graph, with split masks. Test facts have no part in it.
        given (dict, optional): Settings that are chosen already, which win. (default: :obj:`None`)
        name (str, optional): :obj:`"best"`, :obj:`"paper"` or :obj:`"released"`. (default:
            :obj:`"best"`)
        search (bool, optional): If set to :obj:`False`, nothing is tried. (default: :obj:`True`)
        seed (int, optional): The seed of the trials. (default: :obj:`0`)
        progress (bool, optional): Whether to show progress in a terminal. (default: :obj:`False`)

    Raises:
        ValueError: If the graph is not sound, or has no training or validation facts, or there is
            no such recipe of the model.
    """
    check_graph(data)
    given = given or {}
    if name != "best":
        settings = PUBLISHED.get(name, {}).get(model.lower())
        if settings is None:
            known = ["'best'", *(f"'{x}' of {sorted(y)}" for x, y in PUBLISHED.items())]
            raise ValueError(
                f"There is no recipe '{name}' of '{model}' (choose {', '.join(known)})"
            )
        # Of a part that is given, the recipe has nothing to set:
        kept = {key: x for key, x in settings.items() if key.split(".")[0] not in given}
        return Recipe(model, {**copy.deepcopy(kept), **given})
    own = _own_settings(model, given)
    if not own and not tries(model, given):
        return Recipe(model, given)
    num_facts = int(data.train_mask.sum())
    generates = any(key.split(".")[0] == "adversary" for key in given)
    out: dict[str, Any] = {
        "hidden_channels": 128 if num_facts < 10_000 else 256,
        "scorer": "complex",
        "loss": "ce",
        "loss.regularizer": "n3",
        "loss.regularizer.weight": 0.05,
        # About a hundred steps per epoch, for which facts are read in both directions:
        "batch_size": min(1024, max(128, 2 ** (num_facts // 50).bit_length())),
        "optimizer": "adagrad",
        "lr": {"model": 0.1, "generator": 0.015} if generates else 0.1,
        "dense_lr": {"model": 0.015} if generates else 0.015,
        "epochs": 60,
        "eval_every": 3,
        "patience": 4,
    }
    if not tries(model, given):
        sizes = ("hidden_channels", "batch_size", "epochs", "eval_every", "patience")
        return Recipe(model, {**{key: out[key] for key in sizes}, **own, **given})
    if model.lower() == "imf" and given.get("contrastive") is not False:
        out["contrastive.weight"] = 0.1
    if search:
        fixed = {key: x for key, x in given.items() if key in ("hidden_channels", "batch_size")}
        out |= _search({**out, **fixed}, data, seed, progress)
    return Recipe(model, {**out, **own, **given})


def tries(model: str, given: Mapping[str, Any]) -> bool:
    r"""Whether the recipe of a model is found by trials, given some settings."""
    return model.lower() in MODELS and not any(key.split(".")[0] in TOGETHER for key in given)


def _own_settings(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    # Those of the model or, if neither loss nor optimizer are given, of a scorer in its place. Of a
    # part that is given, there is nothing.
    own, scorer = cast(Any, lookup("model", model)).settings, given.get("scorer")
    if not own and isinstance(scorer, str | type) and not {"loss", "optimizer"} & set(given):
        own = cast(Any, lookup("scorer", scorer)).settings
    return {key: copy.deepcopy(x) for key, x in own.items() if key.split(".")[0] not in given}


def _search(settings: dict[str, Any], data: Data, seed: int, progress: bool) -> dict[str, Any]:
    # What does best of some short trainings of structure alone.
    data = few(without_test(data), seed)
    size = settings["hidden_channels"]
    bar = watched(None, "Trying settings", progress, total=7, delay=0)

    def run(trial: _Trial) -> _Trial:
        trial.run(EPOCHS)
        bar.update()
        return trial

    def start(weight: float, size: int = size) -> _Trial:
        return run(_Trial(settings, data, weight, size, seed))

    with bar:
        found = sorted(map(start, WEIGHTS), key=lambda trial: -trial.mrr)
        double, single = start(found[0].weight, 2 * size), found[0].mrr
        best = max(map(run, found[:2]), key=lambda trial: trial.mrr)
    size = double.size if double.mrr > single else size
    return {"loss.regularizer.weight": best.weight, "hidden_channels": size}


class _Trial:
    # A short training, which can go on.
    def __init__(
        self, settings: dict[str, Any], data: Data, weight: float, size: int, seed: int
    ) -> None:
        self.weight, self.size, self.data = weight, size, data
        self.epoch, self.mrr = 0, 0.0
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            parts = {k: x for k, x in settings.items() if k.split(".")[0] in ("scorer", "loss")}
            parts |= {"hidden_channels": size, "loss.regularizer.weight": self.weight}
            if int(data.num_nodes) > 2 * NUM_CANDIDATES:  # Compared with all, it takes longer.
                parts["loss.num_candidates"] = NUM_CANDIDATES
            self.model = build_model("kge", data, **parts).to(data.edge_index.device)
        self.loader = make_loader(self.model, data, settings["batch_size"])
        self.optimizers = make_optimizers(self.model, 0.1, None, settings["optimizer"])

    def run(self, epochs: int) -> None:
        try:
            with torch.random.fork_rng():
                torch.manual_seed(self.epoch)
                for _ in range(epochs):
                    train(self.model, self.loader, self.optimizers)
            self.epoch += epochs
            self.mrr = validate(self.model, self.data)["mrr"]
        except Diverged:
            self.mrr = -1.0


def _structure(data: Data, channels: int, settings: Mapping[str, Any]) -> StructuralEmbedding:
    # The embeddings of a structural encoder, trained first, and the relations of one of triples.
    kwargs = {key: x for key, x in settings.items() if key not in ("encoder", "use", "fit")}
    cls = getattr(nn, settings.get("encoder", "StructuralEncoder"))
    encoder = cls(int(data.num_nodes), int(data.num_relations), channels, **kwargs)
    fit(encoder.to(data.edge_index.device), data, **settings["fit"])
    rel_emb = encoder.rel_embedding().cpu() if isinstance(encoder, nn.TripleEncoder) else None
    return StructuralEmbedding(encoder.encode(data).cpu(), rel_emb, settings["use"] == "frozen")


def few(data: Data, seed: int, num_facts: int = NUM_FACTS) -> Data:
    r"""Returns a graph with some of its validation facts."""
    base = (data.val_mask & (data.edge_type < data.num_relations)).nonzero().view(-1)
    perm = torch.randperm(base.numel(), generator=torch.Generator().manual_seed(seed))
    out = copy.copy(data)
    out.val_mask = torch.zeros_like(data.val_mask)
    out.val_mask[base[perm[:num_facts].to(base.device)]] = True
    return out
