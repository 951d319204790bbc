r"""What is read from tiny files in place of those of the published datasets."""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from torch_imf.datasets import DB15K, FB15K, FB15K237, MKGW, MKGY, WN9IMG, YAGO15K, KGDataset
from torch_imf.datasets.base import validate
from torch_imf.encoders import FeatureFile, PixelEncoder


class Case(NamedTuple):
    cls: type[KGDataset]
    version: str
    files: dict
    node_ids: list[str]
    node_names: list[str]
    rel_ids: list[str]
    rel_names: list[str]
    edge_index: list[list[int]]
    edge_type: list[int]
    num_train: int
    texts: list[str]
    visual: dict[int, float] = {}
    literals: list[tuple[int, str, float]] = []


TEXTS = {
    "FB15K/StAR/fb-entity2text-new.txt": (
        '/m/a\tA -- A is "1\\".\n/m/b\tB -- B is\\ntwo.\n/m/c\tC\n/m/d\tD -- No.\n'
    ),
    "FB15K/villmow/entity2wikidata.json": {
        "/m/a": {
            "label": "A",
            "description": "first",
            "wikidata_id": "Q1",
            "wikipedia": "https://en.wikipedia.org/wiki/A_(letter)",
        },
        "/m/b": {
            "label": "Bé",
            "description": None,
            "wikidata_id": "Q2",
            "wikipedia": "https://en.wikipedia.org/wiki/B%C3%A9",
        },
        "/m/e": {"label": "E", "description": "of two ids, not the first", "wikidata_id": "Q2"},
    },
}


def ids(*names, count=False, end="\n"):
    lines = [f"{name}\t{i}" for i, name in enumerate(names)]
    return end.join([*[str(len(names))] * count, *lines, ""])


# FB15K and FB15K-237 ############################################################################

FREEBASE = {
    "FB15K/kg-bert/FB15k_mid2name.txt": "/m/a\tAh\n/m/b\tBe\n/m/c\tMr_C\n/m/d\tMr_D\n/m/z\tZ\n",
    "FB15K/MMKB/FB15K_NumericalTriples.txt": (
        "/m/a\t<height>\t1.5\n/m/z\t<height>\t2\n/m/c\t<born>\t1900-7-1\n"
    ),
    "FB15K/MMKB/FB15K_ImageIndex.txt": "/m/c\tFBIMG1\n/m/a\tFBIMG2\n/m/z\tFBIMG3\n",
    "FB15K/derived/visual_mobilenetv2.npz": {"/m/a": [1, 1], "/m/z": [2, 2]},
    "FB15K/derived/visual_mobilenetv2_rsme_samples.npz": {"/m/b": [3, 3]},
    **TEXTS,
}
OPENKE = {
    "FB15K/OpenKE/entity2id.txt": ids("/m/a", "/m/b", "/m/c", "/m/d", count=True, end="\r\n"),
    "FB15K/OpenKE/relation2id.txt": ids("/film/film_actor", "/film/genre", count=True, end="\r\n"),
    "FB15K/OpenKE/train2id.txt": "2\n0 1 0\n2 0 1\n",  # Head, tail and relation.
    "FB15K/OpenKE/valid2id.txt": "1\n1 0 0\n",
    "FB15K/OpenKE/test2id.txt": "1\n2 3 0\n",
}
IMF = {
    "FB15K/IMF/entity2id.txt": ids("/m/d", "/m/c", "/m/b", "/m/a"),
    "FB15K/IMF/relation2id.txt": ids("/film/genre", "/film/film_actor"),
}
IMF_FACTS = {  # The mirror has none of these.
    "FB15K/IMF/train.txt": "/m/c /film/film_actor /m/d\n/m/c /film/genre /m/a\n",
    "FB15K/IMF/val.txt": "/m/b /film/film_actor /m/a\n",
    "FB15K/IMF/test.txt": "/m/a /film/film_actor /m/b\n",
}
CONVE = {
    "train.txt": "/m/a\t/film/film_actor\t/m/b\r\n/m/c\t/film/genre\t/m/a\r\n",
    "valid.txt": "/m/b\t/film/film_actor\t/m/a\r\n",
    "test.txt": "/m/c\t/film/film_actor\t/m/d\r\n",
}
FB_RELS = ["/film/film_actor", "/film/genre"]
FB_NAMES = ["A", "Bé", "Mr C", "Mr D"]
FB_TEXTS = ['A. first. A is "1".', "Bé. B is two.", "Mr C", "Mr D. No."]
OF_FB15K = (["/m/a", "/m/b", "/m/c", "/m/d"], FB_NAMES, FB_RELS, FB_RELS)
OF_FB15K += ([[0, 2, 1, 2], [1, 0, 0, 3]], [0, 1, 0, 0], 2, FB_TEXTS)
OF_FB15K += ({0: 1, 1: 3}, [(0, "<height>", 1.5), (2, "<born>", 1900.5)])
OF_FB15K_IMF = (["/m/d", "/m/c", "/m/b", "/m/a"], FB_NAMES[::-1], FB_RELS[::-1], FB_RELS[::-1])
OF_FB15K_IMF += ([[1, 1, 2, 3], [0, 3, 3, 2]], [1, 0, 1, 1], 2, FB_TEXTS[::-1])
OF_FB15K_IMF += ({2: 3, 3: 1}, [(3, "<height>", 1.5), (1, "<born>", 1900.5)])

