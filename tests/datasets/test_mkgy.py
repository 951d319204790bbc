import pytest
import torch

from torch_imf.datasets import MKGY

NODES = ["B.", "Deh_Bonyad", "A_(letter)", "Æ"]
LINKS = ["B%C3%A9", "Deh_Bonyad", "A_(letter)", "Æthel"]
FILES = {
    "MKG-Y/AdaMF-MAT/entity2id.txt": "4\n" + "".join(f"{x} {i}\n" for i, x in enumerate(NODES)),
    "MKG-Y/AdaMF-MAT/relation2id.txt": "2\nwasBornIn 0\nplaysFor 1\n",
    "MKG-Y/AdaMF-MAT/train2id.txt": "2\n0 1 0\n2 3 1\n",  # Head, tail and relation.
    "MKG-Y/AdaMF-MAT/valid2id.txt": "1\n1 2 1\n",
    "MKG-Y/AdaMF-MAT/test2id.txt": "1\n3 0 0\n",
    "MKG-Y/MMRNS/ent_links": "".join(
        f"http://dbpedia.org/resource/{x}\t{node}\n" for x, node in zip(LINKS, NODES, strict=True)
    ),
}


@pytest.fixture(autouse=True)
def files(small):
    small.put(MKGY, FILES | small.TEXTS)


def test_mkgy(small, root):
    dataset = MKGY(root, text=None, visual=None)
    data = dataset[0]
    assert data.node_ids == NODES
    assert data.node_names == ["B.", "Deh Bonyad", "A (letter)", "Æ"]
    assert data.rel_ids == data.rel_names == ["wasBornIn", "playsFor"]
    assert data.edge_index.tolist() == [[0, 2, 1, 3], [1, 3, 2, 0]]
    assert data.edge_type.tolist() == [0, 1, 1, 0]
    # By the titles of articles, with characters that are quoted in one place or the other:
    assert dataset.texts() == ["B.. B is two.", "Deh Bonyad", 'A (letter). first. A is "1".', "Æ"]
    assert str(dataset) == "MKGY(4, num_relations=2)"
    assert small.requests == []


def test_mkgy_features(root, tmp_path, write_h5):
    names = ["A_(letter)", "http://dbpedia.org/resource/Æthel", "Deh_Bonyad"]
    path = write_h5("MKG_Y_img_BEIT_16-224.h5", {x: [[i + 1] * 2] for i, x in enumerate(names)})
    data = MKGY(root, text=None, visual=path)[0]
    assert data.x_visual[:, 0].tolist() == [0, 3, 1, 2]
    assert data.visual_mask.tolist() == [False, True, True, True]

    path = str(tmp_path / "MKG-Y-visual.pth")
    torch.save(torch.arange(8.0).view(4, 2), path)
    assert MKGY(root, text=None, visual=path)[0].x_visual[3].tolist() == [6, 7]
