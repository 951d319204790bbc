import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A folder of features that is not the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TORCH_IMF_CACHE", str(folder))
    return folder