# DB15K and YAGO15K ##############################################################################

DBPEDIA = "<http://dbpedia.org/resource/{}>".format
PARIS, FRANCE = DBPEDIA("Paris"), DBPEDIA("Franciaország")
STOKER, AC = DBPEDIA('Abraham_"Bram"_Stoker'), DBPEDIA("AC/DC_(band)")
TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
COUNTRY = "<http://dbpedia.org/ontology/country>"
DB_NODES, DB_RELS, DB_REL_NAMES = [PARIS, FRANCE, STOKER, AC], [TYPE, COUNTRY], ["type", "country"]
DB_NAMES = ["Paris", "Franciaország", 'Abraham "Bram" Stoker', "AC/DC (band)"]
DB_TEXTS = ["Paris", f"{DB_NAMES[1]}. No.", f"{DB_NAMES[2]}. B is two."]
DB_TEXTS.append('AC/DC (band). first. A is "1".')
DB_TRAIN = f"{PARIS} {COUNTRY} {FRANCE} .\n{AC} {TYPE} {STOKER} .\n"
DB = {
    "DB15K/AdaMF-MAT/entity2id.txt": ids(*DB_NODES, count=True),
    "DB15K/AdaMF-MAT/relation2id.txt": ids(*DB_RELS, count=True),
    "DB15K/AdaMF-MAT/train2id.txt": "3\n0 1 1\n3 2 0\n1 1 1\n",
    "DB15K/AdaMF-MAT/valid2id.txt": "2\n0 1 1\n0 1 1\n",
    "DB15K/AdaMF-MAT/test2id.txt": "1\n1 0 0\n",
    "DB15K/IMF/entity2id.txt": ids(*DB_NODES[::-1]),
    "DB15K/IMF/relation2id.txt": ids(*DB_RELS[::-1]),
    "DB15K/IMF/train.txt.gz": DB_TRAIN,
    "DB15K/IMF/val.txt": f"{FRANCE} {COUNTRY} {FRANCE} .\n",
    "DB15K/IMF/test.txt": f"{FRANCE} {TYPE} {PARIS} .\n{PARIS} {COUNTRY} {FRANCE} .\n",
    "DB15K/IMF/entity2fb.txt": f"{AC} /m/a 0\n{STOKER} /m/b 1\n{FRANCE} /m/d 2\n",
    "DB15K/Literal_KGs/DB15k_Numeric_triples_processed.txt": (
        'Paris\theight\t35.0\n"Abraham_""Bram""_Stoker"\tbirthDate\t1847-7-1\n'
        "Franciaország\theight\t4800\nSomebody\theight\t1.8\n"
    ),
    "DB15K/MMKB/DB15K_ImageIndex.txt": f"{STOKER}\tDBIMG1\n{PARIS}\tDBIMG2\n",
    "DB15K/MMKB/DB15K_SameAsLink.txt": (
        f"/m/05qtj <SameAs> {PARIS} .\n/m/0f8l9c <SameAs> {FRANCE} .\n"
    ),
    "DB15K/derived/visual_mobilenetv2.npz": {FRANCE: [1, 2], AC: [3, 4]},
    **TEXTS,
}
OF_DB15K = (DB_NODES, DB_NAMES, DB_RELS, DB_REL_NAMES)
OF_DB15K += ([[0, 3, 1, 0, 0, 1], [1, 2, 1, 1, 1, 0]], [1, 0, 1, 1, 1, 0], 3, DB_TEXTS)
OF_DB15K += ({1: 1, 3: 3}, [(0, "height", 35), (2, "birthDate", 1847.5), (1, "height", 4800)])
OF_DB15K_IMF = (DB_NODES[::-1], DB_NAMES[::-1], DB_RELS[::-1], DB_REL_NAMES[::-1])
OF_DB15K_IMF += ([[3, 0, 2, 2, 3], [2, 1, 2, 3, 2]], [0, 1, 0, 1, 0], 2, DB_TEXTS[::-1])
OF_DB15K_IMF += ({2: 1, 0: 3}, [(3, "height", 35), (1, "birthDate", 1847.5), (2, "height", 4800)])

