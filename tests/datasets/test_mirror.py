import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf import datasets
from torch_imf.data import audit
from torch_imf.datasets.base import validate
from torch_imf.encoders import TfidfEncoder, VisualEncoder

pytestmark = [pytest.mark.mirror, pytest.mark.filterwarnings("ignore:YAGO15K holds only")]

MIRROR = Path(os.environ.get("TORCH_IMF_MIRROR", "").removeprefix("file://"))
MASKS = ("train_mask", "val_mask", "test_mask")
FOLDERS = {
    ("DB15K", "mmrns"): "DB15K",
    ("DB15K", "imf"): "DB15K",
    ("FB15K", "bordes"): "FB15K",
    ("FB15K237", "standard"): "FB15K-237",
    ("MKGW", "mmrns"): "MKG-W",
    ("MKGY", "mmrns"): "MKG-Y",
    ("WN9IMG", "ikrl"): "WN9-IMG",
    ("YAGO15K", "imf"): "YAGO15K",
    ("OpenMoji", "17"): "OpenMoji",
}
# The releases that number entities and relations in the same way:
ORDER = {"mmrns": ["AdaMF-MAT"], "imf": ["IMF"], "ikrl": ["IKRL"], "bordes": ["OpenKE"], "17": []}
# The sizes of splits where cleaning changes them:
CLEAN = {("DB15K", "mmrns"): [75330, 3965, 9902], ("DB15K", "imf"): [60559, 9363, 19275]}
NUM_FLAGS = {"DB15K": 269, "FB15K": 270, "FB15K237": 270, "MKGW": 69, "MKGY": 17, "YAGO15K": 263}


class Release:
    r"""A version of a dataset in the mirror, and what its tests share."""

    def __init__(self, name, version, root):
        self.cls, self.key = getattr(datasets, name), (name, version)
        self.folder = MIRROR / FOLDERS[name, version]
        # Default arguments, but short vectors of texts, and none of a second version, as they are
        # the same:
        self.first = version == self.cls.versions[0]
        text = TfidfEncoder(channels=16) if self.first else None
        self.args = {"root": str(root), "version": version, "text": text}
        self.dataset = self.cls(**self.args)
        self.data = self.dataset[0]
        self.bare = {**self.args, "text": None, "visual": None, "numeric": None}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    yield folder
    shutil.rmtree(folder)  # A gigabyte.


@pytest.fixture(scope="module", params=FOLDERS, ids="-".join)
def release(request, roots):
    asked = []

    def fetch(url, checksum):
        asked.append(url)
        raise OSError("no network")

    with pytest.MonkeyPatch.context() as context, warnings.catch_warnings():
        context.setattr("torch_imf.io.download._fetch", fetch)
        warnings.filterwarnings("ignore", "YAGO15K holds only")
        yield Release(*request.param, roots / request.param[0])
    # Nothing is asked for that the mirror has:
    missing = {"YAGO15K": "/YAGO15K/train.txt", "FB15K": "/FB15K/train.txt"}
    assert all(url.endswith(missing[request.param[0]]) for url in asked)


@pytest.fixture(scope="module")
def encoder():
    mean = (0.5, 0.5, 0.5)
    return VisualEncoder(
        "mobilenetv2_100",
        weights=MIRROR / "encoders" / "mobilenetv2_100_same.fp16.safetensors",
        model_kwargs={"pad_type": "same"},
        device="cpu",
        data_config={"mean": mean, "std": mean, "crop_mode": "squash", "crop_pct": 1.0},
    )


def facts(data, split):
    r"""Returns the distinct facts of a split in ascending order."""
    edges = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]])
    return edges[:, data[f"{split}_mask"]].unique(dim=1)


@withPackage("sklearn")
def test_load(release):
    name, data = release.key[0], release.data
    validate(data)
    found = {key[2:] for key in data.keys() if key.startswith("x_")}
    assert found == set(release.cls.modalities) - ({"text"} if not release.first else set())
    if release.first:
        assert data.text_mask.float().mean() > 0.97  # Words of some names are too rare.
    again = release.cls(**release.args)
    assert torch.equal(again[0].x_visual, data.x_visual)
    assert ("incomplete=True" in str(again)) == (name == "YAGO15K")


