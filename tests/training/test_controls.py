import pytest
import torch

from torch_imf.cli.train import controls_table
from torch_imf.data import modalities
from torch_imf.training import Recipe, controls
from torch_imf.training.controls import replaced, shuffle, with_modalities

SMALL = {"hidden_channels": 8, "scorer": "distmult", "loss": "ce", "epochs": 1, "batch_size": 512}


def test_rows(fake):
    found = controls(Recipe("adamf", SMALL), fake, ["types"], seeds=[0, 1])
    names = list(modalities(fake)[0])
    assert list(found) == [
        "structure",
        *(f"with {name}" for name in names),
        "with all",
        "control: structure twice",
        "control: shuffled",
        "control: noise",
    ]
    assert all(len(x["val"]) == len(x["test"]) == 2 for x in found.values())
    values = [tuple(x["val"]) for x in found.values()]
    assert len(set(values)) == len(values)  # Each is trained on something else.
    with pytest.raises(ValueError, match="has no features"):
        controls(Recipe("adamf", SMALL), with_modalities(fake, []))


def test_shuffled(fake):
    name = next(iter(modalities(fake)[0]))
    other, mask = replaced(fake, shuffle, 0), fake[f"{name}_mask"]
    assert not torch.equal(other[f"x_{name}"], fake[f"x_{name}"])
    assert torch.equal(other[f"x_{name}"][~mask], fake[f"x_{name}"][~mask])
    rows = (sorted(x[f"x_{name}"][mask].tolist()) for x in (other, fake))
    assert next(rows) == next(rows)


@pytest.mark.parametrize("noise, verdict", [([0.3, 0.3], "are worth"), ([0.3, 0.6], "not worth")])
def test_verdict(noise, verdict):
    rows = {"structure": [0.2, 0.2], "with text": [0.5, 0.5], "control: noise": noise}
    text = controls_table({row: {"val": x, "test": x} for row, x in rows.items()})
    assert verdict in text and "over 'control: noise'" in text
