# The documentation: `make docs`, or `sphinx-build -b html docs/source docs/build`.
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

from docutils import nodes
from jinja2 import Template
from latex2mathml.converter import convert
from sphinx.ext import autosummary

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch_imf  # noqa: E402

project = "torch_imf"
author = "the authors of torch_imf"
copyright = author
version = release = torch_imf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["generated/*.tmp"]
autosummary.WELL_KNOWN_ABBREVIATIONS += ("Eq.",)  # They do not end the first sentence.
autosummary_generate = False  # One page per name is written below, from what packages export.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Shapes"]
python_maximum_signature_line_length = 88
toc_object_entries = False

html_math_renderer = "mathml"
html_theme = "sphinx_rtd_theme"
html_theme_options = {"navigation_depth": 2}
html_static_path = ["../_static"]
html_css_files = ["css/torch_imf.css"]
html_show_sphinx = False
html_title = f"torch_imf {version}"

# References within the package need to resolve. Those to others are not looked up, as this would
# take a network.
nitpicky = True
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(torch|torch_geometric|collections|contextlib|inspect|optuna|matplotlib|numpy|os|joblib|pandas|networkx|nx)\..*",
    ),
    ("py:obj", r"(?s).*"),  # In docstrings, as in PyG, the role of code.
    ("py:.*", r"(pathlib|pickle|timm)\..*"),
    ("py:.*", r"[a-z]+(\[.*)?|\w+Error|None|True|False"),
    (
        "py:class",
        r"Tensor|Data|HeteroData|Dataset|(pd\.)?DataFrame|Module|Parameter|Path|Axes|Figure|Optimizer|Any|Study"
        r"|BaseSampler|BasePruner|(torch_imf\.data\.names\.)?Lookup",
    ),
    # What is not for users, in types and as a base class:
    ("py:class", r"(.*\.)?(RawFile|Options|Shard|Objective|Source|Gaps|Entity|Model)"),
    ("py:class", r"(.*\.)?(Cls|Self|SubgraphLoader|StreamedScores|_Loader)"),
    ("py:class", r"(.*\.)?(FreebaseKG|MMKB|MKG|Record|Stats)"),
    ("py:class", r"(.*\.)?(LowRankFusion|CoreTensorScorer|EncoderLike)"),
    ("py:meth", r"torch_imf\.io\.atomic\.cache_folder"),
]

# What several packages export is documented in the first of these:
HOMES = [
    *("torch_imf.nn", "torch_imf.nn.functional", "torch_imf.nn.fusion", "torch_imf.nn.losses"),
    *("torch_imf.nn.models", "torch_imf.nn.scorer", "torch_imf.nn.structural", "torch_imf.sampler"),
    *("torch_imf.data", "torch_imf.datasets", "torch_imf.encoders", "torch_imf.transforms"),
    "torch_imf",
]
documented: set[str] = set()


def names(package: str) -> list[str]:
    """Lists what a package exports: exporting is documenting."""
    module = import_module(package)
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isroutine(value) and value.__module__ == package and name[0] != "_"
    ]
    exported = [x for x in getattr(module, "__all__", own) if x[0] != "_"]
    objects = [(x, getattr(module, x)) for x in exported]
    return entries(*(home(package, x, y) for x, y in objects if not inspect.ismodule(y)))


def home(package: str, name: str, value: object) -> str:
    """Where a name is documented, of all packages that export it."""
    for other in map(import_module, HOMES):
        if name in other.__all__ and getattr(other, name) is value:
            return f"{other.__name__}.{name}"
    return f"{package}.{name}"


def entries(*paths: str) -> list[str]:
    """Notes that there is a page for each of some names."""
    documented.update(paths)
    return list(paths)


def render(text: str) -> str:
    """Fills in what the pages of the API list."""
    return Template(text).render(names=names, entries=entries, torch_imf=torch_imf)


def write_pages(app) -> None:
    """Writes one page per name, and takes away those of names that are gone."""
    for path in sorted(Path(app.srcdir, "api").glob("*.rst")):
        render(path.read_text(encoding="utf-8"))
    folder = Path(app.srcdir, "generated")
    folder.mkdir(exist_ok=True)
    pages = {f"{path}.rst": page(path) for path in documented}
    for old in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")


def page(path: str) -> str:
    """The page of a class or function. Methods of a base class without a page are on it, too."""
    package, name = path.rsplit(".", 1)
    value = getattr(import_module(package), name)
    lines = [":orphan:", "", name, "=" * len(name), ""]
    if not inspect.isclass(value):
        return "\n".join([*lines, f".. autofunction:: {path}", ""])
    lines += [f".. autoclass:: {path}", "   :members:", "   :show-inheritance:"]
    bases = [cls for cls in value.__mro__[1:] if cls is not object]
    shown = [cls.__name__ for cls in bases if cls.__name__ in known() or not is_own(cls)]
    if len(shown) < len(bases):
        lines.append(f"   :inherited-members: {', '.join([*shown, 'object'])}")
    return "\n".join([*lines, ""])


def known() -> set[str]:
    """The names that have a page."""
    return {path.rsplit(".", 1)[1] for path in documented}


def is_own(cls: type) -> bool:
    """Whether a class is one of this package."""
    return cls.__module__.split(".")[0] == "torch_imf"


def read_source(app, docname: str, source: list[str]) -> None:
    """Renders the pages of the API, and the changelog from its Markdown."""
    if docname.startswith("api/"):
        source[0] = render(source[0])
    if docname == "changelog":
        source[0] = from_markdown((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def from_markdown(text: str) -> str:
    """Turns headings, links, code and tables of a changelog into reStructuredText."""
    text = re.sub(r"(?m)^\|.*\n(?:\|.*\n)+", from_table, text)
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    text = re.sub(r"(?<!#)\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)
    for marks, line in (("#", "="), ("##", "-"), ("###", "~")):
        text = re.sub(
            rf"^{marks} (.+)$", lambda m, line=line: f"{m[1]}\n{line * len(m[1])}", text, flags=re.M
        )
    return text


def from_table(match: re.Match[str]) -> str:
    """Turns a table of two columns into reStructuredText."""
    rows = [line.strip("| ").split(" | ") for line in match[0].splitlines()]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in [row for row in rows if not set("".join(row)) <= set("|-")]:
        lines += [f"   {'-' if i else '* -'} {cell}" for i, cell in enumerate(cells)]
    return "\n".join(lines).replace("\n   - ", "\n     - ") + "\n"


def find_reference(app, env, node, contnode):
    """Finds what a docstring names without its package, or by where it is written."""
    if node.get("refdomain") != "py" or node.get("reftype") == "obj":
        return None
    domain, target = env.get_domain("py"), node["reftarget"]
    paths = [path for path in documented if path.rsplit(".", 1)[1] == target.rsplit(".", 1)[-1]]
    paths = paths or [path for path in domain.objects if path.endswith(f".{target}")]
    if len(paths) != 1:
        return None
    args = env, node.get("refdoc"), app.builder, "obj", paths[0], node, contnode
    return domain.resolve_xref(*args)


def write_math(self, node) -> None:
    """Writes a formula as MathML, which browsers draw without a script from a network."""
    block = isinstance(node, nodes.math_block)
    out = convert(node.astext(), display="block" if block else "inline")
    self.body.append(f'<div class="math">{out}</div>' if block else out)
    raise nodes.SkipNode


def setup(app) -> None:
    """Connects the above."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_source)
    app.connect("missing-reference", find_reference)
