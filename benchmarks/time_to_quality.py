"""Minutes of a core until validation facts have an MRR, beside PyKEEN's 1-N training of the same
scorer: ComplEx of 512 numbers per entity, softmax cross-entropy, Adagrad, the cubes of embeddings
as regulariser.

    python benchmarks/time_to_quality.py --target 0.34

Ours compares a batch with 3,000 candidates, by the settings of `configs.py`. Theirs is the
`LCWATrainingLoop` with inverse relations, which compares it with all entities, by a weight of its
regulariser that is tried where training takes a minute (`--graph fb15k237-4k`). Both are evaluated
by `evaluate` after each epoch, which counts for neither. Theirs ends at the target or after
`--factor` times the minutes of ours. Lines hold both curves. Needs `pip install
torch_imf[benchmark]`.
"""

import argparse
import logging
from typing import Any

import torch
from clock import now
from configs import COMPLEX, Settings
from graphs import graph
from pykeen.losses import CrossEntropyLoss
from pykeen.models import ComplEx
from pykeen.regularizers import LpRegularizer
from pykeen.training import LCWATrainingLoop
from pykeen.training.callbacks import TrainingCallback
from pykeen_ranks import factory
from results import append
from torch import Tensor
from torch_geometric.data import Data

from torch_imf import KGE, evaluate, train
from torch_imf.training import make_loader, make_optimizers
from torch_imf.training.recipe import Recipe

Curve = list[list[float]]


class Course:
    """Minutes and MRR after each epoch, until one reaches the target or the time is over."""

    def __init__(self, name: str, data: Data, target: float, minutes: float = float("inf")) -> None:
        self.name, self.data, self.target, self.minutes = name, data, target, minutes
        self.curve: Curve = []
        self.spent, self.begin = 0.0, now()[1]

    def epoch(self, model: KGE) -> bool:
        """Takes down an epoch, and returns whether it is the last one."""
        self.spent += float(now()[1] - self.begin) / 60
        mrr = evaluate(model, self.data, "val")["mrr"]
        self.curve.append([round(self.spent, 3), round(mrr, 4)])
        print(f"{self.name}: {self.spent:.2f} min, MRR {mrr:.4f}", flush=True)
        self.begin = now()[1]
        return mrr >= self.target or self.spent > self.minutes


def ours(data: Data, settings: Settings, course: Course, epochs: int) -> None:
    recipe = Recipe("kge", settings)
    model, own = recipe.build(data), recipe.fit
    loader = make_loader(model, data, own["batch_size"])
    rates = {key: own[key] for key in ("optimizer", "lr", "dense_lr")}
    optimizers = make_optimizers(model, **rates)
    course.begin = now()[1]
    for epoch in range(1, epochs + 1):
        train(model, loader, optimizers, own["precision"], epoch=epoch)
        if course.epoch(model):
            break


class Enough(Exception):
    """Ends the training of PyKEEN."""


class Theirs(TrainingCallback):
    """Shows the model of PyKEEN to a course, as one of ours."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course = course

    def post_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.course.epoch(twin(self.model, self.course.data)):
            raise Enough


def twin(model: ComplEx, data: Data) -> KGE:
    """The model of ours that scores as one of PyKEEN, whose relations and inverses take turns."""
    emb, rel = (
        torch.view_as_real(x[0](indices=None).detach()).transpose(1, 2).flatten(1)
        for x in (model.entity_representations, model.relation_representations)
    )
    out = KGE(data.num_nodes, data.num_relations, emb.size(1), scorer="complex")
    with torch.no_grad():
        out.node_emb.weight.copy_(emb)
        out.rel_emb.weight.copy_(torch.cat([rel[::2], rel[1::2]]))
    return out


def small(x: Tensor) -> Tensor:
    """Where training starts: from a deviation of one, its default, it learns next to nothing."""
    return torch.nn.init.normal_(x, std=0.02)


def same_scores(model: ComplEx, data: Data) -> None:
    """Fails if a twin scores otherwise."""
    head, rel = torch.arange(8), torch.arange(8) % data.num_relations
    expected = model.score_t(torch.stack([head, 2 * rel], dim=1))
    found = twin(model, data).predict(head, rel)
    assert torch.allclose(found, expected, atol=1e-4), (found - expected).abs().max()


def theirs(data: Data, settings: Settings, course: Course, args: argparse.Namespace) -> None:
    facts = factory(data, data.train_mask, create_inverse_triples=True)
    regularizer = None
    if args.their_regularizer:
        regularizer = LpRegularizer(weight=args.their_regularizer, p=3.0, apply_only_once=False)
    model = ComplEx(
        triples_factory=facts,
        embedding_dim=settings["hidden_channels"] // 2,
        entity_initializer=small,
        relation_initializer=small,
        loss=CrossEntropyLoss(),
        regularizer=regularizer,
    )
    with torch.no_grad():
        same_scores(model, data)
    loop = LCWATrainingLoop(
        model=model,
        triples_factory=facts,
        optimizer=torch.optim.Adagrad(model.parameters(), lr=args.their_lr),
        automatic_memory_optimization=False,
    )
    sizes = {"num_epochs": 1000, "batch_size": settings["batch_size"]}
    course.begin = now()[1]
    try:
        loop.train(facts, **sizes, callbacks=Theirs(course), use_tqdm=False)
    except Enough:
        pass


def reached(curve: Curve, target: float) -> float | None:
    """The minutes until the target."""
    return next((minutes for minutes, mrr in curve if mrr >= target), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--graph", default="fb15k237")
    parser.add_argument("--target", type=float, default=0.34)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--factor", type=float, default=20.0)
    parser.add_argument("--their_lr", type=float, default=0.1)
    parser.add_argument("--their_regularizer", type=float, default=1e-4, help="the weight of cubes")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    data = graph(args.graph)
    given = {**COMPLEX["fb15k237"], "precision": args.precision}
    start = now()
    torch.manual_seed(args.seed)
    course = Course("ours", data, args.target)
    ours(data, given, course, args.epochs)
    torch.manual_seed(args.seed)
    limit = args.factor * course.spent
    other = Course("PyKEEN", data, args.target, limit)
    theirs(data, given, other, args)
    minutes = reached(course.curve, args.target)
    metrics: dict[str, Any] = {
        **{"minutes": minutes, "mrr": course.curve[-1][1]},
        **{"pykeen_minutes": round(other.spent, 2), "pykeen_mrr": other.curve[-1][1]},
    }
    if minutes is not None:  # At least, if theirs has not come there.
        metrics["times_faster"] = round(other.spent / minutes, 1)
    curves = {"ours": course.curve, "pykeen": other.curve}
    seconds = float((now() - start)[0])
    append("time_to_quality", args.seed, seconds, metrics, settings=vars(args), curves=curves)
    print(metrics)
