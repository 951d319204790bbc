import copy

import pytest

from torch_imf import complete
from torch_imf.answers import write_rdf
from torch_imf.answers.rdf import to_iri
from torch_imf.io.rdf import read_rdf

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


@pytest.mark.parametrize(
    "name", ["a.nt", "a.ttl", "a.nq", "a.trig", "a.rdf", "a.jsonld", "a.ttl.gz"]
)
def test_there_and_back(fake, build, tmp_path, name):
    # Identifiers of all kinds come back, and nothing is stated to be true.
    fake, odd = (
        copy.copy(fake),
        ['a "b" <c>', "é ü", "<http://x.org/é>", "Q5", "x:y z", "%41", "\n", "20:15", "1%", "a#b#"],
    )
    fake.node_ids = [*odd, *(f"http://x.org/{i}" for i in range(fake.num_nodes - len(odd)))]
    facts = complete(build(fake), fake, 60, everyone=True)
    assert write_rdf(tmp_path / name, facts) == len(facts) == 60
    assert to_iri("<http://x.org/é>").value == "http://x.org/é"  # And not another one.
    found: dict[str, dict[str, object]] = {}
    for head, rel, tail in read_rdf(str(tmp_path / name)):
        found.setdefault(head, {})[rel.removeprefix(RDF)] = getattr(tail, "value", tail)
    statements = [x for x in found.values() if x.get("type") == f"{RDF}Statement"]
    expected = sorted((x.head, x.relation, x.tail, x.probability) for x in facts)
    label = "http://www.w3.org/2000/01/rdf-schema#label"
    parts = ("subject", "predicate", "object")
    names = [[found[str(x[part])][label] for part in parts] for x in statements]
    chance = [float(str(x["urn:torch_imf:probability"])) for x in statements]
    assert sorted((*x, y) for x, y in zip(names, chance, strict=True)) == expected
    assert len(found) == 60 + len({x for y in expected for x in y[:3]})
