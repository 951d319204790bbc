import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from torch_imf.answers.results import Fact, gzipped
from torch_imf.io.atomic import replacing
from torch_imf.io.rdf import FORMATS
from torch_imf.io.tables import suffix

if TYPE_CHECKING:
    import pyoxigraph as ox

RDF, RDFS = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://www.w3.org/2000/01/rdf-schema#"
#: The base of what is no IRI, and of the predicates of a probability and a score.
BASE = "urn:torch_imf:"


def write_rdf(path: str | os.PathLike[str], facts: Iterable[Fact]) -> int:
    r"""Writes facts that :meth:`~torch_imf.complete` has found to a file of RDF, of the format of
    its name (:obj:`.nt`, :obj:`.ttl`, :obj:`.nq`, :obj:`.trig`, :obj:`.rdf` or :obj:`.jsonld`, and
    perhaps :obj:`.gz`), and returns their number.

    Each is an :obj:`rdf:Statement` with its subject, predicate and object, and its
    :obj:`<urn:torch_imf:probability>` and :obj:`<urn:torch_imf:score>`: the file says how likely
    facts are, and states none of them. Identifiers that are no IRIs get the prefix
    :obj:`urn:torch_imf:`, and names are labels.
    """
    import pyoxigraph as ox

    path, found = os.fspath(path), list(facts)
    format = ox.RdfFormat.from_extension(FORMATS[suffix(path)])
    prefixes = {"rdf": RDF, "rdfs": RDFS}
    with replacing(path) as file, gzipped(path, file) as out:
        ox.serialize(_triples(found), out, format=format, prefixes=prefixes)
    return len(found)


def to_iri(name: str) -> "ox.NamedNode":
    r"""Returns the IRI of an entity or a relation by its identifier."""
    import pyoxigraph as ox

    name = name[1:-1] if name.startswith("<") and name.endswith(">") else name
    try:
        return ox.NamedNode(name)  # Which raises if it is no IRI.
    except ValueError:
        return ox.NamedNode(BASE + quote(name))


def _triples(facts: Iterable[Fact]) -> "Iterator[ox.Triple]":
    import pyoxigraph as ox

    label, named = ox.NamedNode(f"{RDFS}label"), set()
    for i, x in enumerate(facts):
        node = ox.BlankNode(f"f{i}")
        yield ox.Triple(node, ox.NamedNode(f"{RDF}type"), ox.NamedNode(f"{RDF}Statement"))
        parts = ("subject", x.head_id, x.head), ("predicate", x.rel_id, x.relation)
        for part, id_, name in (*parts, ("object", x.tail_id, x.tail)):
            iri = to_iri(id_)
            yield ox.Triple(node, ox.NamedNode(f"{RDF}{part}"), iri)
            if iri not in named:
                named.add(iri)
                # Without what tells namesakes apart here:
                yield ox.Triple(iri, label, ox.Literal(name.removesuffix(f" ({id_})")))
        for key, value in (("probability", x.probability), ("score", x.score)):
            yield ox.Triple(node, ox.NamedNode(f"{BASE}{key}"), ox.Literal(value))
