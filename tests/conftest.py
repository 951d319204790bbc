import os

import pytest
import torch
from torch_geometric.data import Data

from torch_imf.datasets import FakeMMKG
from torch_imf.encoders import TfidfEncoder


def pytest_configure() -> None:
    # Two busy thread pools make each other crawl, those of sub-processes too:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "TORCH_IMF_MIRROR" not in os.environ:
        for item in items:
            if item.get_closest_marker("mirror"):
                item.add_marker(pytest.mark.skip(reason="needs TORCH_IMF_MIRROR"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(12345)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Never that of the user, in sub-processes neither:
    os.environ["TORCH_IMF_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def texts() -> None:
    # By TF-IDF alone, whatever is installed: MiniLM takes seconds.
    pytest.MonkeyPatch().setattr("torch_imf.datasets.own.default_text_encoder", TfidfEncoder)


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return FakeMMKG(str(tmp_path_factory.mktemp("fake")))[0]


@pytest.fixture
def refuses():
    """Checks that calls raise errors with these words."""

    def check(*cases, error=ValueError):
        for words, call in cases:
            with pytest.raises(error, match=words):
                call()

    return check