YAGO_URI = "<http://yago-knowledge.org/resource/{}>".format
NAMES = ["New_York_City", "Mario_Puzo", "Marché", "A.F.C._Telford_United"]
NEW_YORK, PUZO, MARCHE, TELFORD = map(YAGO_URI, NAMES)
PLAYS, BORN = map(YAGO_URI, ["playsFor", "wasBornIn"])
YAGO_TRAIN = f"{PUZO} {BORN} {NEW_YORK} .\n{PUZO} {PLAYS} {TELFORD} .\n{MARCHE} {PLAYS} {TELFORD} ."
YAGO_WHOLE = {"YAGO15K/IMF/train.txt": YAGO_TRAIN}  # Upstream only.
YAGO = {
    "YAGO15K/IMF/entity2id.txt": ids(NEW_YORK, PUZO, MARCHE, TELFORD),
    "YAGO15K/IMF/relation2id.txt": ids(PLAYS, BORN),
    "YAGO15K/IMF/val.txt": f"{MARCHE} {BORN} {NEW_YORK} .\n",
    "YAGO15K/IMF/test.txt": f"{PUZO} {PLAYS} {MARCHE} .\n",
    "YAGO15K/derived/train_known.txt.gz": YAGO_TRAIN.partition("\n")[0] + "\n",
    "YAGO15K/Literal_KGs/YAGO15K_Numerical_handled_rdup.txt": (
        "Mario_Puzo wasBornOnDate 1920.1015\nMarché hasLatitude -1.5\nMarché hasLatitude 2\n"
    ),
    "YAGO15K/MMKB/YAGO15K_ImageIndex.txt": f"{NEW_YORK}\tYAGOIMG1\n{MARCHE}\tYAGOIMG2\n",
    "YAGO15K/MMKB/YAGO15K_SameAsLink.txt": f"/m/a <SameAs> {PUZO} .\n/m/d <SameAs> {MARCHE} .\n",
    "YAGO15K/derived/visual_mobilenetv2.npz": {MARCHE: [1, 2]},
    **TEXTS,
}
YAGO_TEXTS = [
    "New York City",
    'Mario Puzo. first. A is "1".',
    "Marché. No.",
    "A.F.C. Telford United",
]
OF_YAGO15K = ([NEW_YORK, PUZO, MARCHE, TELFORD], [x.replace("_", " ") for x in NAMES])
OF_YAGO15K += ([PLAYS, BORN], ["playsFor", "wasBornIn"])
OF_YAGO15K += ([[1, 1, 2, 2, 1], [0, 3, 3, 0, 2]], [1, 0, 0, 1, 0], 3, YAGO_TEXTS, {2: 1})
OF_YAGO15K += ([(1, "wasBornOnDate", 1920.1015), (2, "hasLatitude", -1.5), (2, "hasLatitude", 2)],)

