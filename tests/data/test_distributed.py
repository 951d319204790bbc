# What one process can tell. `tests/training/test_distributed.py` starts several.
import socket
from types import SimpleNamespace

import pytest
import torch

from torch_imf.data import distributed
from torch_imf.data.distributed import gather, is_main, mean, own_draws, share, shared, total, world


def test_one_process_is_left_alone():
    x = torch.randn(3)
    with shared() as sharing:
        assert sharing is None and world() == (0, 1) and is_main()
        assert share(x) == slice(None)
        assert gather(x) is total(x) is mean(x, 5) is x
        state = torch.get_rng_state()
        with own_draws(1):
            assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size, unit, expected", [(7, 1, [2, 2, 3]), (10, 4, [4, 4, 2])])
def test_shares_are_a_batch(monkeypatch, size, unit, expected):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "sharing", lambda: SimpleNamespace(rank=rank, size=3))  # noqa: B023
        parts.append(torch.arange(size)[share(torch.arange(size), unit)])
    assert torch.equal(torch.cat(parts), torch.arange(size))
    assert [x.numel() for x in parts] == expected
    assert share(torch.arange(2)) == slice(None)  # Fewer than processes: all of them take all.


def test_a_port_in_use(monkeypatch, refuses):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        about = {"TORCHELASTIC_RUN_ID": "x", "RANK": 0, "WORLD_SIZE": 2, "MASTER_PORT": port}
        for name, value in {**about, "MASTER_ADDR": "127.0.0.1"}.items():
            monkeypatch.setenv(name, str(value))
        words = f"could not find each other at '127.0.0.1:{port}'.*--master-port"
        refuses((words, world), error=RuntimeError)
