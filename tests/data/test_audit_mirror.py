import shutil
from unittest.mock import Mock

import pytest

from torch_imf import datasets
from torch_imf.data import audit

pytestmark = [pytest.mark.mirror, pytest.mark.filterwarnings("ignore:YAGO15K holds only")]

SPLITS = ("train", "val", "test")
# The sizes of splits, where every row is a fact that no other row holds:
ROWS = {
    ("FB15K", "bordes"): (483142, 50000, 59071),
    ("FB15K237", "standard"): (272115, 17535, 20466),
    ("MKGW", "mmrns"): (34196, 4276, 4274),
    ("MKGY", "mmrns"): (21310, 2665, 2663),
    ("WN9IMG", "ikrl"): (11741, 1337, 1319),
    ("YAGO15K", "imf"): (29198, 12289, 24577),  # A third of training facts.
}
# Validation and test rows with an entity, and with a relation, that no training fact has:
UNSEEN = {
    ("DB15K", "mmrns"): ([3, 77], [1, 7]),
    ("DB15K", "imf"): ([105, 229], [5, 19]),
    ("FB15K", "bordes"): ([0, 0], [0, 0]),
    ("FB15K237", "standard"): ([9, 28], [0, 0]),
    ("MKGW", "mmrns"): ([333, 306], [1, 0]),
    ("MKGY", "mmrns"): ([400, 388], [0, 0]),
    ("WN9IMG", "ikrl"): ([0, 0], [0, 0]),
    ("YAGO15K", "imf"): ([2090, 4459], [1, 0]),
}
# The numbers of inverse, duplicate and symmetric relations:
PAIRS = {
    ("DB15K", "mmrns"): [0, 2, 1],
    ("DB15K", "imf"): [0, 2, 1],
    ("FB15K", "bordes"): [501, 140, 43],
    ("FB15K237", "standard"): [0, 1, 21],
    ("MKGW", "mmrns"): [2, 0, 5],
    ("MKGY", "mmrns"): [0, 1, 1],
    ("WN9IMG", "ikrl"): [4, 0, 1],
    ("YAGO15K", "imf"): [0, 0, 0],
}
# Test facts that follow from training by each of these, and by any:
IMPLIED = {
    ("DB15K", "mmrns"): [0, 417, 3, 420],
    ("DB15K", "imf"): [0, 874, 7, 881],
    ("FB15K", "bordes"): [38082, 3173, 4304, 43616],
    ("FB15K237", "standard"): [0, 0, 0, 0],
    ("MKGW", "mmrns"): [135, 0, 57, 192],
    ("MKGY", "mmrns"): [0, 581, 36, 617],
    ("WN9IMG", "ikrl"): [1176, 0, 10, 1186],
    ("YAGO15K", "imf"): [0, 0, 0, 0],
}
# Test facts whose entities training links the other way round, and by another relation:
LINKED = {
    ("DB15K", "mmrns"): (678, 2519),
    ("DB15K", "imf"): (1235, 4620),
    ("FB15K", "bordes"): (45817, 18486),
    ("FB15K237", "standard"): (0, 0),
    ("MKGW", "mmrns"): (224, 449),
    ("MKGY", "mmrns"): (50, 704),
    ("WN9IMG", "ikrl"): (1186, 0),
    ("YAGO15K", "imf"): (130, 4049),
}


@pytest.fixture(
    scope="module", params=UNSEEN, ids=lambda param: "-".join(x for x in param if x is not None)
)
def found(request, tmp_path_factory):
    name, version = request.param
    root = tmp_path_factory.mktemp(name)
    with pytest.MonkeyPatch.context() as context:
        context.setattr("socket.create_connection", Mock(side_effect=OSError("no network")))
        dataset = getattr(datasets, name)(str(root), version, text=None, visual=None, numeric=None)
    shutil.rmtree(root)
    return request.param, audit(dataset[0])


def test_splits(found):
    key, out = found
    if key in ROWS:
        assert out.problems == []
        assert tuple(out.splits[split].rows for split in SPLITS) == ROWS[key]
    unseen = [out.splits[split] for split in ("val", "test")]
    assert [split.unseen_node_rows for split in unseen] == UNSEEN[key][0]
    assert [split.unseen_relation_rows for split in unseen] == UNSEEN[key][1]
    assert out.splits["train"].unseen_node_rows == 0
    assert out.num_isolated_nodes == (1554 if key[0] == "YAGO15K" else 0)


def test_relations(found):
    key, out = found
    assert [len(pairs) for pairs in out.pairs.values()] == PAIRS[key]
    assert list(out.test_implied.values()) == IMPLIED[key]
    assert (out.test_reversed, out.test_linked) == LINKED[key]


def test_leaks(found):
    key, out = found
    train, val, test = (out.splits[split] for split in SPLITS)
    if key == ("DB15K", "mmrns"):
        assert (out.num_rows, out.num_facts) == (99028, 89197)
        assert (train.rows, train.facts) == (79222, 79222)
        assert (val.rows, val.facts, val.duplicate_rows) == (9904, 7481, 2423)
        assert val.shared_rows == {"train": 8719, "test": 1105}
        assert val.shared_facts == {"train": 6584, "test": 824}
        assert val.exclusive_facts == 73
        assert (test.rows, test.facts) == (9902, 9902)
        assert test.shared_rows == {"train": 0, "val": 824}
    if key == ("DB15K", "imf"):
        assert (out.num_rows, out.num_facts) == (99028, 89197)
        assert (train.rows, train.facts) == (69319, 64099)
        assert (val.rows, val.facts) == (9903, 9774)
        assert val.shared_rows == {"train": 1304, "test": 444}
        assert val.shared_facts == {"train": 1241, "test": 411}
        assert val.exclusive_facts == 8311
        assert (test.rows, test.facts, test.duplicate_rows) == (19806, 19275, 531)
        assert test.shared_rows == {"train": 2737, "val": 462}
        assert test.shared_facts == {"train": 2488, "val": 411}


def test_names(found):
    key, out = found
    first = {  # The pair with most facts in common.
        "DB15K": ("duplicate", {"associatedBand", "associatedMusicalArtist"}),
        "MKGW": ("inverse", {"followed by", "follows"}),
        "MKGY": ("duplicate", {"playsFor", "isAffiliatedTo"}),
        "WN9IMG": ("inverse", {"hyponym", "hypernym"}),
    }
    if key[0] in first:
        kind, names = first[key[0]]
        pair = out.pairs[kind][0]
        assert {out.rel_names[pair.rel], out.rel_names[pair.other]} == names
