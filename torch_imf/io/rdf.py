import codecs
import math
import os.path as osp
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from torch_imf.io import some, warn
from torch_imf.io.progress import reading
from torch_imf.io.quantities import datatype_unit, to_number
from torch_imf.io.tables import LONGEST, is_utf16, normalized, readable, suffix

if TYPE_CHECKING:
    import pyoxigraph as ox

#: The formats of RDF, by how their files end and as pyoxigraph calls them.
FORMATS = {".nt": "nt", ".ttl": "ttl", ".nq": "nq", ".trig": "trig", ".rdf": "rdf"}
FORMATS |= {".owl": "rdf", ".jsonld": "jsonld"}

# What literals are names and descriptions, those to prefer first:
SCHEMA = "http://schema.org/"
NAMES = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    f"{SCHEMA}name",
    "http://xmlns.com/foaf/0.1/name",
)
TEXTS = (
    "http://dbpedia.org/ontology/abstract",
    f"{SCHEMA}description",
    "http://purl.org/dc/terms/description",
    "http://purl.org/dc/elements/1.1/description",
    "http://www.w3.org/2004/02/skos/core#definition",
    "http://www.w3.org/2000/01/rdf-schema#comment",
)
#: What says of what type an entity is, and types that say nothing.
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
NO_TYPES = (
    "http://www.w3.org/2002/07/owl#NamedIndividual",
    "http://www.w3.org/2002/07/owl#Thing",
    "http://www.w3.org/2000/01/rdf-schema#Resource",
)
IMAGES = (f"{SCHEMA}image", "http://xmlns.com/foaf/0.1/depiction", "http://xmlns.com/foaf/0.1/img")
#: What to do about some errors of the parser.
OTHER = "This is no RDF/XML: save OWL as such (as Protégé does), and call Turtle '.ttl'"
HINTS = {
    "remote contexts": "Write it into the file",
    "UTF-8": "Save it as UTF-8, and if it is XML, let its first line say so",
    "Unexpected text event": OTHER,
    "XML namespaces": OTHER,
}
NO_NUMBERS = re.compile(r".*#(string|langString|boolean|anyURI|hexBinary)")


class Literal(NamedTuple):
    r"""A value in RDF that is no entity."""

    value: str
    language: str
    datatype: str


def read_rdf(path: str, scope: str = "") -> Iterator[tuple[str, str, str | Literal]]:
    r"""Streams the statements of a file of N-Triples, Turtle, N-Quads, TriG, RDF/XML or JSON-LD,
    gzipped or not: facts, and those whose object is a literal. Named graphs are taken together.
    IRIs have no brackets. Blank nodes are named by their labels in N-Triples and N-Quads, and by
    the order in which they appear elsewhere. Broken lines of N-Triples and N-Quads are passed over,
    with a warning.

    Raises:
        ValueError: If the file cannot be read, or more of its lines are broken than not.
    """
    import pyoxigraph as ox

    kind = FORMATS[suffix(path)]
    by_line = kind in ("nt", "nq")
    labels: dict[str, str] = {}

    def name(term: object) -> str | Literal:
        if isinstance(term, ox.Literal):
            return Literal(normalized(term.value), term.language or "", term.datatype.value)
        if not isinstance(term, ox.BlankNode):
            return normalized(getattr(term, "value", str(term)))
        label = term.value
        if not by_line:  # May be drawn at random.
            label = labels.setdefault(label, f"b{len(labels)}")
        return f"_:{label}{scope}"

    for quad in _lines(path, kind) if by_line else _document(path, kind):
        yield str(name(quad.subject)), str(name(quad.predicate)), name(quad.object)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    # After the mark that a file may begin with.
    with readable(path), reading(path) as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        yield file


def _document(path: str, kind: str) -> "Iterator[ox.Quad]":
    import pyoxigraph as ox

    format = ox.RdfFormat.from_extension(kind)
    try:
        with _opened(path) as file:
            # Not strict, as IRIs without a base, and with what does not belong in one, are common:
            yield from ox.parse(file, format=format, lenient=True)
    except SyntaxError as e:
        place = "" if e.lineno is None else f", line {e.lineno}"
        hint = next((f". {x}" for words, x in HINTS.items() if words in str(e.msg)), "")
        raise ValueError(f"'{path}'{place}: {e.msg}{hint}") from e
    except MemoryError as e:
        raise ValueError(f"'{path}': a name or a literal is too long ({e})") from e