# MKG-W and MKG-Y ################################################################################

FACTS = {"train2id": "2\n0 1 0\n2 3 1\n", "valid2id": "1\n1 2 1\n", "test2id": "1\n3 0 0\n"}
EDGES = ([[0, 2, 1, 3], [1, 3, 2, 0]], [0, 1, 1, 0], 2)


def mkg(name, nodes, rels, links):
    resources = [f"http://dbpedia.org/resource/{link}" for link in links]
    return {
        f"{name}/AdaMF-MAT/entity2id.txt": ids(*nodes, count=True),
        f"{name}/AdaMF-MAT/relation2id.txt": ids(*rels, count=True),
        **{f"{name}/AdaMF-MAT/{file}.txt": text for file, text in FACTS.items()},
        f"{name}/MMRNS/ent_links": "".join(
            f"{link}\t{node}\n" for link, node in [*zip(resources, nodes, strict=True)][::-1]
        ),
        f"{name}/derived/visual_mobilenetv2.npz": {nodes[1]: [1, 2]},
        **TEXTS,
    }


W_NODES = [f"http://www.wikidata.org/entity/Q{i}" for i in (2, 7, 1, 9)]
W_RELS = [f"http://www.wikidata.org/entity/P{i}" for i in (161, 58)]
W_LINKS = ["Bé", "Face/Off", "A_(letter)", "Z"]
W = {
    **mkg("MKG-W", W_NODES, W_RELS, W_LINKS),
    "MKG-W/K-ON/rel_links.txt": "cast member\nscreenwriter\n",
}
W_TABLE = {
    "MKG-W/derived/entity2text.tsv": "entity\tname\tshort_description\tlong_description\n"
    + "".join(f"{node}\tname {i}\tshort  {i}\t\n" for i, node in enumerate(W_NODES[:3]))
    + f"{W_NODES[3]}\tZ\t\t\n"
}
OF_MKGW = (W_NODES, ["Bé", "Face/Off", "A (letter)", "Z"], W_RELS, ["cast member", "screenwriter"])
OF_MKGW += (*EDGES, ["Bé. short 0", "Face/Off. short 1", "A (letter). short 2", "Z"], {1: 1})
W_TEXTS = ["Bé. B is two.", "Face/Off", 'A (letter). first. A is "1".', "Z"]  # Without the table.

Y_NODES, Y_RELS = ["B.", "Deh_Bonyad", "A_(letter)", "Æ"], ["wasBornIn", "playsFor"]
# By the titles of articles, with characters that are quoted in one place or the other:
Y = mkg("MKG-Y", Y_NODES, Y_RELS, ["B%C3%A9", "Deh_Bonyad", "A_(letter)", "Æthel"])
OF_MKGY = (Y_NODES, ["B.", "Deh Bonyad", "A (letter)", "Æ"], Y_RELS, Y_RELS, *EDGES)
OF_MKGY += (["B.. B is two.", "Deh Bonyad", 'A (letter). first. A is "1".', "Æ"], {1: 1})

# WN9-IMG ########################################################################################

