import inspect
import itertools
import json
from collections.abc import Mapping
from typing import Any

from torch_imf.nn.models import MultimodalKGE
from torch_imf.settings import (
    Setting,
    check_value,
    describe_settings,
    model_class,
    model_parts,
)
from torch_imf.training.fit import fit

Settings = dict[str, Any]

#: ComplEx against all entities, which learns in few epochs and on graphs of any size.
ADAGRAD: Settings = {
    "scorer": "complex",
    "loss": "ce",
    "optimizer": "adagrad",
    "lr": (0.02, 0.3),
    "dense_lr": (0.003, 0.05),
    "batch_size": [128, 256, 512, 1024],
}
#: What to try if nothing is said, by model: few settings, those that matter most.
SPACES: dict[str, Settings] = {
    "IMF": {
        "hidden_channels": [64, 128, 256],
        "regularization": (0.01, 0.3),
        "contrastive_weight": (0.01, 1.0),
        **ADAGRAD,
    },
    "AdaMF": {"hidden_channels": [64, 128, 256], "regularization": (0.01, 0.3), **ADAGRAD},
}
#: Arguments of `fit` that are none of a trial: `tune` gives them.
GIVEN = ("model", "data", "epochs", "metric", "checkpoint", "callback", "progress")


class SearchSpace:
    r"""The settings to try, each checked against what a model and
    :meth:`~torch_imf.fit` take. Settings of a part are tried where that part
    is chosen.

    Args:
        model (str or type): The name of a model, or its class.
        space (dict, optional): What to try of each setting: a choice (list), a
            range (pair of numbers), or one value. If :obj:`None`, the entry of
            :obj:`SPACES`. (default: :obj:`None`)

    Raises:
        ValueError: If neither the model nor :meth:`fit` takes a setting, or a
            value of it, or one is lacking.
    """

    def __init__(self, model: str | type[MultimodalKGE], space: Mapping[str, Any] | None = None):
        self.cls = model_class(model)
        if space is None and self.cls.__name__ not in SPACES:
            raise ValueError(
                f"'{self.cls.__name__}' has no default space, name one as 'space'. It takes "
                f"{sorted(describe_settings(self.cls))}"
            )
        self.space = dict(SPACES[self.cls.__name__] if space is None else space)
        parameters = inspect.signature(fit).parameters
        self.fit = {k: Setting(x, "") for k, x in parameters.items() if k not in GIVEN}
        self._check()

    def suggest(self, trial: Any) -> tuple[Settings, Settings]:
        r"""Returns the settings that an Optuna trial tries: those of the model
        and those of :meth:`fit`.
        """
        chosen = {k: suggest(trial, k, x) for k, x in self.space.items() if "." not in k}
        # Which parts there are tells what else there is to set:
        own = {k: x for k, x in chosen.items() if k not in self.fit}
        takes = describe_settings(self.cls, own)
        own |= {k: suggest(trial, k, x) for k, x in self.space.items() if "." in k and k in takes}
        return own, {k: x for k, x in chosen.items() if k in self.fit}

    def _check(self) -> None:
        takes: dict[str, Setting] = {}
        parts = [k for k in model_parts(self.cls, {}) if k in self.space]
        for values in itertools.product(*(options(k, self.space[k]) for k in parts)):
            takes |= describe_settings(self.cls, dict(zip(parts, values, strict=True)))
        for key, value in self.space.items():
            if key not in takes and key not in self.fit:
                raise ValueError(
                    f"Neither {self.cls.__name__} nor 'fit' takes '{key}'. The model takes "
                    f"{sorted(takes)}, 'fit' takes {sorted(self.fit)}"
                )
            for option in options(key, value):
                check_value(key, option, takes[key] if key in takes else self.fit[key])
        for key, setting in takes.items():
            if setting.parameter.default is setting.parameter.empty and key not in self.space:
                raise ValueError(f"{self.cls.__name__} needs '{key}' in the space")


def options(key: str, value: Any) -> list[Any]:
    r"""Returns the values that a setting can take: all of a choice, and both
    ends of a range.

    Raises:
        ValueError: If this is neither a choice, a range nor a plain value.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{key}' needs plain, finite values in a space (got {value!r}). Derive a class that "
            f"has anything else built in"
        ) from error
    if isinstance(value, list):
        if len(value) == 0 or len({json.dumps(x) for x in value}) < len(value):
            raise ValueError(
                f"The choices of '{key}' need to be distinct, one or more (got {text})"
            )
        return value
    if not isinstance(value, tuple):
        return [value]
    is_range = len(value) == 2 and all(type(x) in (int, float) for x in value)
    if not is_range or not value[0] < value[1]:
        raise ValueError(
            f"The range of '{key}' needs to be a pair of numbers, the lower one first (got "
            f"{value}). A choice is a list"
        )
    return list(value)


def suggest(trial: Any, key: str, value: Any) -> Any:
    r"""Returns the value of a setting that an Optuna trial tries. A range of
    floats that are positive and span more than a factor of ten is logarithmic.
    """
    if isinstance(value, list):
        # Optuna takes no lists and dictionaries among choices:
        labels = [json.dumps(x) if isinstance(x, list | dict | tuple) else x for x in value]
        label = trial.suggest_categorical(key, labels)
        return next(
            x for x, y in zip(value, labels, strict=True) if (y, type(y)) == (label, type(label))
        )
    if not isinstance(value, tuple):
        return value
    low, high = value
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high)
    return trial.suggest_float(key, low, high, log=low > 0 and high > 10 * low)
