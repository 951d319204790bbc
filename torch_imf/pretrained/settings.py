import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch.nn import Embedding, Module

from torch_imf import registry
from torch_imf.nn.fusion import StackFusion
from torch_imf.nn.losses import OneToN as OneToNLoss
from torch_imf.nn.losses import Sampled as SampledLoss
from torch_imf.nn.models import IKRL, IMF, RSME, Adversary, MultimodalKGE
from torch_imf.nn.scorer import ContextualRelationalScorer, ConvE, CrossModal

#: What can be made again from its settings.
CLASSES: dict[str, type[Module]] = {
    "OneToNLoss": OneToNLoss,
    **{
        cls.__name__: cls
        for kind in ("fusion", "scorer", "model")
        for cls in registry.classes(kind).values()
    },
    "StackFusion": StackFusion,
    "CrossModal": CrossModal,
    "Adversary": Adversary,
    "SampledLoss": SampledLoss,
}


def describe(module: Module, classes: Sequence[type[Module]] = ()) -> dict[str, Any]:
    r"""Returns the settings that a module was made with, as plain values: its
    class, and the arguments of its constructor. An argument is the attribute
    of its name, apart from the few that :obj:`ARGUMENTS` knows how to find.

    Args:
        module (torch.nn.Module): A model, or a part of one.
        classes (list[type], optional): Classes to know beside those of the
            package. (default: :obj:`()`)

    Raises:
        ValueError: If the class is unknown, or an argument cannot be found.
    """
    cls = type(module)
    if known(classes).get(cls.__name__) is not cls:
        raise ValueError(
            f"A '{cls.__name__}' cannot be made again from its settings (known: "
            f"{sorted(known(classes))}). If it is a class of yours, pass it in 'classes'"
        )
    found: dict[str, Any] = {}
    for base, arguments in ARGUMENTS.items():
        found |= arguments(module) if isinstance(module, base) else {}
    out: dict[str, Any] = {"class": cls.__name__}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"The settings of '{cls.__name__}' cannot be read off '*{name}'")
        if name not in found and not hasattr(module, name):
            raise ValueError(
                f"A '{cls.__name__}' has no attribute '{name}' to read this argument of its "
                f"constructor from. Keep it as 'self.{name}'"
            )
        out[name] = _plain(found.get(name, getattr(module, name, None)), name, cls, classes)
    return out


def make(description: dict[str, Any], classes: Sequence[type[Module]] = (), **kwargs: Any) -> Any:
    r"""Makes a module from its settings (:meth:`describe`), in which
    :obj:`kwargs` take the place of arguments that are tensors.

    Raises:
        ValueError: If the class is unknown, or does not take such settings.
    """
    name = description["class"]
    if name not in known(classes):
        raise ValueError(
            f"There is no class '{name}' (known: {sorted(known(classes))}). If it is a class of "
            f"yours, pass it in 'classes'"
        )
    arguments = {
        key: make(value, classes) if _is_description(value) else value
        for key, value in description.items()
        if key != "class"
    }
    try:
        return known(classes)[name](**{**arguments, **kwargs})
    except Exception as error:  # Settings of a file may be anything.
        raise ValueError(f"'{name}' does not take these settings ({error})") from error


def known(classes: Sequence[type[Module]] = ()) -> dict[str, type[Module]]:
    r"""Returns all classes that can be made again, by name."""
    return {**CLASSES, **{cls.__name__: cls for cls in classes}}


def _is_description(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class"), str)


def _plain(value: Any, name: str, cls: type, classes: Sequence[type[Module]]) -> Any:
    if isinstance(value, bool | int | float | str | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(x, name, cls, classes) for x in value]
    if isinstance(value, dict):
        return {str(key): _plain(x, name, cls, classes) for key, x in value.items()}
    if isinstance(value, Module):
        is_dropout = type(value).__name__.startswith("Dropout")
        return value.p if is_dropout else describe(value, classes)
    raise ValueError(
        f"The argument '{name}' of '{cls.__name__}' is no plain value (got {type(value)})"
    )


def _of_model(model: Any) -> dict[str, Any]:
    rel_emb, loss = model.rel_emb, model.loss_fn
    shared = isinstance(rel_emb, Embedding)
    table = rel_emb if shared else rel_emb[model.views[0]]
    out = {
        # Tensors are no settings: parameters hold what has become of them.
        "x_dict": list(getattr(model, "features", {})),
        "mask_dict": None,
        "rel_emb": None,
        "scorer": model.scorers[model.views[0]],
        "rel_channels": table.embedding_dim,
        "shared_relations": shared,
        "tie_inverses": table.num_embeddings == model.num_relations,
        "loss": loss,
        "label_smoothing": 0.0,
        "regularization": 0.0,
    }
    by_name = model.decision is None or model.decision.sigmoid == (
        getattr(loss, "loss", None) == "bce"
    )
    if isinstance(loss, OneToNLoss) and by_name:
        # Where a model takes no label smoothing, a loss with it was given as an object:
        takes = inspect.signature(type(model)).parameters
        if "label_smoothing" in takes or loss.label_smoothing == 0:
            names = ("loss", "label_smoothing", "regularization")
            out |= {name: getattr(loss, name) for name in names}
    return out


def _of_imf(model: Any) -> dict[str, Any]:
    decision = model.decision
    fixed = decision is not None and not decision.learned
    weight = dict(zip(decision.views, decision.init.tolist(), strict=True)) if fixed else None
    # A module that gives structural embeddings has given them, and has no part in predictions:
    out = {"decision_weight": weight, "struct": None}
    return out if model.fusion is not None else {**out, "fusion": "imf"}


def _of_ikrl(model: Any) -> dict[str, Any]:
    translation = model.scorers["fused"].scorer
    return {"margin": translation.margin, "p_norm": translation.p_norm}


def _of_rsme(model: Any) -> dict[str, Any]:
    return {"alpha": float(model.alpha.mean()), "gate": None}  # They are kept as tensors.


def _of_sampled_loss(loss: Any) -> dict[str, Any]:
    if isinstance(loss.sampler, str):
        return {}
    # A sampler holds facts, and has no part in predictions: what is kept is its name.
    num_negatives = getattr(loss.sampler, "num_negatives", loss.num_negatives)
    return {"sampler": type(loss.sampler).__name__, "num_negatives": num_negatives}


def _of_contextual(scorer: Any) -> dict[str, Any]:
    return {
        "similarity": "cosine" if scorer.cosine else "dot",
        "learn_scale": scorer.log_scale is None or scorer.log_scale.requires_grad,
        "logit_bias": scorer.init_logit_bias,
        "batch_norm": scorer.norms is not None,
    }


#: Arguments that are no attributes of the same name, by class; later ones come first.
ARGUMENTS: dict[type[Module], Callable[[Any], dict[str, Any]]] = {
    MultimodalKGE: _of_model,
    IMF: _of_imf,
    IKRL: _of_ikrl,
    RSME: _of_rsme,
    SampledLoss: _of_sampled_loss,
    ContextualRelationalScorer: _of_contextual,
    ConvE: lambda scorer: {"kernel_size": scorer.conv.kernel_size[0]},
}
