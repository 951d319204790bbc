import difflib
import functools
import inspect
import operator
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from torch import Tensor
from torch.nn import Module
from torch_geometric.resolver import normalize_string

from torch_imf import registry
from torch_imf.docstring import argument_help
from torch_imf.nn.fusion import Fusion
from torch_imf.nn.losses import Sampled as SampledLoss
from torch_imf.nn.models import Adversary, MultimodalKGE
from torch_imf.nn.scorer import Scorer

#: The classes of each part of a model, by the name to give.
PARTS: dict[type[Module], dict[str, type[Module]]] = {
    Scorer: registry.classes("scorer"),
    Fusion: registry.classes("fusion"),
    SampledLoss: {"sampled": SampledLoss},
    Adversary: {"adversary": Adversary},
}
#: What a part's constructor takes from the model, and a model's from the graph.
SIZES = ("channels", "rel_channels", "in_channels", "out_channels")
FACTS = ("num_nodes", "num_relations", "x_dict", "mask_dict")
#: Losses without settings of their own.
LOSSES = ("bce", "ce")
#: What else is chosen by name. Other samplers need to be objects.
CHOICES = {"loss": (*LOSSES, "sampled"), "loss.sampler": ("bernoulli", "shared", "uniform")}


class Setting(NamedTuple):
    r"""What can be said about a model in plain values (numbers, names, and
    lists and dictionaries of them).
    """

    #: Its name, its default, and the types of its plain values.
    parameter: inspect.Parameter
    #: What the docstring of the class says about it.
    help: str
    #: The names to choose of, if there is a list.
    choices: tuple[str, ...] = ()


def describe_settings(
    model: str | type[MultimodalKGE], settings: Mapping[str, Any] | None = None
) -> dict[str, Setting]:
    r"""Lists the settings of a model that :meth:`build_model` takes, those of
    its parts included, *e.g.*, :obj:`"scorer.dropout"`. Arguments that only
    take tensors or modules are left out.

    Args:
        model (str or type): The name of a model, or its class.
        settings (dict, optional): Some settings. Of these, the parts that are
            chosen tell what else there is to set. (default: :obj:`None`)

    Raises:
        ValueError: If there is no such model or part.
    """
    cls, out = model_class(model), {}
    parts = model_parts(cls, settings or {})
    for prefix, owner in {"": cls, **{f"{name}.": part for name, part in parts.items()}}.items():
        if owner is None:
            continue
        texts, parameters = argument_help(owner), inspect.signature(owner, eval_str=True).parameters
        for name, parameter in plain_parameters(owner).items():
            key = prefix + name
            base = part_base(parameters[name])
            choices = CHOICES.get(
                key, tuple(sorted(PARTS[base])) if base in (Scorer, Fusion) else ()
            )
            out[key] = Setting(parameter, texts.get(name, ""), choices)
    return out


def model_class(model: str | type[MultimodalKGE]) -> type[MultimodalKGE]:
    r"""Returns the class of a model, given by name or itself."""
    if isinstance(model, type) and issubclass(model, MultimodalKGE):
        return model
    return registry.lookup("model", model)


def check_settings(cls: type[MultimodalKGE], settings: Mapping[str, Any]) -> None:
    r"""Raises a :class:`ValueError` if a model does not take a setting, or not
    this kind of value.
    """
    described = describe_settings(cls, settings)
    parameters = inspect.signature(cls).parameters
    known = {*described, *(set(parameters) - set(FACTS))}
    for key in settings:
        if key in known:
            continue
        part = key.split(".")[0]
        default = described[part].parameter.default if part in described else None
        near = difflib.get_close_matches(key, known, n=1)
        raise ValueError(
            f"{cls.__name__} has no setting '{key}'"
            + (f" where '{part}' is {settings.get(part, default)!r}" if part != key else "")
            + (f". Did you mean '{near[0]}'?" if near else ".")
            + f" It takes {sorted(known)}"
        )
    for key, setting in described.items():
        if setting.parameter.default is setting.parameter.empty and key not in settings:
            raise ValueError(f"{cls.__name__} needs a value for '{key}'")
        is_default = key in parameters and settings.get(key, key) is parameters[key].default
        if key in settings and not is_default:
            check_value(key, settings[key], setting)


def check_value(key: str, value: Any, setting: Setting) -> None:
    r"""Raises a :class:`ValueError` if a value is of a wrong type, or none of
    the choices.
    """
    types = [get_origin(x) or x for x in union_types(setting.parameter.annotation)]
    allowed = (*types, *([int] if float in types else []), *([tuple] if list in types else []))
    if isinstance(value, Tensor | Module) or inspect.Parameter.empty in types:
        return
    # Either is an instance of other types:
    odd = [x for x in (bool, str) if isinstance(value, x) and x not in types]
    if not isinstance(value, allowed) or odd:
        expected = " or ".join(x.__name__ for x in types if x is not NoneType)
        raise ValueError(f"'{key}' needs to be of type {expected} (got {value!r})")
    # The names of parts have been looked up already.
    if "." in key and setting.choices and value not in setting.choices:
        raise ValueError(f"Invalid '{key}' (got '{value}', choose of {list(setting.choices)})")


def model_parts(
    cls: type[MultimodalKGE], settings: Mapping[str, Any]
) -> dict[str, type[Module] | None]:
    r"""Returns the class of each part that a model takes by name, or
    :obj:`None` where there is nothing to set: in a loss that has no settings,
    and in a part that is absent or given as an object.
    """
    out: dict[str, type[Module] | None] = {}
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        base, value = part_base(parameter), settings.get(name, parameter.default)
        if base is SampledLoss:
            value = "sampled" if value is None else value
        if base is Adversary:
            out[name] = Adversary if value is None or value is True else None
        elif base is not None:
            is_part = isinstance(value, str) and not (base is SampledLoss and value in LOSSES)
            out[name] = part_class(name, value, base) if is_part else None
    return out


def part_class(name: str, value: str, base: type[Module]) -> type[Module]:
    r"""Returns the class of a part by name."""
    known = {normalize_string(cls.__name__): cls for cls in PARTS[base].values()} | PARTS[base]
    if normalize_string(value) not in known:
        choices = CHOICES.get(name, sorted(PARTS[base]))
        raise ValueError(f"Invalid '{name}' (got '{value}', choose of {list(choices)})")
    return known[normalize_string(value)]


def part_base(parameter: inspect.Parameter) -> type[Module] | None:
    r"""Returns the base class of the part that an argument takes, if any."""
    return next((x for x in union_types(parameter.annotation) if x in PARTS), None)


def plain_parameters(cls: type[Module]) -> dict[str, inspect.Parameter]:
    r"""Returns the arguments of a constructor that take plain values."""
    out = {}
    filled = FACTS if issubclass(cls, MultimodalKGE) else SIZES
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        base = part_base(parameter)
        types = [x for x in union_types(parameter.annotation) if not is_object(x)]
        if base is Adversary:
            parameter = parameter.replace(annotation=bool, default=False)
        elif base is SampledLoss and parameter.default is None:
            parameter = parameter.replace(annotation=str, default="sampled")
        elif set(types) <= {NoneType}:
            continue
        else:
            parameter = parameter.replace(annotation=functools.reduce(operator.or_, types))
        if name not in filled and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            out[name] = parameter
    return out


def union_types(annotation: Any) -> tuple[Any, ...]:
    r"""Returns the types that an annotation joins."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def is_object(annotation: Any) -> bool:
    r"""Tells whether values of a type are no plain values."""
    return isinstance(annotation, type) and issubclass(annotation, Tensor | Module)
