import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import PixelEncoder, TextEncoder, VisualEncoder, textual

fork = multiprocessing.get_context("fork")
TEXTS = [None, *("a" * i for i in range(1, 12))]


class Lengths:
    """Stands in for a model of texts, and keeps what it was given."""

    def __init__(self):
        self.texts = []

    def __call__(self, texts):
        self.texts += texts
        return torch.tensor([[len(text), len(text) ** 0.5] for text in texts])


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """A function that encodes texts with a cache, and returns which ones it had to."""
    weights = tmp_path / "mini"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(textual, "require", lambda *args: None)
    monkeypatch.setattr(textual, "versions", lambda *args: "versions")

    def encode(cache, model_of=Lengths):
        model = model_of()
        monkeypatch.setattr(textual, "load_sentence_transformer", lambda *args: model)
        out = TextEncoder(str(weights), batch_size=2, device="cpu", cache=cache)(TEXTS)
        return out, len(model.texts)

    return encode, Lengths


@pytest.fixture
def images(monkeypatch):
    """As above, with images as tensors."""
    x = torch.randint(0, 256, (11, 3, 20, 30), dtype=torch.uint8)

    class Pixels(Lengths):
        def __call__(self, batch):
            self.texts += list(batch)
            return batch.flatten(start_dim=1)

    def encode(cache, model_of=Pixels):
        model = model_of()

        class Encoder(PixelEncoder):
            def load(self):
                return super().load()[0], model

        encoder = Encoder()
        encoder.batch_size, encoder.cache = 2, cache
        return encoder([None, *x]), len(model.texts)

    return encode, Pixels


def slow(model, started):
    """Makes a model that takes forever, from its third batch on."""

    class Slow(model):
        def __call__(self, batch):
            if len(self.texts) >= 4:
                started.set()
                time.sleep(60)
            return super().__call__(batch)

    return Slow


@pytest.mark.parametrize("kind", ["texts", "images"])
def test_encoding_goes_on_after_a_kill(kind, request, tmp_path):
    encode, model = request.getfixturevalue(kind)
    whole, count = encode(str(tmp_path / "whole"))
    assert count == 11

    started = fork.Event()
    process = fork.Process(target=encode, args=(str(tmp_path / "cache"), slow(model, started)))
    process.start()
    assert started.wait(10)
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL

    out, count = encode(str(tmp_path / "cache"))
    assert count == 11 - 4  # Only what is left.
    assert all(torch.equal(x, y) for x, y in zip(out, whole, strict=True))
    assert encode(str(tmp_path / "cache"))[1] == 0


@withPackage("timm", "PIL")
def test_a_network_goes_on_after_a_kill(tmp_path):
    import timm

    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    x = [*torch.randint(0, 256, (6, 3, 90, 120), dtype=torch.uint8)]

    def encode(cache, started=None):
        encoder = VisualEncoder("test_resnet", path, batch_size=2, device="cpu", cache=cache)
        load, count = encoder.load, []

        def counting():
            prepare, forward = load()

            def run(batch):
                if started is not None and len(count) == 4:
                    started.set()
                    time.sleep(60)
                count.extend(batch)
                return forward(batch)

            return prepare, run

        encoder.load = counting
        return encoder(x), len(count)

    whole, count = encode(str(tmp_path / "whole"))
    started = fork.Event()
    process = fork.Process(target=encode, args=(str(tmp_path / "cache"), started))
    process.start()
    assert started.wait(10)
    process.kill()
    process.join(10)
    out, rest = encode(str(tmp_path / "cache"))
    assert (count, rest) == (6, 2)
    assert all(torch.equal(x, y) for x, y in zip(out, whole, strict=True))
