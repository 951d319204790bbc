from collections.abc import Mapping
from typing import Any

from torch_geometric.data import Data

#: Who trains well with it.
MODELS = ("imf", "adamf", "kge")
#: Settings that are chosen together. Whoever chooses one of them has other plans.
TOGETHER = ("scorer", "loss", "optimizer", "lr")


def recipe(model: str, data: Data, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    r"""Returns settings, of the model and of :meth:`~torch_imf.fit`, that train well on graphs from
    two thousand training facts to 270 thousand: ComplEx against all entities, regularised, with
    Adagrad. There are none for models that are trained otherwise, nor if one that belongs to them
    is given.

    Args:
        model (str): The name of the model.
        data (Data): The graph.
        given (dict, optional): Settings that are chosen already, which are left out. (default:
            :obj:`None`)
    """
    given = given or {}
    if model.lower() not in MODELS or any(name.split(".")[0] in TOGETHER for name in given):
        return {}
    num_facts = int(data.train_mask.sum())
    generates = any(name.split(".")[0] == "adversary" for name in given)
    out: dict[str, Any] = {
        "hidden_channels": 128 if num_facts < 10_000 else 256,
        "scorer": "complex",
        "loss": "ce",
        "loss.regularizer": "dura",
        "loss.regularizer.weight": 0.1,
        # About a hundred steps per epoch, for which facts are read in both directions:
        "batch_size": min(1024, max(128, 2 ** (num_facts // 50).bit_length())),
        "optimizer": "adagrad",
        "lr": {"model": 0.1, "generator": 0.015} if generates else 0.1,
        "dense_lr": {"model": 0.015} if generates else 0.015,
        "epochs": 60,
        "eval_every": 3,
        "patience": 4,
    }
    if model.lower() == "imf" and given.get("contrastive") is not False:
        out["contrastive.weight"] = 0.1
    return {name: value for name, value in out.items() if name not in given}
