import sys

import pytest

from torch_imf import TensorBoard

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_tensorboard(tmp_path):
    with TensorBoard(tmp_path) as board:
        assert str(board) == f"TensorBoard('{tmp_path}')"
        board({"epoch": 3, "loss": 0.5, "mrr": 0.25, "hits@10": 0.75})
        board({"epoch": 6, "loss": 0.25, "mrr": 0.5, "hits@10": 1.0})
        board.log("test", {"mrr": 0.125, "head": {"mrr": 1.0}}, epoch=6)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {
        *("train/loss", "val/mrr", "val/hits_at_10", "test/mrr")
    }
    assert [(x.step, x.value) for x in events.Scalars("train/loss")] == [(3, 0.5), (6, 0.25)]
    assert [(x.step, x.value) for x in events.Scalars("test/mrr")] == [(6, 0.125)]


def test_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install \"torch_imf\[tensorboard\]\""):
        TensorBoard(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
