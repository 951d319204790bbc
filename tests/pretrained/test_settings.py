import json

import pytest
import torch

from torch_imf.nn import __all__ as parts
from torch_imf.nn import fusion, scorer
from torch_imf.nn.models import Adversary, SampledLoss
from torch_imf.nn.scorer import ContextualRelationalScorer, TransE
from torch_imf.pretrained.settings import CLASSES, describe, make
from torch_imf.registry import class_names


def rebuilt(module, **kwargs):
    return make(json.loads(json.dumps(describe(module))), **kwargs)


def attributes(module):
    plain = (bool, int, float, str, dict, tuple, list)
    return {k: x for k, x in vars(module).items() if isinstance(x, plain) and k[0] != "_"}


def test_describe():
    module = ContextualRelationalScorer(8, 4, "dot", dropout=0.5, batch_norm=True)
    assert describe(module) == {
        "class": "ContextualRelationalScorer",
        "channels": 8,
        "rel_channels": 4,
        "similarity": "dot",
        "scale": 20.0,
        "learn_scale": True,
        "logit_bias": None,
        "dropout": 0.5,
        "batch_norm": True,
    }
    assert not rebuilt(ContextualRelationalScorer(8, learn_scale=False)).log_scale.requires_grad


@pytest.mark.parametrize("name", class_names("scorer"))
def test_scorers(name):
    module = getattr(scorer, name)(12)
    other = rebuilt(module)
    assert repr(other) == repr(module) and attributes(other) == attributes(module)
    sizes = [{key: x.size() for key, x in m.state_dict().items()} for m in (module, other)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", class_names("fusion"))
def test_fusions(name):
    module = getattr(fusion, name)({"class": 4, "text": 8}, 8)
    other = rebuilt(module)
    assert repr(other) == repr(module) and attributes(other) == attributes(module)


def test_other_parts():
    assert attributes(rebuilt(SampledLoss(7, 0.5, "shared"))) == attributes(
        SampledLoss(7, 0.5, "shared")
    )
    assert attributes(rebuilt(Adversary(0.5, 2, 3, ["tail"]))) == attributes(
        Adversary(0.5, 2, 3, ["tail"])
    )
    assert rebuilt(TransE(4, p_norm=float("inf"))).p_norm == float("inf")
    assert {*class_names("model")} <= set(CLASSES) & set(parts)


class Open(TransE):
    def __init__(self, channels, **kwargs):
        super().__init__(channels, **kwargs)


class Held(TransE):
    def __init__(self, channels, weight):
        super().__init__(channels)
        self.weight = weight


def test_errors():
    with pytest.raises(ValueError, match="A 'Linear' cannot be made again from its settings"):
        describe(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"'Open' cannot be read off '\*kwargs'"):
        describe(Open(4), [Open])
    with pytest.raises(ValueError, match="'weight' of 'Held' is no plain value"):
        describe(Held(4, torch.zeros(2)), [Held])
    with pytest.raises(ValueError, match="There is no class 'system'"):
        make({"class": "system", "command": "ls"})
    with pytest.raises(ValueError, match="'TransE' does not take these settings .*positive"):
        make({"class": "TransE", "channels": 0})
    # A class of the same name is another one:
    other = type("TransE", (TransE,), {})
    with pytest.raises(ValueError, match="A 'TransE' cannot be made again"):
        describe(other(4))
