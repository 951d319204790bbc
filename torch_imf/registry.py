r"""What there is in the package, by name, imported when asked for; the arguments that each part was
made with, recorded once; and models that are made of settings.
"""

import ast
import difflib
import functools
import inspect
import math
import numbers
import operator
import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import lazy_loader

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from torch_imf.nn.models import MultimodalKGE

Cls = TypeVar("Cls", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

#: What can be chosen by name: the package that exports it, and the base class of all of them.
KINDS: dict[str, tuple[str, str]] = {
    "model": ("nn.models", "MultimodalKGE"),
    "scorer": ("nn.scorer", "Scorer"),
    "fusion": ("nn.fusion", "Fusion"),
    "loss": ("nn.losses", "Loss"),
    "regularizer": ("nn.losses", "Regularizer"),
    "sampler": ("sampler", "Sampler"),
    "view": ("nn.views", "View"),
    "encoder": ("encoders", "Encoder"),
    "dataset": ("datasets", "KGDataset"),
}

_registered: list[type] = []


# Packages that import what their stubs list, once it is asked for ###############################


def attach(
    package: str, file: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    r"""Returns :obj:`__getattr__`, :obj:`__dir__` and :obj:`__all__` of a package that imports what
    its stub (:obj:`__init__.pyi`) lists once somebody asks for it, given its :obj:`__name__` and
    :obj:`__file__`. (:obj:`lazy_loader.attach_stub` knows no :obj:`import *`.)
    """
    return lazy_loader.attach(package, *_exports(Path(file).parent))


def _exports(folder: Path) -> tuple[set[str], dict[str, list[str]]]:
    # The modules that the stub of a package exports, and the names of each.
    submodules: set[str] = set()
    attributes: dict[str, list[str]] = {}
    for node in ast.parse((folder / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names, module = [alias.name for alias in node.names], node.module
            if module is None:
                submodules.update(names)
            elif names == ["*"]:
                inner = _exports(folder.joinpath(*module.split(".")))[1]
                attributes |= {f"{module}.{key}": values for key, values in inner.items()}
            else:
                attributes.setdefault(module, []).extend(names)
    return submodules, attributes


# Classes by name ################################################################################


def register(cls: Cls) -> Cls:
    r"""Adds a class of another package to what can be chosen by name, as a decorator. It needs to
    derive from a base class of :obj:`KINDS`. Packages that are installed may name their classes as
    entry points of the group :obj:`"torch_imf"` instead.

    Raises:
        ValueError: If it derives from no base class, or has the name of a class of this package.
    """
    kind = _kind(cls)
    if kind is None:
        bases = [base for _, base in KINDS.values()]
        raise ValueError(f"'{cls.__name__}' needs to derive from one of {bases}")
    known = classes(kind)
    for name in _names(cls, kind):
        if name in known and ":" not in class_name(known[name]):
            raise ValueError(f"There is a {kind} '{name}' already. Rename '{cls.__name__}'")
    # One that a notebook has defined again takes the place of the old one:
    _registered[:] = [x for x in _registered if class_name(x) != class_name(cls)] + [cls]
    return cls


def classes(kind: str) -> dict[str, type]:
    r"""Returns all classes of a kind by the name to choose them by: those of the package, those
    that were registered, and those of entry points.
    """
    module, base = import_module(f"torch_imf.{KINDS[kind][0]}"), _base_class(kind)
    own = [getattr(module, name) for name in module.__all__]
    out: dict[str, type] = {}
    for cls in [*own, *_registered, *_loaded_entry_points()]:
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base:
            out = dict.fromkeys(_names(cls, kind), cls) | out  # The first one of a name.
    return out


def class_names(kind: str) -> list[str]:
    r"""Returns the names of all classes of a kind."""
    return list(dict.fromkeys(cls.__name__ for cls in classes(kind).values()))


def class_name(cls: type) -> str:
    r"""Returns the name of a class, with its module if it is of another package, as in
    :obj:`"my_package:Twist"`.
    """
    own = cls.__module__.partition(".")[0] == "torch_imf"
    return cls.__name__ if own else f"{cls.__module__}:{cls.__qualname__}"


def lookup(kind: str, query: str | type) -> type:
    r"""Returns a class of a kind, given by its name (whatever its case, with or without dashes), as
    :obj:`"my_package:Twist"`, or as itself.

    Raises:
        ValueError: If there is none of this name. The message names the nearest.
    """
    return _find(kind, query)[0]


def resolve(kind: str, query: Any, *args: Any, **kwargs: Any) -> Any:
    r"""Returns a part of a kind: an object as it is, and a class, or the name of one, called on the
    given arguments. Raises what :meth:`lookup` does.
    """
    if isinstance(query, str | type):
        cls, preset = _find(kind, query)
        part = cls(*args, **{**preset, **kwargs})
    elif isinstance(query, _base_class(kind)):
        part = query
    else:
        raise ValueError(f"Expected a {kind}, its class or its name (got {query!r})")
    maker = _maker.get()
    if maker is not None and isinstance(maker.init_args.get(kind), str):
        maker.init_args[kind] = describe(part)  # What has become of a name.
    return part


def import_class(name: str, kind: str = "class") -> type:
    r"""Imports what a user names as :obj:`"my_package:Twist"`, or raises a :class:`ValueError`."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"The {kind} '{name}' cannot be imported ({error})") from error


def _find(kind: str, query: str | type) -> tuple[type, dict[str, Any]]:
    # The class, and the arguments that its name stands for.
    cls = query
    if isinstance(query, str) and ":" in query:
        cls = import_class(query, kind)
    if not isinstance(cls, str):
        base = _base_class(kind)
        if isinstance(cls, type) and issubclass(cls, base):
            return cls, {}
        if not isinstance(cls, type):
            raise ValueError(f"Expected a {kind}, by its name or class (got {query!r:.80})")
        raise ValueError(f"'{query}' is no {kind}: it does not derive from '{base.__name__}'")
    known = classes(kind)
    for name, x in [*known.items(), *((x.__name__, x) for x in known.values())]:
        if _simple(name) == _simple(cls):
            return x, _names(x, kind).get(name, {})
    names = {_simple(name): f" Did you mean '{name}'?" for name in known}
    hint = "".join(names[x] for x in difflib.get_close_matches(_simple(cls), names, n=1))
    raise ValueError(f"There is no {kind} '{query}'.{hint} Choose of {sorted(known)}")


def _simple(name: str) -> str:
    return re.sub("[-_ ]", "", name.lower())


def _names(cls: type, kind: str) -> dict[str, dict[str, Any]]:
    # Its own attribute `aliases`: each name with the arguments that it stands for (none for a class
    # that is not chosen by name). If there is none, it is that of the class.
    name = cls.__name__
    short = name if kind == "dataset" else name.removesuffix(KINDS[kind][1]).lower()
    return cls.__dict__.get("aliases", {short: {}})


def _base_class(kind: str) -> type:
    package, name = KINDS[kind]
    return getattr(import_module(f"torch_imf.{package}"), name)


def _kind(cls: type) -> str | None:
    # By name, as base classes would need to be imported to be compared.
    kinds = {f"torch_imf.{package}.{name}": kind for kind, (package, name) in KINDS.items()}
    bases = (f"{x.__module__.rpartition('.')[0]}.{x.__name__}" for x in cls.__mro__)
    return next((kinds[base] for base in bases if base in kinds), None)


@functools.cache
def _loaded_entry_points() -> list[type]:
    from importlib.metadata import entry_points  # Which takes its time.

    from torch_imf.io import warn

    out = []
    for entry in entry_points(group="torch_imf"):
        try:
            out.append(entry.load())
        except Exception as error:  # Whatever another package does, this one is of use.
            warn(f"'{entry.value}' cannot be imported ({error})")
    return out


# The arguments that parts were made with ########################################################


_maker: ContextVar["Recorded | None"] = ContextVar("maker", default=None)
#: What is no plain value, and so no setting.
_OMITTED: Any = object()


class Recorded:
    r"""A base class of parts that know the arguments of their constructor: :obj:`init_args`, by
    name, defaults included, as plain values. Parts among them, also those given by name, are as
    :meth:`describe` has them. Of a dictionary of tensors there are its keys; other tensors and
    objects are left out, so that nothing is kept alive.
    """

    init_args: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" not in cls.__dict__:
            return
        init = cls.__dict__["__init__"]
        signature = inspect.signature(init)

        @functools.wraps(init)
        def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
            if "init_args" in self.__dict__:  # By the class of the object, which comes first.
                return init(self, *args, **kwargs)
            bound = signature.bind(self, *args, **kwargs)
            for name, parameter in _parameters(cast(Any, cls)).items():
                if name in bound.arguments:
                    value = bound.arguments[name]
                    check_type(f"{type(self).__name__}: '{name}'", value, parameter)
            bound.apply_defaults()
            values = {name: _plain(x) for name, x in list(bound.arguments.items())[1:]}
            self.__dict__["init_args"] = {k: x for k, x in values.items() if x is not _OMITTED}
            token = _maker.set(self)
            try:
                init(self, *args, **kwargs)
            finally:
                _maker.reset(token)

        cls.__init__ = recorded  # type: ignore[method-assign]


def checked(function: Function) -> Function:
    r"""Lets a function check the types of its arguments by their annotations, as constructors of
    parts do, but for :obj:`model` and :obj:`data`. Scalars of NumPy and PyTorch are numbers.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, parameter in _parameters(function).items():
            if name in ("model", "data") or name not in bound.arguments:
                continue
            value, annotation = bound.arguments[name], parameter.annotation
            is_numpy = type(value).__module__ == "numpy"  # Which is no number to JSON.
            if getattr(value, "ndim", None) == 0 and (is_numpy or not _fits(value, annotation)):
                bound.arguments[name] = value = value.item()
            check_type(f"'{name}'", value, parameter)
        return function(*bound.args, **bound.kwargs)

    return cast(Function, call)


def describe(module: object) -> dict[str, Any]:
    r"""Returns what a module is made of: the name of its class as :obj:`"class"`, and its
    :obj:`init_args`. All are plain values that JSON knows, nested by parts.

    Raises:
        ValueError: If it is not :class:`Recorded`.
    """
    if not isinstance(module, Recorded):
        raise ValueError(f"A '{type(module).__name__}' does not derive from a class of torch_imf")
    return {"class": class_name(type(module)), **module.init_args}


def make(description: Mapping[str, Any], classes: Sequence[type] = (), **kwargs: Any) -> Any:
    r"""Makes what :meth:`describe` has described. Only classes of this package are made, those that
    were registered, those of entry points, and those given; none is imported because a description
    names it.

    Args:
        description (dict): The description.
        classes (list[type], optional): Further classes. (default: :obj:`()`)
        **kwargs (optional): Arguments in place of described ones, or that no description has, such
            as tensors.

    Raises:
        ValueError: If a class is unknown, or does not take such arguments.
    """
    cls = _known_class(description["class"], classes)
    signature, known = inspect.signature(cls), _arguments(cls)
    arguments = {
        name: _made(x, classes, name in known and known[name].base is not None)
        for name, x in description.items()
        if name != "class" and name not in kwargs
    } | kwargs
    unknown = sorted(set(arguments) - set(signature.parameters))
    bound = inspect.BoundArguments(signature, arguments)  # type: ignore[arg-type]
    try:
        if unknown:
            raise ValueError(f"unknown are {unknown}")
        return cls(*bound.args, **bound.kwargs)
    except Exception as error:  # Those of a file may be anything.
        raise ValueError(f"'{cls.__name__}' does not take these settings ({error})") from error


def _known_class(name: str, allowed: Sequence[type]) -> type:
    modules = [import_module(f"torch_imf.{package}") for package in ("nn", "sampler", "encoders")]
    own = [getattr(module, name) for module in modules if name in module.__all__]
    for cls in [*allowed, *_registered, *_loaded_entry_points(), *own]:
        # One that is given may have moved to another module:
        moved = cls in allowed and name.partition(":")[2] == cls.__qualname__
        if moved or class_name(cls) == name:
            return cls
    raise ValueError(f"There is no class '{name}'. If it is one of yours, pass it in 'classes'")


def _plain(x: Any) -> Any:
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, numbers.Real):  # Of NumPy.
        return int(x) if isinstance(x, numbers.Integral) else float(x)
    if isinstance(x, os.PathLike):
        return os.fspath(x)
    if isinstance(x, Recorded):
        return describe(x)
    if isinstance(x, type) and issubclass(x, Recorded):
        return class_name(x)
    if isinstance(x, list | tuple):
        values = [_plain(value) for value in x]
        return _OMITTED if any(value is _OMITTED for value in values) else values
    if isinstance(x, dict):
        pairs = {str(key): _plain(value) for key, value in x.items()}
        return list(pairs) if any(value is _OMITTED for value in pairs.values()) else pairs
    return _OMITTED


def _made(x: Any, allowed: Sequence[type], is_part: bool) -> Any:
    if isinstance(x, dict) and isinstance(x.get("class"), str):
        return make(x, allowed)
    if isinstance(x, list):
        return [_made(value, allowed, is_part) for value in x]
    if isinstance(x, dict):
        return {key: _made(value, allowed, is_part) for key, value in x.items()}
    # A class, which `lookup` would import:
    return _known_class(x, allowed) if is_part and isinstance(x, str) and ":" in x else x


# Models of settings #############################################################################

#: Arguments that a model takes from the graph, and a part from its model.
FACTS = ("num_nodes", "num_relations", "x_dict", "mask_dict")
SIZES = ("channels", "rel_channels", "in_channels", "out_channels")
#: The types of plain values.
PLAIN: set[Any] = {bool, int, float, str, NoneType, list, dict, tuple, Sequence, Mapping}
PLAIN |= {Literal, Any, inspect.Parameter.empty}
#: What is taken for a number or a container of a type, besides that type.
ALIKE: dict[Any, tuple[type, ...]] = {
    **{int: (numbers.Integral,), float: (numbers.Real,), dict: (Mapping,)},
    **dict.fromkeys((list, tuple, Sequence), (list, tuple)),
}
#: What arguments are called that are numbers of things, or sizes.
COUNT = re.compile(
    r"(?<!\w)((num|max)_\w+|(\w+_)?(channels|every|size)|epochs|height|k|ngrams|patience|rank|trials"
    r"|width)'$"
)


class Setting(NamedTuple):
    r"""An argument of a model or a part: its :obj:`parameter`, annotated with the types of its
    plain values alone (numbers, names, and lists and dictionaries of them; :obj:`NoneType` if it
    takes none), and the :obj:`base` class of the part that it takes, if any.
    """

    parameter: inspect.Parameter
    base: type | None = None

    @property
    def is_plain(self) -> bool:
        r"""Whether it takes plain values."""
        return self.parameter.annotation is not NoneType

    @property
    def choices(self) -> tuple[str, ...]:
        r"""The names to choose of, if it is a part."""
        base = self.base or object
        kind = _kind(base)
        known = {} if kind is None else classes(kind)
        found = {name: cls for name, cls in known.items() if issubclass(cls, base)}
        return tuple(sorted(name for name, cls in found.items() if _is_named(cls)))


def describe_settings(
    model: "str | type[MultimodalKGE]", settings: Mapping[str, Any] | None = None
) -> dict[str, Setting]:
    r"""Lists the settings of a model that :meth:`build_model` takes, those of its parts included,
    *e.g.*, :obj:`"scorer.dropout"`. Arguments that only take tensors or modules are left out.

    Args:
        model (str or type): The name of a model, or its class.
        settings (dict, optional): Some settings. Of these, the parts that are chosen tell what else
            there is to set. (default: :obj:`None`)

    Raises:
        ValueError: If there is no such model or part.
    """
    known = _walk(lookup("model", model), settings or {})
    return {key: setting for key, setting in known if setting.is_plain}


def build_model(
    model: "str | type[MultimodalKGE]", data: "Data", /, **settings: Any
) -> "MultimodalKGE":
    r"""Builds a model for a graph from flat settings: arguments of its constructor, among which
    parts go by name, and arguments of these parts, with a dot:

    .. code-block:: python

        settings = {"loss.sampler": "shared", "adversary.weight": 0.01}
        build_model("adamf", data, hidden_channels=64, scorer="rotate", loss="sampled", **settings)

    A part that is not named is the one that the model has by default; there is an adversary if
    :obj:`adversary=True` or one of its arguments is given. Sizes, features and masks are those of
    the graph.

    Args:
        model (str or type): The name of a model, or its class.
        data (Data): The graph.
        **settings: The settings (:meth:`describe_settings` lists them).

    Raises:
        ValueError: If there is no such model, setting or part, or the model refuses a value.
    """
    from torch_imf.data import modalities
    from torch_imf.data.graph import check_graph
    from torch_imf.nn import IMF

    model_cls = lookup("model", model)
    known = dict(_walk(model_cls, settings))
    check_settings(model_cls, {key: [value] for key, value in settings.items()}, known)
    check_graph(data)
    num_nodes, x_dict, mask_dict = int(data.num_nodes), *modalities(data)
    size = settings["hidden_channels"]
    names = [*(["struct"] if settings.get("struct", True) is not False else []), *x_dict]
    values = (size, settings.get("rel_channels"), dict.fromkeys(names, size), size)
    given: dict[str, Any] = dict(zip(SIZES, values, strict=True))
    if issubclass(model_cls, IMF):
        given["logit_bias"] = -math.log(max(num_nodes, 2))  # As it starts its own scorer.
    for key, setting in reversed(known.items()):  # Parts of parts come before these.
        part, preset = _part(key, setting, settings)
        own = {x: settings.pop(x) for x in list(settings) if x.startswith(f"{key}.")}
        if part is not None and own:
            arguments = {name: x for name, x in given.items() if name in _arguments(part)} | preset
            arguments |= {x.removeprefix(f"{key}."): value for x, value in own.items()}
            settings[key] = part(**arguments)
    facts = (num_nodes, int(data.num_relations), x_dict, mask_dict)
    taken = {k: x for k, x in zip(FACTS, facts, strict=True) if k in _arguments(model_cls)}
    return model_cls(**taken, **settings)


def union_types(annotation: Any) -> tuple[Any, ...]:
    r"""Returns the types that an annotation joins."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def check_settings(
    cls: type, options: Mapping[str, Sequence[Any]], known: Mapping[str, Setting]
) -> None:
    r"""Raises a :class:`ValueError` if one of the settings to try, given with their values, is not
    known or of another type, or one that is needed is not among them.
    """
    for key in [key for key in options if key not in known]:
        text = f"{cls.__name__} has no setting '{key}'"
        for part in [x for x in known if key.startswith(f"{x}.")][-1:]:
            values = options.get(part, [known[part].parameter.default])
            text += f" where '{part}' is {' or '.join(map(repr, values))}"
        near = [f" Did you mean '{x}'?" for x in difflib.get_close_matches(key, known, n=1)]
        raise ValueError(f"{text}.{''.join(near)} It takes {sorted(known)}")
    for key, setting in known.items():
        if key not in options and setting.parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{cls.__name__} needs a value for '{key}'")
        for value in options.get(key, ()) if setting.is_plain else ():
            # What is not plain is left to the class:
            if _plain(value) is not _OMITTED and not isinstance(value, Recorded | type):
                check_type(f"'{key}'", value, setting.parameter)


def check_type(name: str, value: Any, parameter: inspect.Parameter) -> None:
    r"""Raises a :class:`ValueError` if the value of an argument does not fit its annotation, or its
    name: numbers of things and sizes are positive, unless they are zero by default, weights cannot
    be negative, and a dropout is in :obj:`[0, 1)`.
    """
    annotation = parameter.annotation
    if not _fits(value, annotation):
        expected = re.sub(r"(\w+\.)+", "", inspect.formatannotation(annotation))
        raise ValueError(f"{name} needs to be of type {expected} (got {value!r:.80})")
    is_number = isinstance(value, numbers.Real)
    is_order = name.endswith("'p_norm'") and value == math.inf  # That of the maximum norm.
    if is_number and not (-(2**63) <= value < 2**63 or is_order):
        raise ValueError(f"{name} needs to be finite and below 2**63 (got {value!r:.80})")
    if is_number and COUNT.search(name) and value < 1 and value != parameter.default:
        raise ValueError(f"{name} needs to be positive (got {value!r})")
    if name.endswith("weight'") and is_number and value < 0:
        raise ValueError(f"{name} cannot be negative (got {value!r})")
    if name.endswith("dropout'") and is_number and not 0 <= value < 1:
        raise ValueError(f"{name} needs to be in [0, 1) (got {value!r})")
    if isinstance(value, str) and "\0" in value and "PathLike" in str(annotation):
        raise ValueError(f"{name} is no path, it has a null character (got {value!r:.80})")


def _fits(value: Any, annotation: Any) -> bool:
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return any(_fits(value, x) for x in inner)
    if kind is Literal:
        return value in inner
    unchecked = kind is inspect.Parameter.empty or getattr(kind, "_is_protocol", False)
    if unchecked or kind is Any or not isinstance(kind, type):
        return True
    if isinstance(value, bool | str):  # To Python, an integer and a sequence.
        return kind in (object, bool if isinstance(value, bool) else str)
    if kind is Sequence and hasattr(value, "tolist"):
        return True  # An array.
    if not isinstance(value, (kind, *ALIKE.get(kind, ()))):
        return False
    if isinstance(value, Mapping):
        return all(_fits(x, y) for pair in value.items() for x, y in zip(pair, inner, strict=False))
    if isinstance(value, list | tuple) and kind is tuple and Ellipsis not in inner:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return not isinstance(value, list | tuple) or all(_fits(x, y) for x in value for y in inner[:1])


def _walk(
    cls: type, settings: Mapping[str, Any], prefix: str = "", filled: Iterable[str] = FACTS
) -> Iterator[tuple[str, Setting]]:
    # All that there is to set of a class; what can be set of a part follows it.
    for name, setting in _arguments(cls).items():
        if name not in filled:
            key = f"{prefix}{name}"
            yield key, setting
            part, preset = _part(key, setting, settings)
            if part is not None:
                yield from _walk(part, settings, f"{key}.", [*SIZES, *preset])


def _part(
    key: str, setting: Setting, settings: Mapping[str, Any]
) -> tuple[type | None, dict[str, Any]]:
    # The class of a part, if what it is made of can be set, and the arguments of its name.
    if setting.base is None or not setting.is_plain:
        return None, {}
    if bool in union_types(setting.parameter.annotation):  # The one part of its class, or none.
        return (setting.base if settings.get(key, True) is True else None), {}
    kind, value = _kind(setting.base), settings.get(key, setting.parameter.default)
    if kind is None or not isinstance(value, str | type):
        return None, {}
    cls, preset = _find(kind, value)
    if "index" not in _arguments(cls):
        return cls, preset
    if not _is_named(cls):
        choices = list(setting.choices)
        raise ValueError(f"'{key}' needs to be an object (got '{value}') or of {choices}")
    return None, {}  # A sampler is made by its loss, which sees the facts.


@functools.cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(function, eval_str=True).parameters
    except NameError:  # One whose annotations are there for type checkers alone.
        parameters = inspect.signature(function).parameters
    of_many = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return {name: x for name, x in parameters.items() if x.kind not in of_many}


@functools.cache
def _arguments(cls: type) -> dict[str, Setting]:
    out = {}
    for name, parameter in _parameters(cls).items():
        types = union_types(parameter.annotation)
        parts = [x for x in types if get_origin(x) is None and isinstance(x, type)]
        base = next((x for x in parts if issubclass(x, Recorded)), None)
        plain = functools.reduce(operator.or_, [x for x in types if _is_plain(x)] or [NoneType])
        out[name] = Setting(parameter.replace(annotation=plain), base)
    return out


def _is_plain(annotation: Any) -> bool:
    origin = get_origin(annotation)
    inner = () if origin is Literal else get_args(annotation)
    known = (Union, UnionType, Ellipsis, *PLAIN)
    return (origin or annotation) in known and all(map(_is_plain, inner))


def _is_named(cls: type) -> bool:
    # Whether a name is enough, as nothing else is needed that is no plain value.
    known = {*FACTS[:2], *SIZES, "index"}
    return all(x.is_plain or x.base or name in known for name, x in _arguments(cls).items())
