import shutil
from typing import NamedTuple
from unittest.mock import Mock

import pytest

from torch_imf import datasets
from torch_imf.data import audit

pytestmark = [pytest.mark.mirror, pytest.mark.filterwarnings("ignore:YAGO15K holds only")]


class Known(NamedTuple):
    # The sizes of splits, where every row is a fact that no other row holds:
    rows: tuple[int, ...] | None
    # Validation and test rows with an entity, and with a relation, that no training fact has:
    unseen_nodes: list[int]
    unseen_relations: list[int]
    # The numbers of inverse, duplicate and symmetric relations:
    pairs: list[int]
    # Test facts that follow from training by each of these, and by any:
    implied: list[int]
    # Test facts whose entities training links the other way round, and by another relation:
    linked: tuple[int, int]
    # A pair with most facts in common, and of which kind:
    first: tuple[str, set[str]] | None = None


DUPLICATE = ("duplicate", {"associatedBand", "associatedMusicalArtist"})
KNOWN = {
    ("DB15K", "mmrns"): Known(
        *(None, [3, 77], [1, 7], [0, 2, 1], [0, 417, 3, 420], (678, 2519), DUPLICATE)
    ),
    ("DB15K", "imf"): Known(
        *(None, [105, 229], [5, 19], [0, 2, 1], [0, 874, 7, 881], (1235, 4620), DUPLICATE)
    ),
    ("FB15K", "bordes"): Known(
        *((483142, 50000, 59071), [0, 0], [0, 0], [501, 140, 43]),
        *([38082, 3173, 4304, 43616], (45817, 18486)),
    ),
    ("FB15K237", "standard"): Known(
        *((272115, 17535, 20466), [9, 28], [0, 0], [0, 1, 21], [0, 0, 0, 0], (0, 0))
    ),
    ("MKGW", "mmrns"): Known(
        *((34196, 4276, 4274), [333, 306], [1, 0], [2, 0, 5], [135, 0, 57, 192], (224, 449)),
        *(("inverse", {"followed by", "follows"}),),
    ),
    ("MKGY", "mmrns"): Known(
        *((21310, 2665, 2663), [400, 388], [0, 0], [0, 1, 1], [0, 581, 36, 617], (50, 704)),
        *(("duplicate", {"playsFor", "isAffiliatedTo"}),),
    ),
    ("WN9IMG", "ikrl"): Known(
        *((11741, 1337, 1319), [0, 0], [0, 0], [4, 0, 1], [1176, 0, 10, 1186], (1186, 0)),
        *(("inverse", {"hyponym", "hypernym"}),),
    ),
    ("YAGO15K", "imf"): Known(  # A third of training facts.
        *((29198, 12289, 24577), [2090, 4459], [1, 0], [0, 0, 0], [0, 0, 0, 0], (130, 4049))
    ),
}
# What the splits of DB15K share: rows, facts, rows that are in the other two, and facts that are.
LEAKS = {
    "mmrns": {
        "train": (79222, 79222, [6584, 0], [6584, 0]),
        "val": (9904, 7481, [8719, 1105], [6584, 824]),
        "test": (9902, 9902, [0, 824], [0, 824]),
    },
    "imf": {
        "train": (69319, 64099, None, [1241, 2488]),
        "val": (9903, 9774, [1304, 444], [1241, 411]),
        "test": (19806, 19275, [2737, 462], [2488, 411]),
    },
}


@pytest.mark.parametrize("key", KNOWN, ids="-".join)
def test_audit(key, tmp_path, monkeypatch):
    (name, version), known = key, KNOWN[key]
    monkeypatch.setattr("socket.create_connection", Mock(side_effect=OSError("no network")))
    dataset = getattr(datasets, name)(str(tmp_path), version, text=None, visual=None, numeric=None)
    shutil.rmtree(tmp_path)
    out = audit(dataset[0])
    splits = list(out.splits.values())
    if known.rows is not None:
        assert out.problems == [] and tuple(split.rows for split in splits) == known.rows
    assert [split.unseen_node_rows for split in splits] == [0, *known.unseen_nodes]
    assert [split.unseen_relation_rows for split in splits[1:]] == known.unseen_relations
    assert out.num_isolated_nodes == (1554 if name == "YAGO15K" else 0)
    assert [len(pairs) for pairs in out.pairs.values()] == known.pairs
    assert list(out.test_implied.values()) == known.implied
    assert (out.test_reversed, out.test_linked) == known.linked
    if known.first is not None:
        kind, names = known.first
        assert {out.rel_names[rel] for rel in out.pairs[kind][0][:2]} == names
    if name == "DB15K":
        assert (out.num_rows, out.num_facts) == (99028, 89197)
        assert out.splits["val"].exclusive_facts == {"mmrns": 73, "imf": 8311}[version]
        for split, (rows, facts, shared_rows, shared_facts) in LEAKS[version].items():
            found = out.splits[split]
            assert (found.rows, found.facts) == (rows, facts)
            assert list(found.shared_facts.values()) == shared_facts
            if shared_rows is not None:
                assert list(found.shared_rows.values()) == shared_rows
