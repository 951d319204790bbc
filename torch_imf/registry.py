r"""What there is in the package, by name, imported when it is asked for; and
the arguments that each part was made with, recorded once.
"""

import ast
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import lazy_loader

Cls = TypeVar("Cls", bound=type)

#: What can be chosen by name: the package that exports it, and the base class of all of them.
KINDS: dict[str, tuple[str, str]] = {
    "model": ("nn.models", "MultimodalKGE"),
    "scorer": ("nn.scorer", "Scorer"),
    "fusion": ("nn.fusion", "Fusion"),
    "loss": ("nn.losses", "Loss"),
    "regularizer": ("nn.losses", "Regularizer"),
    "sampler": ("sampler", "Sampler"),
    "encoder": ("encoders", "Encoder"),
    "dataset": ("datasets", "KGDataset"),
}
#: The entry points by which other packages add classes of any kind.
GROUP = "torch_imf"

_registered: list[type] = []


# Packages that import what their stubs list, once it is asked for ###############################


def attach(
    package: str, file: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    r"""Returns :obj:`__getattr__`, :obj:`__dir__` and :obj:`__all__` of a
    package that imports what its stub (:obj:`__init__.pyi`) lists once somebody
    asks for it.

    Args:
        package (str): Its :obj:`__name__`.
        file (str): Its :obj:`__file__`.
    """
    return lazy_loader.attach(package, *exports(Path(file).parent))


def exports(folder: Path) -> tuple[set[str], dict[str, list[str]]]:
    r"""Reads off the stub of a package which of its modules it exports, and
    which names from which module. Nothing is imported.
    """
    submodules: set[str] = set()
    attributes: dict[str, list[str]] = {}
    for node in ast.parse((folder / "__init__.pyi").read_text()).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if node.module is None:
            submodules.update(names)
        elif names == ["*"]:
            inner = exports(folder.joinpath(*node.module.split(".")))[1]
            attributes |= {f"{node.module}.{key}": values for key, values in inner.items()}
        else:
            attributes.setdefault(node.module, []).extend(names)
    return submodules, attributes


# Classes by name ################################################################################


def register(cls: Cls) -> Cls:
    r"""Adds a class of another package, which derives from a base class of this
    one, to what can be chosen by name. Use it as a decorator. Packages that
    are installed may name their classes as entry points of the group
    :obj:`"torch_imf"` instead.

    Raises:
        ValueError: If it derives from no base class of :obj:`KINDS`.
    """
    if not any(issubclass(cls, base_class(kind)) for kind in KINDS):
        bases = [base for _, base in KINDS.values()]
        raise ValueError(f"'{cls.__name__}' needs to derive from one of {bases}")
    if cls not in _registered:
        _registered.append(cls)
    return cls


def base_class(kind: str) -> type:
    r"""Returns the base class of a kind."""
    package, name = KINDS[kind]
    return getattr(import_module(f"torch_imf.{package}"), name)


def classes(kind: str) -> dict[str, type]:
    r"""Returns all classes of a kind by the name to choose them by: those that
    the package exports, those that were registered (:meth:`register`), and
    those of entry points.
    """
    module, base = import_module(f"torch_imf.{KINDS[kind][0]}"), base_class(kind)
    own = [getattr(module, name) for name in module.__all__]
    found = [*own, *_registered, *_loaded_entry_points()]
    out: dict[str, type] = {}
    for cls in found:
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base:
            out |= dict.fromkeys(names_of(cls, kind), cls)
    return out


@functools.cache
def _loaded_entry_points() -> list[type]:
    return [entry.load() for entry in entry_points(group=GROUP)]


def names_of(cls: type, kind: str) -> Iterable[str]:
    r"""Returns the names to choose a class by: those of its own attribute
    :obj:`aliases`, each with the arguments that it stands for (none of them for
    a class that is not chosen by name), or that of the class without the one of
    its base class, in lower case. A dataset keeps its own.
    """
    if "aliases" in cls.__dict__:
        return cls.__dict__["aliases"]
    name = cls.__name__
    return [name if kind == "dataset" else name.removesuffix(KINDS[kind][1]).lower()]


def lookup(kind: str, query: str | type) -> type:
    r"""Returns a class of a kind, given by its name (whatever its case, with or
    without dashes), as :obj:`"my_package:Twist"`, or as itself.

    Raises:
        ValueError: If there is none of this name. The message names the nearest.
    """
    base = base_class(kind)
    if isinstance(query, str) and ":" in query:
        module, _, name = query.partition(":")
        try:
            query = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"The {kind} '{query}' cannot be imported ({error})") from error
    if isinstance(query, type) and issubclass(query, base):
        return query
    known = classes(kind)
    names = {_plain(cls.__name__): cls for cls in known.values()}
    names |= {_plain(name): cls for name, cls in known.items()}
    if isinstance(query, str) and _plain(query) in names:
        return names[_plain(query)]
    near = difflib.get_close_matches(_plain(str(query)), map(_plain, known), n=1)
    hint = f" Did you mean '{next(x for x in known if _plain(x) == near[0])}'?" if near else ""
    raise ValueError(f"There is no {kind} '{query}'.{hint} Choose of {sorted(known)}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def resolve(kind: str, query: Any, *args: Any, **kwargs: Any) -> Any:
    r"""Returns a part of a kind: an object as it is, and a class, or the name
    of one, called on the given arguments.

    Raises:
        ValueError: If there is none of this name.
    """
    if not isinstance(query, str | type):
        if isinstance(query, base_class(kind)):
            return query
        raise ValueError(f"Expected a {kind}, its class or its name (got {query!r})")
    cls = lookup(kind, query)
    aliases = cls.__dict__.get("aliases", {})
    preset: dict[str, Any] = next(
        (x for name, x in aliases.items() if _plain(name) == _plain(str(query))), {}
    )
    return cls(*args, **{**preset, **kwargs})


# The arguments that parts were made with ########################################################


class Recorded:
    r"""A base class of parts that know the arguments of their constructor:
    :obj:`init_args`, by name, defaults included, as they were given.
    """

    init_args: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" not in cls.__dict__:
            return
        init = cls.__dict__["__init__"]

        @functools.wraps(init)
        def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
            if "init_args" not in self.__dict__:  # That of the class itself comes first.
                bound = inspect.signature(init).bind(self, *args, **kwargs)
                bound.apply_defaults()
                given = dict(bound.arguments)
                given.pop(next(iter(given)))
                self.__dict__["init_args"] = given
            init(self, *args, **kwargs)

        cls.__init__ = recorded  # type: ignore[method-assign]


def import_class(name: str, allowed: Sequence[type] = ()) -> type:
    r"""Returns the class that a description names: one of this package, of
    those that were registered, or of those allowed.
    """
    known = {class_name(cls): cls for cls in [*_registered, *_loaded_entry_points(), *allowed]}
    for kind in KINDS:
        known |= {class_name(cls): cls for cls in classes(kind).values()}
    if name not in known:
        raise ValueError(f"There is no class '{name}' (known: {sorted(known)})")
    return known[name]


def class_name(cls: type) -> str:
    r"""Returns the name of a class, with its module if it is of another
    package, as in :obj:`"my_package:Twist"`.
    """
    own = cls.__module__.partition(".")[0] == "torch_imf"
    return cls.__name__ if own else f"{cls.__module__}:{cls.__qualname__}"


def class_names(kind: str) -> list[str]:
    r"""Returns the names of all classes of a kind."""
    return [cls.__name__ for cls in classes(kind).values()]
