import sqlite3

import pytest
import torch

from torch_imf.training.study import (
    database_errors,
    digest,
    find_address,
    locked,
    open_study,
    quiet,
)


def test_find_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_address(None) is None
    assert find_address("mysql://host/name") == "mysql://host/name"
    assert find_address("a.db") == find_address(tmp_path / "a.db") == f"sqlite:///{tmp_path}/a.db"
    (tmp_path / "a.db").touch()
    assert find_address("a.db") == f"sqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize("name", ["a?b.db", "a%20b#c.db", "a@b:c d.db", "ü☃.db", "a?"])
def test_names(tmp_path, name):
    # The file is that of the name, whatever it means in an address:
    optuna = pytest.importorskip("optuna")
    settings = {"metric": "mrr"}
    with quiet(optuna):
        open_study(optuna, tmp_path / name, settings, optuna.pruners.NopPruner())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_database_errors(tmp_path):
    optuna = pytest.importorskip("optuna")
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE trials (name)")  # Of somebody else.
    database.close()
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    for storage in (tmp_path / "damaged.db", "magic://host/name"):
        with pytest.raises(ValueError, match=f"'{storage}' cannot be worked on.* Choose another"):
            with database_errors(optuna, storage), quiet(optuna):
                open_study(optuna, storage, {"metric": "mrr"}, optuna.pruners.NopPruner())
    storage = tmp_path / "other.db"
    with pytest.raises(ValueError, match=r"'.*other.db' cannot be worked on: .*no such column"):
        with database_errors(optuna, storage), quiet(optuna):
            open_study(optuna, storage, {"metric": "mrr"}, optuna.pruners.NopPruner())
    assert before[0] == (tmp_path / "damaged.db").read_bytes()
    with pytest.raises(RuntimeError, match="Oh"), database_errors(optuna, None):
        raise RuntimeError("Oh")


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
