import json
from collections.abc import Callable
from pathlib import Path

import pytest

from torch_imf.cli import main


@pytest.fixture(scope="session")
def fast() -> list[str]:
    r"""A graph and settings with which nothing takes long."""
    none = ["--text-encoder", "none", "--visual-encoder", "none"]  # Numbers only.
    return ["countries", *none, "--hidden-channels", "8"]


@pytest.fixture(scope="session")
def saved(fast: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""The folder of a run."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    args = ["train", *fast, "--epochs", "2", "--eval-every", "1", "--out", str(folder), "--quiet"]
    assert main(args) == 0
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    r"""Runs a command and returns what it prints."""

    def run(*args: object, status: int = 0) -> str:
        capsys.readouterr()
        assert main(list(map(str, args))) == status
        return capsys.readouterr().out

    return run


@pytest.fixture
def read(call: Callable[..., str]) -> Callable[..., dict]:
    r"""Runs a command and returns what it prints as JSON."""
    return lambda *args: json.loads(call(*args, "--json"))


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    r"""Runs a command that fails and returns its message."""

    def run(*args: object) -> str:
        capsys.readouterr()
        assert main(list(map(str, args))) == 1
        out, err = capsys.readouterr()
        assert out == "" and "Traceback" not in err
        message = err.splitlines()[-1]
        assert message.startswith(f"torch-imf {args[0]}: ")
        return message.partition(": ")[2]

    return run