SYNSETS = ["n02084071", "n02103406", "n10083823"]
WN9 = {
    "WN9-IMG/IKRL/entity2id.txt": ids(*SYNSETS, end="\r\n"),
    "WN9-IMG/IKRL/relation2id.txt": ids("_hypernym", "_has_part", end="\r\n"),
    "WN9-IMG/IKRL/train.txt": (  # Head, tail and relation.
        f"{SYNSETS[1]}\t{SYNSETS[0]}\t_hypernym\r\n{SYNSETS[2]}\t{SYNSETS[1]}\t_has_part\r\n"
    ),
    "WN9-IMG/IKRL/valid.txt": f"{SYNSETS[0]}\t{SYNSETS[2]}\t_hypernym\r\n",
    "WN9-IMG/IKRL/test.txt": f"{SYNSETS[0]}\t{SYNSETS[1]}\t_has_part\r\n",
    "WN9-IMG/derived/visual_mobilenetv2.npz": {SYNSETS[1]: [1, 2]},
}
WN9_TABLE = {
    "WN9-IMG/derived/entity2text.tsv": (
        "entity\tname\tshort_description\tlong_description\n"
        "n10083823\tfarrier\t\tfarrier, a person\nn02084071\tdog,  Canis\t\tdog, an animal\n"
        "n02103406\tworking dog\t\tworking dog, any of several breeds\n"
    )
}
GLOSSES = {  # Names of all of WordNet, but not all of its glosses, which have keys of their own.
    "WN9-IMG/MoSE/ent_name.txt": (
        "n00003993\tpsychological feature\nn02084071\tdog,  Canis\n"
        "n02103406\tworking dog\nn10083823\tfarrier\n"
    ),
    "WN9-IMG/MoSE/ent_dscp.txt": (
        "10083823\tfarrier, a person\n02103406\tworking dog, any of several breeds\n"
        "02084071\tdog, an animal\n"
    ),
}
WN9_TEXTS = ["dog, Canis. dog, an animal", "working dog. working dog, any of several breeds"]
OF_WN9IMG = (SYNSETS, ["dog, Canis", "working dog", "farrier"], ["_hypernym", "_has_part"])
OF_WN9IMG += (["hypernym", "has part"], [[1, 2, 0, 0], [0, 1, 2, 1]], [0, 1, 0, 1], 2)
OF_WN9IMG += ([*WN9_TEXTS, "farrier. farrier, a person"], {1: 1})

CASES = [
    Case(FB15K, "bordes", {**OPENKE, **IMF, **FREEBASE}, *OF_FB15K),
    Case(FB15K, "imf", {**OPENKE, **IMF, **IMF_FACTS, **FREEBASE}, *OF_FB15K_IMF),
    Case(FB15K237, "standard", {"FB15K-237/ConvE/FB15k-237.tar.gz": CONVE, **FREEBASE}, *OF_FB15K),
    Case(DB15K, "mmrns", DB, *OF_DB15K),
    Case(DB15K, "imf", DB, *OF_DB15K_IMF),
    Case(YAGO15K, "imf", {**YAGO, **YAGO_WHOLE}, *OF_YAGO15K),
    Case(MKGW, "mmrns", {**W, **W_TABLE}, *OF_MKGW),
    Case(MKGY, "mmrns", Y, *OF_MKGY),
    Case(WN9IMG, "ikrl", {**WN9, **WN9_TABLE}, *OF_WN9IMG),
]


BARE = dict.fromkeys(["text", "visual", "numeric"])
FILES = {case.cls: case.files for case in CASES}  # All files of a dataset.


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.cls.__name__}-{case.version}")
def test_contract(small, root, case):
    small.put(case.cls, case.files)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = case.cls(root, case.version, text=None)
    data = dataset[0]
    validate(data)
    assert data.node_ids == case.node_ids and data.node_names == case.node_names
    assert data.rel_ids == case.rel_ids and data.rel_names == case.rel_names
    assert data.edge_index.tolist() == case.edge_index
    assert data.edge_type.tolist() == case.edge_type
    train = [i < case.num_train for i in range(data.num_edges)]
    assert data.train_mask.tolist() == train and data.test_mask[-1]
    assert dataset.texts() == case.texts
    visual = data.get("visual_mask", torch.zeros(0)).nonzero().view(-1).tolist()
    assert {i: data.x_visual[i, 0].item() for i in visual} == case.visual
    if "numeric" in case.cls.modalities:
        index, attributes, values = dataset.literals()
        found = list(zip(index.tolist(), attributes, values.tolist(), strict=True))
        assert found == case.literals
        assert data.numeric_mask.nonzero().view(-1).tolist() == sorted({x for x, *_ in found})
    first = case.version == case.cls.versions[0]
    name, version = case.cls.__name__, "" if first else f", version='{case.version}'"
    assert str(dataset).startswith(f"{name}({len(case.node_ids)}, num_relations=2{version}")
    assert str(dataset.summary()).startswith(f"{name} ('{case.version}', 'original'): ")
    assert os.path.basename(dataset.processed_paths[0]).startswith(f"data_{case.version}_original_")
    assert small.requests == []


