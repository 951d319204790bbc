import os

import pytest
import torch

from torch_imf.datasets import MKGW

NODES = [f"http://www.wikidata.org/entity/Q{i}" for i in (2, 7, 1, 9)]
LINKS = [f"http://dbpedia.org/resource/{name}" for name in ("Bé", "Face/Off", "A_(letter)", "Z")]
FILES = {
    "MKG-W/AdaMF-MAT/entity2id.txt": "4\n" + "".join(f"{x} {i}\n" for i, x in enumerate(NODES)),
    "MKG-W/AdaMF-MAT/relation2id.txt": (
        "2\nhttp://www.wikidata.org/entity/P161 0\nhttp://www.wikidata.org/entity/P58 1\n"
    ),
    "MKG-W/AdaMF-MAT/train2id.txt": "2\n0 1 0\n2 3 1\n",  # Head, tail and relation.
    "MKG-W/AdaMF-MAT/valid2id.txt": "1\n1 2 1\n",
    "MKG-W/AdaMF-MAT/test2id.txt": "1\n3 0 0\n",
    "MKG-W/MMRNS/ent_links": "".join(
        f"{link}\t{node}\n" for link, node in reversed(list(zip(LINKS, NODES, strict=True)))
    ),
    "MKG-W/K-ON/rel_links.txt": "cast member\nscreenwriter\n",
}
TABLE = {
    "MKG-W/derived/entity2text.tsv": "entity\tname\tshort_description\tlong_description\n"
    + "".join(f"{node}\tname {i}\tshort  {i}\t\n" for i, node in enumerate(NODES[:3]))
    + f"{NODES[3]}\tZ\t\t\n"
}


@pytest.fixture(autouse=True)
def files(small):
    small.put(MKGW, FILES | TABLE | small.TEXTS)


def test_mkgw(small, root):
    dataset = MKGW(root, text=None, visual=None)
    data = dataset[0]
    assert data.node_ids == NODES
    assert data.node_names == ["Bé", "Face/Off", "A (letter)", "Z"]
    assert data.rel_ids[1] == "http://www.wikidata.org/entity/P58"
    assert data.rel_names == ["cast member", "screenwriter"]
    assert data.edge_index.tolist() == [[0, 2, 1, 3], [1, 3, 2, 0]]
    assert data.edge_type.tolist() == [0, 1, 1, 0]
    assert dataset.texts() == ["Bé. short 0", "Face/Off. short 1", "A (letter). short 2", "Z"]
    assert str(dataset) == "MKGW(4, num_relations=2)"
    assert str(dataset.summary()).startswith("MKGW ('mmrns', 'original'): 4 entities, 2 relations")
    assert small.requests == []


def test_mkgw_texts_of_fb15k(small, root):
    small.remove("MKG-W/derived/entity2text.tsv")
    dataset = MKGW(root, text=None, visual=None)
    assert dataset.texts() == ["Bé. B is two.", "Face/Off", 'A (letter). first. A is "1".', "Z"]
    assert os.path.isdir(os.path.join(root, "raw", "StAR"))

    class Lengths:
        def __call__(self, texts):
            return torch.tensor([[float(len(text))] for text in texts])

        def __repr__(self):
            return "Lengths()"

    second = MKGW(root, text=Lengths(), visual=None)
    assert second[0].x_text.view(-1).tolist() == [13, 8, 28, 1]
    small.put(MKGW, TABLE)
    assert MKGW(root, text=Lengths(), visual=None)[0].x_text[0] == 13  # As it was.
    first = MKGW(root, text=Lengths(), visual=None, force_reload=True)
    assert first[0].x_text.view(-1).tolist() == [11, 17, 19, 1]
    assert first.processed_paths != second.processed_paths


def test_mkgw_features(small, root, tmp_path, write_h5):
    # MMRNS names entities as DBpedia does, and has several vectors for each:
    features = {link: [[i, 1], [i + 1, 1]] for i, link in enumerate(LINKS[:3])}
    path = write_h5("MKG_W_img_BEIT_16-224.h5", features)
    data = MKGW(root, text=None, visual=path)[0]
    assert data.x_visual[:, 0].tolist() == [0.5, 1.5, 2.5, 0]
    assert data.visual_mask.tolist() == [True, True, True, False]

    names = ["Z", "Face/Off", "A_(letter)"]
    path = write_h5("names.h5", {name: [i + 1] for i, name in enumerate(names)})
    data = MKGW(root, text=None, visual=path)[0]
    assert data.x_visual.view(-1).tolist() == [0, 2, 3, 1]

    path = str(tmp_path / "MKG-W-visual.pth")
    torch.save(torch.arange(8.0).view(4, 2), path)
    data = MKGW(root, text=path, visual=path)[0]
    assert data.x_visual.tolist() == data.x_text.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