def _lines(path: str, kind: str) -> "Iterator[ox.Quad]":
    # Line by line, as an IRI that is left open goes on to the next ones.
    import pyoxigraph as ox

    format = ox.RdfFormat.from_extension(kind)
    if is_utf16(path):
        raise ValueError(f"'{path}' is UTF-16, save it as UTF-8")
    num_good = num_broken = 0
    problems: list[str] = []
    with _opened(path) as file:
        for line, text in enumerate(iter(partial(file.readline, LONGEST + 1), b""), start=1):
            if len(text) > LONGEST:
                raise ValueError(
                    f"'{path}', line {line}: this line has more than {LONGEST:,} bytes"
                )
            try:
                quads = list(ox.parse(text, format=format, lenient=True))
            except (SyntaxError, MemoryError) as e:
                message = re.sub(r"^Parser error at line 1 |\(line 1\)$", "", str(e)).strip()
                problems = [*problems, f"line {line}: {message}"][:3]
                num_broken += 1
                continue
            num_good += len(quads)
            yield from quads
    if num_broken > num_good:
        raise ValueError(f"'{path}', {problems[0]}")
    if problems:
        warn(f"'{path}': broken lines are passed over, {num_broken:,} ({'; '.join(problems)})")


class Content:
    r"""What is said of entities beside facts: names, descriptions, numbers, types and images."""

    def __init__(self) -> None:
        self.types: dict[str, list[str]] = {}
        self.images: list[tuple[str, str]] = []
        self.numbers: list[tuple[str, str, float]] = []
        self._found: tuple[dict[str, list[tuple[int, Literal]]], ...] = ({}, {})
        self._languages: Counter[str] = Counter()

    def add(self, node: str, rel: str, value: str | Literal) -> str:
        r"""Adds a statement, and returns what it is of: :obj:`"names"`, :obj:`"texts"`,
        :obj:`"numbers"`, :obj:`"types"`, :obj:`"images"`, or nothing. A fact between two entities,
        :obj:`"facts"`, is left to whoever asks.
        """
        rel = rel.replace("https://schema.org/", SCHEMA)
        if rel in IMAGES:
            self.images.append((node, value if isinstance(value, str) else value.value))
            return "images"
        if isinstance(value, str) and rel != TYPE:
            return "facts"
        if isinstance(value, str):
            if value not in NO_TYPES:
                self.types.setdefault(node, []).append(value)
            return "types"
        literal = value
        kinds = {"names": NAMES, "texts": TEXTS}
        for (kind, words), found in zip(kinds.items(), self._found, strict=True):
            if rel in words and literal.value:
                found.setdefault(node, []).append((words.index(rel), literal))
                self._languages[literal.language] += 1
                return kind
        number = math.nan if NO_NUMBERS.match(literal.datatype) else to_number(literal.value)
        if not math.isfinite(number):
            return ""
        if unit := datatype_unit(literal.datatype):  # Each is an attribute of its own.
            rel = f"{rel} ({unit})"
        self.numbers.append((node, rel, number))
        return "numbers"

    def image_files(self, folder: str) -> list[tuple[str, str]]:
        r"""Returns entities and the files of their images, as addresses from a folder name them.
        Those that are not on this machine are left out, which a warning tells.
        """
        found = [(node, value, local_path(value, folder)) for node, value in self.images]
        if lost := [value for _, value, path in found if path is None]:
            warn(
                f"{len(lost):,} of {len(found):,} images are no files on this machine, and left "
                f"out: {some(lost, 3)}. Download them, and name the files by entity in 'images'"
            )
        return [(node, path) for node, _, path in found if path is not None]

    @property
    def names(self) -> dict[str, str]:
        r"""The name of each entity or relation: the English one, or that in the language that most
        are in.
        """
        return {node: self._choose(found) for node, found in self._found[0].items()}

    @property
    def texts(self) -> dict[str, str]:
        r"""The description of each entity, in a language as above."""
        return {node: self._choose(found) for node, found in self._found[1].items()}

    def _choose(self, found: list[tuple[int, Literal]]) -> str:
        def key(entry: tuple[int, Literal]) -> tuple[bool, int, int, Literal]:
            rank, literal = entry
            is_english = literal.language.partition("-")[0].lower() == "en"
            return not is_english, -self._languages[literal.language], rank, literal

        return min(found, key=key)[1].value


def local_path(address: str, folder: str) -> str | None:
    r"""Returns the path of a file by its address, :obj:`file:///...` or relative to a folder, if it
    is there.
    """
    scheme, _, rest = address.partition("://")
    path = url2pathname(urlsplit(address).path) if scheme == "file" else unquote(address)
    path = osp.join(folder, path)
    return path if (not rest or scheme == "file") and osp.isfile(path) else None