def test_versions_live_in_one_folder(small, root):
    small.put(DB15K, FILES[DB15K])
    for version, expected in (("imf", DB_NODES[::-1]), (None, DB_NODES)) * 2:
        assert DB15K(root, version, **BARE)[0].node_ids == expected
    clean = DB15K(root, "imf", "clean", **BARE)
    assert clean[0].edge_index.tolist() == [[0, 2, 2, 3], [1, 2, 3, 2]]
    assert str(clean) == "DB15K(4, num_relations=2, version='imf', scheme='clean')"
    assert "data_imf_clean_" in clean.processed_paths[0]
    with pytest.raises(ValueError, match=r"'mmkb'\), expected one of \['mmrns', 'imf'\]"):
        DB15K(root, version="mmkb")


def test_what_is_left_out_is_not_fetched(small, root):
    small.put(FB15K237, FILES[FB15K237])
    dataset = FB15K237(root, **BARE)
    assert str(dataset) == "FB15K237(4, num_relations=2)"
    assert not any(key.startswith("x_") or key == "encoders" for key in dataset[0].keys())
    assert sorted(os.listdir(dataset.raw_dir)) == ["ConvE", "kg-bert", "villmow"]


SECOND = {  # What may be read in place of what, with the same or other facts.
    "DB15K": (DB15K, "imf", {"DB15K/IMF/train.txt.gz": DB_TRAIN}),
    "WN9IMG": (WN9IMG, "ikrl", WN9_TABLE),
}
INSTEAD = {
    "DB15K": {"DB15K/IMF/train.txt": "".join(DB_TRAIN.splitlines(True)[::-1])},
    "WN9IMG": GLOSSES,
}


@pytest.mark.parametrize("upstream", [True, False])
@pytest.mark.parametrize("name", SECOND)
def test_second_choice(small, root, name, upstream):
    cls, version, first = SECOND[name]
    small.put(cls, {x: text for x, text in FILES[cls].items() if x not in first})
    small.put(cls, INSTEAD[name], upstream)
    dataset = cls(root, version, **BARE)
    (case,) = (case for case in CASES if (case.cls, case.version) == (cls, version))
    assert dataset.texts() == case.texts and dataset.node_names == case.node_names
    swapped = [[0, 3, 2, 2, 3], [1, 2, 2, 3, 2]]  # The order of training facts is another one.
    expected = swapped if cls is DB15K else case.edge_index
    assert dataset[0].edge_index.tolist() == expected
    path = next(iter(INSTEAD[name])).partition("/")[2]
    assert path in dataset.raw_file_names
    assert (len(small.requests) > 0) == upstream

    small.put(cls, first)
    other = cls(root, version, **BARE, force_reload=True)
    assert other[0].edge_index.tolist() == case.edge_index
    assert path not in other.raw_file_names and other.processed_paths != dataset.processed_paths


class Lengths:
    def __call__(self, texts):
        return torch.tensor([[float(len(text))] for text in texts])

    def __repr__(self):
        return "Lengths()"


def test_mkgw_texts_of_fb15k(small, root):
    small.put(MKGW, W)
    dataset = MKGW(root, text=Lengths(), visual=None)
    assert dataset.texts() == W_TEXTS
    assert dataset[0].x_text.view(-1).tolist() == list(map(len, W_TEXTS))
    small.put(MKGW, W_TABLE)
    assert MKGW(root, text=Lengths(), visual=None)[0].x_text[0] == 13  # As it was.
    other = MKGW(root, text=Lengths(), visual=None, force_reload=True)
    assert other[0].x_text[0] == len("Bé. short 0")
    assert other.processed_paths != dataset.processed_paths


