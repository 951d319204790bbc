import hashlib
import io
import re
import warnings
import zipfile
from collections import Counter

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets import OpenMoji
from torch_imf.datasets.base import validate
from torch_imf.datasets.openmoji import RELEASE
from torch_imf.encoders import PixelEncoder
from torch_imf.io.images import read_image

WOMAN, ROCKET, HEART = "1F469", "1F680", "2764"
ASTRONAUT, LOVE = f"{WOMAN}-200D-{ROCKET}", f"{WOMAN}-200D-{HEART}-FE0F-200D-1F9B0-200D-{WOMAN}"
TABLE = f"""hexcode,group,subgroups,annotation,tags,openmoji_tags,skintone
{WOMAN},people-body,person,woman,"adult, lady",,
{WOMAN}-1F3FB,people-body,person,woman: light skin tone,"adult, skin",,1
1F9B0,component,hair-style,red hair,adult,,
{ROCKET},travel-places,sky & weather,rocket,"Space, fly","fly, fast",
{HEART},symbols,person,red heart,"adult, space","love",
{ASTRONAUT},people-body,person,"woman, astronaut","space, adult","adult, space, fly",
{LOVE},people-body,person,"couple","love, fly","a love",
"""
TAGS = {
    "adult": {WOMAN, HEART, ASTRONAUT},
    "space": {ROCKET, HEART, ASTRONAUT},
    "fly": {ROCKET, ASTRONAUT, LOVE},
}
FACTS = {
    *((node, "has_tag", f"tag:{tag}") for tag, nodes in TAGS.items() for node in nodes),
    *((node, "in_subgroup", "subgroup:person") for node in (WOMAN, HEART, ASTRONAUT, LOVE)),
    (ROCKET, "in_subgroup", "subgroup:sky & weather"),
    ("subgroup:person", "in_group", "group:people-body"),
    ("subgroup:person", "in_group", "group:symbols"),
    ("subgroup:sky & weather", "in_group", "group:travel-places"),
    *((ASTRONAUT, "has_part", part) for part in (WOMAN, ROCKET)),
    *((LOVE, "has_part", part) for part in (WOMAN, HEART)),
}


@pytest.fixture
def archive(small):
    Image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for i, node in enumerate([WOMAN, ROCKET, "1F9B0"]):
            picture = Image.new("RGBA", (72, 72), (0, 0, 0, 255 * i))  # A woman made of air.
            picture.save(file.open(f"{node}.png", "w"), "png")
    small.put(OpenMoji, {"OpenMoji/release/openmoji.csv": TABLE})
    return buffer.getvalue()


def facts(data):
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    edges = zip(head, rel, tail, strict=True)
    return [(data.node_ids[h], data.rel_ids[r], data.node_ids[t]) for h, r, t in edges]


def test_openmoji(small, archive, root):
    small.put(OpenMoji, {"OpenMoji/release/openmoji-72x72-color.zip": archive})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = OpenMoji(root, text=None)
    data = dataset[0]
    validate(data)
    assert str(dataset) == f"OpenMoji(13, num_relations=4, visual={PixelEncoder(18, 18)})"
    assert len(facts(data)) == len(FACTS) and set(facts(data)) == FACTS
    assert data.edge_index[:, data.train_mask].unique().numel() == data.num_nodes
    assert set(data.edge_type[data.train_mask].tolist()) == {0, 1, 2, 3}
    names = dict(zip(data.node_ids, data.node_names, strict=True))
    assert names[ASTRONAUT] == "woman, astronaut" and names["tag:space"] == "space"
    assert names["group:people-body"] == "people body"
    assert dataset.texts() == data.node_names
    found = {node: x for node, x in zip(data.node_ids, dataset.images(), strict=True) if x}
    assert list(found) == [WOMAN, ROCKET]  # What is transparent is white, and what is drawn black:
    assert read_image(found[WOMAN][0]).unique().tolist() == [255]
    assert data.x_visual[data.visual_mask].unique(dim=1).tolist() == [[1], [-1]]
    assert small.requests == []


def test_archive_of_the_release(small, archive, root, tmp_path):
    path = tmp_path / "openmoji-72x72-color.zip"
    path.write_bytes(archive)
    with pytest.warns(UserWarning, match=f"used without images: .* from '{RELEASE}', and pass it"):
        dataset = OpenMoji(root, text=None)
    assert "x_visual" not in dataset[0]
    with pytest.raises(RuntimeError, match="no images of 'OpenMoji' in a mirror"):
        OpenMoji(root, text=None, visual=PixelEncoder())
    with pytest.warns(UserWarning, match=r"1 of the 3 images in .* belong to no entity"):
        data = OpenMoji(root, text=None, images=str(path))[0]
    assert data.visual_mask.nonzero().view(-1).tolist() == [0, 1]


def test_pictures_of_another_file_system(small, archive, root, monkeypatch, tmp_path):
    small.put(OpenMoji, {"OpenMoji/release/openmoji-72x72-color.zip": archive})
    monkeypatch.setenv("TORCH_IMF_CACHE", str(tmp_path / "cache"))
    data = OpenMoji("memory://openmoji", text=None)[0]
    assert int(data.visual_mask.sum()) == 2


@pytest.mark.mirror
@withPackage("sklearn", "PIL")
def test_mirror(tmp_path):
    dataset = OpenMoji(str(tmp_path))
    data, names = dataset[0], dict(zip(dataset[0].node_ids, dataset.node_names, strict=True))
    counts = dict(zip(data.rel_ids, data.edge_type.bincount().tolist(), strict=True))
    assert counts == {"has_tag": 9542, "in_subgroup": 2456, "in_group": 120, "has_part": 624}
    assert len(set(facts(data))) == data.num_edges == 12_742
    kinds = [node.partition(":")[0] for node in data.node_ids if ":" in node]
    assert [kinds.count(x) for x in ("tag", "subgroup", "group")] == [1331, 117, 11]
    assert data.edge_index[:, data.train_mask].unique().numel() == data.num_nodes == 3915
    is_emoji = torch.tensor([":" not in node for node in data.node_ids])
    assert torch.equal(data.visual_mask, is_emoji) and all(dataset.texts())
    assert (
        names[ASTRONAUT] == "woman astronaut" and names["subgroup:face-smiling"] == "face smiling"
    )
    assert (ASTRONAUT, "has_part", ROCKET) in facts(data)

    # The same split on every machine:
    split = data.val_mask.long() + 2 * data.test_mask
    edges = torch.cat([data.edge_index, data.edge_type.view(1, -1), split.view(1, -1)])
    digest = hashlib.sha256(edges.numpy().astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "adb1dd30a79faf49"

    # What names tell of the answers:
    words = {node: set(re.findall(r"\w+", name.lower())) for node, name in names.items()}
    told, same = Counter(), Counter()
    for head, rel, tail in facts(data):
        told[rel] += set() < words[tail] <= words[head]
        same[rel] += names[head].lower() == names[tail].lower()
    assert (told["has_tag"], same["has_tag"], told["has_part"]) == (2429, 51, 212)
    tagged = Counter(tail for _, rel, tail in facts(data) if rel == "has_tag")
    assert sum(x < 3 for x in tagged.values()) == 23 and min(tagged.values()) == 2
