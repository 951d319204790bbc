import pytest
import torch

from torch_imf.data import audit
from torch_imf.datasets import FakeMMKG
from torch_imf.datasets.base import validate
from torch_imf.datasets.fake import MODALITIES


def test_fake_mmkg(tmp_path):
    dataset = FakeMMKG()
    assert str(dataset) == "FakeMMKG(150, num_relations=5)"
    assert dataset.rel_names == ["next_to", "after", "has_colour", "has_topic", "has_size"]
    assert dataset.node_names[0] == "thing 0"
    assert (dataset.version, dataset.scheme) == (None, "original")
    assert dataset.raw_file_names == []
    assert dataset.node_names[-1] == "size 3"

    data = dataset[0]
    validate(data)
    assert data.num_edges == 660
    assert data.x_visual.size() == (150, 16)
    assert data.x_text.size() == (150, 12)
    assert data.x_numeric.size() == (150, 8)
    for mask in [data.visual_mask, data.text_mask, data.numeric_mask]:
        assert 100 < int(mask.sum()) < 120

    saved = FakeMMKG(str(tmp_path))[0]
    for key in ("edge_index", "x_visual", "x_text", "x_numeric", "test_mask"):
        assert torch.equal(saved[key], data[key])
    assert not torch.equal(FakeMMKG(str(tmp_path), seed=1)[0].x_visual, data.x_visual)
    assert FakeMMKG(missing=0.0)[0].x_visual.any(dim=-1).sum() == 132 + 8
    report = audit(data)
    assert report.is_clean and report.num_isolated_nodes == 0


@pytest.mark.parametrize("num_nodes, seed", [(60, 1), (150, 0), (200, 2)])
def test_fake_mmkg_is_learnable(num_nodes, seed):
    data = FakeMMKG(num_nodes=num_nodes, seed=seed)[0]
    head_index, tail_index = data.edge_index
    facts = set(zip(head_index.tolist(), data.edge_type.tolist(), tail_index.tolist(), strict=True))
    assert len(facts) == data.num_edges

    # Every entity is seen in training:
    assert data.edge_index[:, data.train_mask].unique().numel() == num_nodes

    # Structure answers 'after':
    held_out = ~data.train_mask & (data.edge_type == 1)
    train = {(h, t) for h, r, t in facts if r == 0}
    assert data.train_mask[data.edge_type == 0].all()
    assert held_out.any()
    assert all((t, h) in train for h, t in zip(*data.edge_index[:, held_out].tolist(), strict=True))

    # A modality, and nothing else, answers each of the others:
    for rel, (modality, (_, num_classes, _)) in enumerate(MODALITIES.items(), start=2):
        x, mask = data[f"x_{modality}"], data[f"{modality}_mask"]
        for split in [data.val_mask, data.test_mask]:
            head, tail = data.edge_index[:, split & (data.edge_type == rel)]
            assert head.numel() > 3
            assert mask[head].all() and mask[tail].all()
            classes = data.edge_index[1, data.edge_type == rel].unique()
            assert classes.numel() == num_classes
            nearest = classes[torch.cdist(x[head], x[classes]).argmin(dim=-1)]
            assert (nearest == tail).all()


def test_fake_mmkg_settings_do_not_mix(tmp_path):
    settings = [{}, {"num_nodes": 60}, {"missing": 0.1}, {"seed": 1}]
    paths = [FakeMMKG(str(tmp_path), **kwargs).processed_paths[0] for kwargs in settings]
    assert len(set(paths)) == 4
    assert paths[0].endswith(
        "/data_original_nodes=150_missing=0.2_seed=0_text=none_visual=none_numeric=none.safetensors"
    )
    assert FakeMMKG(str(tmp_path), num_nodes=60).num_nodes == 60


def test_fake_mmkg_bad_arguments():
    with pytest.raises(ValueError, match="'FakeMMKG' has no texts"):
        FakeMMKG().texts()
    with pytest.raises(ValueError, match="'num_nodes' needs to be at least 60"):
        FakeMMKG(num_nodes=20)
    with pytest.raises(ValueError, match="'missing' needs to be in"):
        FakeMMKG(missing=0.9)