def test_by_hand(small, root, monkeypatch):
    small.put(FB15K, {**OPENKE, **IMF, **FREEBASE})
    with pytest.raises(RuntimeError) as error:
        FB15K(root, version="imf")
    origin = "https://raw.githubusercontent.com/HestiaSky/IMF-Pytorch/"
    assert f"Dataset not found. Please download 'train.txt' from '{origin}" in str(error.value)
    assert f"/dataset/FB15K/train.txt' and move it to '{root}/raw/IMF'" in str(error.value)
    assert "Also needed: 'IMF/val.txt' from 'https://raw" in str(error.value)
    assert len(small.requests) == 1 and not os.path.exists(os.path.join(root, "processed"))

    small.put(FB15K, IMF_FACTS, upstream=True)
    small.upstream.clear()
    for name, text in IMF_FACTS.items():
        Path(root, "raw", name.removeprefix("FB15K/")).write_text(text)
    assert FB15K(root, "imf", **BARE).num_nodes == 4


@pytest.mark.parametrize("network", [True, False])
def test_yago15k_incomplete(small, root, network):
    small.put(YAGO15K, YAGO)
    if network:  # What is there upstream is another file.
        small.upstream[YAGO15K.files["imf"][0][2].url] = b"<html>"
    message = "holds only 29,198 of its 86,020 training facts.*must not be compared"
    for _ in range(2):  # At every construction.
        with pytest.warns(UserWarning, match=message) as record:
            dataset = YAGO15K(root, **BARE)
        assert len(record) == 1 and record[0].filename == __file__
    assert f"/dataset/YAGO15K/train.txt' and move it to '{root}/raw/IMF'" in str(record[0].message)
    assert dataset[0].edge_index.tolist() == [[1, 2, 1], [0, 0, 2]]
    assert str(dataset) == "YAGO15K(4, num_relations=2, incomplete=True)"
    assert str(dataset.summary()).endswith(f"\n  WARNING  {record[0].message}")
    assert os.path.basename(dataset.processed_paths[0]).startswith("data_imf_original_imf.2_")
    assert len(small.requests) == 1
    with pytest.warns(UserWarning, match=message):
        YAGO15K(root, **BARE, force_reload=True)
    assert len(small.requests) == 2  # Looks for the whole again.

    small.put(YAGO15K, YAGO_WHOLE, upstream=True)
    small.upstream.clear()
    small.requests.clear()
    Path(root, "raw", "IMF", "train.txt").write_text(YAGO_TRAIN)  # By hand.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = YAGO15K(root, **BARE)
    assert str(whole) == "YAGO15K(4, num_relations=2)" and whole.summary().warning is None
    assert int(whole[0].train_mask.sum()) == 3 and small.requests == []
    assert whole.processed_paths != dataset.processed_paths


def by_name(data):
    rows = data.visual_mask.nonzero().view(-1).tolist()
    return {data.node_ids[i]: data.x_visual[i, 0].item() for i in rows}