def test_stats(release):
    data, version = release.data, release.key[1]
    texts = zip(release.dataset.texts(), data.node_names, strict=True)
    numeric = data.get("numeric_mask", torch.zeros(0)).nonzero().view(-1)
    if "numeric" in release.cls.modalities:
        index, attributes, values = release.dataset.literals()
        assert torch.equal(index.unique(), numeric)
        assert index.numel() == len(attributes) == values.numel() and values.isfinite().all()
    train, val, test = (int(data[name].sum()) for name in MASKS)
    if release.key[0] == "YAGO15K":
        assert train == 29198  # Of those published:
        train = 86020
    described = sum(len(text) > len(name) for text, name in texts)
    sizes = (data.num_nodes, data.num_relations, train, val, test, described)
    assert release.cls.stats[version] == (*sizes, len(numeric), int(data.visual_mask.sum()))


def test_order_of_ids(release):
    for source in ORDER.get(release.key[1], ["OpenKE", "IMF"]):
        for file, names in (
            ("entity2id", release.data.node_ids),
            ("relation2id", release.data.rel_ids),
        ):
            text = (release.folder / source / f"{file}.txt").read_text("utf-8")
            lines = text.splitlines()[text.split("\n", 1)[0].isdigit() :]
            assert [line.rsplit(None, 1) for line in lines] == [
                [name, str(i)] for i, name in enumerate(names)
            ]


@withPackage("timm", "PIL")
def test_flags(release, encoder):
    r"""The flags in the mirror and its encoder give these features."""
    name, data = release.key[0], release.data
    if name not in NUM_FLAGS:
        assert "entity2image.tsv" not in str(release.cls.files)
        return
    images = release.dataset.images()
    index = torch.tensor([i for i, paths in enumerate(images) if paths is not None])
    assert index.numel() == NUM_FLAGS[name]
    assert data.visual_mask[index].all()

    if name == "MKGY":  # All of them, of which it has the least.
        x = release.cls(**{**release.bare, "visual": encoder})[0].x_visual[index]
    else:
        index = index[:: index.numel() // 3]
        x, mask = encoder([images[i] for i in index])
        assert mask.all()
    assert torch.cosine_similarity(x, data.x_visual[index]).min() > 0.999


def test_clean(release):
    data = release.data
    clean = release.cls(**release.bare, scheme="clean")[0]
    validate(clean)
    assert audit(clean).is_clean
    assert torch.equal(facts(clean, "test"), facts(data, "test"))
    assert facts(clean, "test").size(1) == int(clean.test_mask.sum())
    if release.key in CLEAN:
        assert [int(clean[mask].sum()) for mask in MASKS] == CLEAN[release.key]
    else:
        for name in ("edge_index", "edge_type", *MASKS):
            assert torch.equal(clean[name], data[name])

    if release.key == ("DB15K", "mmrns"):
        # Validation is drawn from all other facts, such that all entities are known:
        (train, val, test), (new_train, new_val, _) = (
            [set(map(tuple, facts(graph, x[:-5]).t().tolist())) for x in MASKS]
            for graph in (data, clean)
        )
        assert new_train | new_val == (train | val) - test
        assert len(new_val) == round(0.05 * len(new_train | new_val))
        found = audit(clean).splits["val"]
        assert found.unseen_node_rows == found.unseen_relation_rows == 0


def test_entities_that_training_never_sees(tmp_path):
    bare = dict.fromkeys(["text", "visual", "numeric"])
    data = datasets.FB15K237(str(tmp_path / "fb"), scheme="inductive", **bare)[0]
    assert [int(data[mask].sum()) for mask in MASKS] == [215_082, 42_164, 52_870]
    seen = data.edge_index[:, data.train_mask].unique()
    assert seen.numel() == 11_633
    lists = [MIRROR / "FB15K-237" / "BLP" / f"{x}_entities.txt" for x in ("val", "test")]
    new = [set(path.read_text().split()) for path in lists]
    assert list(map(len, new)) == [1454, 1454] and not new[0] & new[1]
    assert {data.node_ids[i] for i in seen.tolist()}.isdisjoint(new[0] | new[1])
    data = datasets.OpenMoji(str(tmp_path / "om"), scheme="inductive", **bare)[0]
    seen = set(data.edge_index[:, data.train_mask].unique().tolist())
    lost = [node for i, node in enumerate(data.node_ids) if i not in seen]
    assert len(lost) == round(0.1 * 2456) + round(0.2 * 2456) and not any(":" in x for x in lost)
