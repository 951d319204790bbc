import csv
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import torch_imf

FOLDER = Path(torch_imf.__file__).parent / "datasets" / "files" / "countries"


def rows(name):
    with open(FOLDER / f"{name}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


ENTITIES = {row["id"]: row for row in rows("entities")}
SPLIT = {(row["head"], row["relation"], row["tail"]): row["split"] for row in rows("triples")}


def fold(text):
    text = unicodedata.normalize("NFKD", text.replace("ł", "l"))
    return re.sub(r"[ʻ’'\u0300-\u036f]", "", text).casefold()


def pairs(relation):
    return {(head, tail) for head, rel, tail in SPLIT if rel == relation}


def test_entities():
    assert len(ENTITIES) == len(rows("entities"))
    assert len({row["name"] for row in ENTITIES.values()}) == len(ENTITIES)
    for node in ENTITIES:
        assert re.fullmatch(r"[a-z]+:[a-z0-9-]+", node)
    assert ENTITIES.keys() == {node for head, _, tail in SPLIT for node in (head, tail)}


def test_every_country_is_complete():
    countries = {node for node in ENTITIES if node.startswith("country:")}
    assert len(countries) >= 190
    for relation in ["capital", "region", "continent", "currency", "official_language"]:
        assert {head for head, _ in pairs(relation)} == countries
    for relation in ["region", "continent"]:
        assert len(pairs(relation)) == len(countries)


def test_regions_agree():
    part_of, region = dict(pairs("part_of")), dict(pairs("region"))
    assert all(part_of[region[head]] == tail for head, tail in pairs("continent"))
    located_in = dict(pairs("located_in"))
    assert all(located_in[tail] == region[head] for head, tail in pairs("capital"))


def test_split():
    assert len(SPLIT) == len(rows("triples"))
    train = {node for fact, split in SPLIT.items() if split == "train" for node in fact[::2]}
    assert train == ENTITIES.keys()
    for (head, relation, tail), split in SPLIT.items():
        if relation == "borders":
            assert head != tail and SPLIT[tail, relation, head] == split

    relations = defaultdict(set)
    for (_, relation, _), split in SPLIT.items():
        relations[split].add(relation)
    assert relations["train"] - relations["val"] == {"part_of", "language_family"}
    assert relations["val"] == relations["test"]
    count = Counter(SPLIT.values())
    assert all(0.09 < count[split] / len(SPLIT) < 0.11 for split in ["val", "test"])

    order = [(["train", "val", "test"].index(s), r, h, t) for (h, r, t), s in SPLIT.items()]
    assert order == sorted(order)


def test_texts():
    texts = [row["text"] for row in ENTITIES.values()]
    assert len(set(texts)) == len(texts)
    assert all(8 <= len(text.split()) <= 60 for text in texts)


def test_no_text_spells_out_a_fact():
    linked = defaultdict(set)
    for head, _, tail in SPLIT:
        linked[head].add(tail)
        linked[tail].add(head)
    for node, others in linked.items():
        text = fold(ENTITIES[node]["text"])
        for other in others:
            # "South America (subregion)" is named by "South America", and a
            # plural or genitive names it too:
            name = re.escape(fold(ENTITIES[other]["name"].split(" (")[0]))
            assert not re.search(rf"(?<!\w){name}s?(?!\w)", text), (node, other)