RESOURCES = [f"http://dbpedia.org/resource/{link}" for link in W_LINKS]
KEYS = {"DBIMG1": [[1, 9]], "DBIMG2": [[2, 9]]}
MIDS = {"m.05qtj": [[1, 9], [2, 9]], "m.0f8l9c": [[3, 9]]}  # Several of one are averaged.
URIS = {AC: [1, 9], FRANCE[1:-1]: [2, 9], "Paris": [3, 9]}
FBIMG = {f"FBIMG{i}": [[i, i]] for i in (1, 2, 3)}
MKGW_IMG = {link: [[i, 1], [i + 1, 1]] for i, link in enumerate(RESOURCES[:2])}
MKGY_IMG = {"A_(letter)": [[1]], "http://dbpedia.org/resource/Æthel": [[2]], "Deh_Bonyad": [[3]]}
NAMED = [  # Features as MMKB and MMRNS publish them, by name.
    (DB15K, None, KEYS, {STOKER: 1, PARIS: 2}),
    (DB15K, "imf", KEYS, {STOKER: 1, PARIS: 2}),
    (DB15K, None, MIDS, {PARIS: 1.5, FRANCE: 3}),
    (DB15K, None, URIS, {AC: 1, FRANCE: 2, PARIS: 3}),
    (YAGO15K, None, {"YAGOIMG1": [[1]], "YAGOIMG2": [[2]]}, {NEW_YORK: 1, MARCHE: 2}),
    (FB15K, None, FBIMG, {"/m/a": 2, "/m/c": 1}),
    (FB15K237, None, FBIMG, {"/m/a": 2, "/m/c": 1}),
    (MKGW, None, MKGW_IMG, {W_NODES[0]: 0.5, W_NODES[1]: 1.5}),
    (MKGY, None, MKGY_IMG, {"A_(letter)": 1, "Æ": 2, "Deh_Bonyad": 3}),
]


@pytest.mark.parametrize("cls,version,features,expected", NAMED)
def test_features_by_name(small, root, write_h5, cls, version, features, expected):
    (files, *_) = (x.files for x in CASES if x.cls is cls and version in (None, x.version))
    small.put(cls, files)
    path = write_h5("features.h5", features)
    data = cls(root, version, **{**BARE, "visual": path})[0]
    assert by_name(data) == expected
    path = write_h5("other.h5", {**features, "XIMG9": next(iter(features.values()))})
    with pytest.raises(ValueError, match="1 of its . names belong to no entity .*XIMG9"):
        cls(root, version, **{**BARE, "visual": path})


@pytest.mark.parametrize("cls", [DB15K, MKGW, MKGY])
def test_features_by_row(small, root, tmp_path, cls):
    small.put(cls, FILES[cls])
    path, x = str(tmp_path / "visual.pth"), torch.tensor([[1.0, 1], [2, 2], [0, 0], [4, 4]])
    torch.save(x, path)
    data = cls(root, text=path, visual=path)[0]
    assert torch.equal(data.x_visual, x) and torch.equal(data.x_text, x)
    assert data.visual_mask.tolist() == [True, True, False, True]
    assert data.encoders["visual"].startswith("FeatureFile('visual.pth', sha256=")
    if cls is DB15K:  # The other version numbers entities in another way:
        rows = FeatureFile(path, ids=os.path.join(root, "raw", "AdaMF-MAT", "entity2id.txt"))
        data = DB15K(root, "imf", **{**BARE, "visual": rows})[0]
        assert torch.equal(data.x_visual, x.flip(0))
    torch.save(x[:3], path)
    with pytest.raises(ValueError, match="have 3 rows for 4 entities"):
        cls(root, text=None, visual=path)


@pytest.mark.parametrize(
    "cls,names,expected",
    [  # As in ImageNet, and by Freebase id or key; the last is of another entity of FB15K.
        (
            WN9IMG,
            ["n02084071/n02084071_12.JPEG", "n02084071/n02084071_7.JPEG"],
            [True, False, False],
        ),
        (FB15K237, ["m.c.png", "m.a/1.png", "FBIMG3.png"], [True, False, True, False]),
    ],
)
def test_images(small, root, tmp_path, cls, names, expected):
    Image = pytest.importorskip("PIL.Image")
    small.put(cls, FILES[cls])
    kwargs = {**BARE, "visual": PixelEncoder(1, 1)}
    with pytest.raises((ValueError, RuntimeError), match=r"There are no images|entity2image.tsv"):
        cls(root, **kwargs)
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (255, 0, 0)).save(path)
    dataset = cls(root, **kwargs, images=str(tmp_path / "images"))
    assert dataset[0].visual_mask.tolist() == expected
    assert sum(map(len, filter(None, dataset.images()))) == 2
