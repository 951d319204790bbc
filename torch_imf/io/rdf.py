from collections.abc import Iterator

from torch_imf.io.paths import open_file
from torch_imf.io.tables import readable, suffix

#: The formats of RDF, by how their files end and as pyoxigraph calls them.
FORMATS = {".nt": "nt", ".ttl": "ttl", ".nq": "nq", ".trig": "trig", ".rdf": "rdf"}
FORMATS |= {".owl": "rdf", ".jsonld": "jsonld"}


def read_rdf(path: str, scope: str = "") -> Iterator[tuple[str, str, str] | None]:
    r"""Streams the facts of a file of N-Triples, Turtle, N-Quads, TriG, RDF/XML or JSON-LD, gzipped
    or not. Named graphs are taken together. IRIs have no brackets. Blank nodes are named by their
    labels in N-Triples and N-Quads, and by the order in which they appear elsewhere.
    """
    import pyoxigraph as ox

    kind = FORMATS[suffix(path)]
    labels: dict[str, str] = {}

    def name(term: object) -> str | None:
        if isinstance(term, ox.NamedNode):
            return term.value
        if not isinstance(term, ox.BlankNode):
            return None
        label = term.value
        if kind not in ("nt", "nq"):  # May be drawn at random.
            label = labels.setdefault(label, f"b{len(labels)}")
        return f"_:{label}{scope}"

    format = ox.RdfFormat.from_extension(kind)
    try:
        with readable(path), open_file(path, compression="infer") as file:
            # Not strict, as IRIs without a base, and with what does not belong in one, are common:
            for quad in ox.parse(file, format=format, lenient=True):
                head, rel, tail = map(name, (quad.subject, quad.predicate, quad.object))
                yield None if head is None or rel is None or tail is None else (head, rel, tail)
    except SyntaxError as e:
        place = "" if e.lineno is None else f", line {e.lineno}"
        raise ValueError(f"'{path}'{place}: {e.msg}") from e
