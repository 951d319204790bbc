import pytest
import torch

from torch_imf.study import digest, find_address, locked


def test_find_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_address(None) is None
    assert find_address("mysql://host/name") == "mysql://host/name"
    assert find_address("a.db") == find_address(tmp_path / "a.db") == f"sqlite:///{tmp_path}/a.db"
    (tmp_path / "a.db").touch()
    assert find_address("a.db") == f"sqlite:///{tmp_path}/a.db"


def test_locked(tmp_path):
    path = tmp_path / "runs" / "a.db"
    with locked(path):
        with pytest.raises(ValueError, match="Another process works on '.*a.db'. Wait"):
            with locked(path):
                pass
        with locked(None), locked("mysql://host/name"):
            pass
    with pytest.raises(RuntimeError, match="Oh"), locked(path):
        raise RuntimeError("Oh")
    with locked(path):
        pass


def test_digest(fake):
    assert digest(fake) == digest(fake.clone())
    for name in ("edge_index", "edge_type", "val_mask", "x_text", "text_mask"):
        data = fake.clone()
        data[name] = data[name].flip(-1)
        assert digest(data) != digest(fake)
    data = fake.clone()
    data.x_text = fake.x_text.to(torch.float64)
    assert digest(data) != digest(fake)
