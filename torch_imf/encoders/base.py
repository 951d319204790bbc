from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from torch_imf.io.sealed import EARLIER
from torch_imf.registry import Recorded

#: What is taken wherever an encoder is: any function that returns features :math:`(N, D)`, and
#: perhaps a mask :math:`(N)`.
EncoderLike = Callable[..., Tensor | tuple[Tensor, Tensor]]

Self = TypeVar("Self", bound="Encoder")


class Encoder(Recorded):
    r"""The base class of encoders, which turn what is known of :math:`N` entities into features.

    :meth:`fit` learns from what is there, :meth:`transform` encodes it, or what comes later, by
    what was learned, and a call does both.

    Files of features are called by its :obj:`repr`, which names all that shapes them, but neither
    :attr:`run_args` nor the versions of :attr:`packages`.

    Shapes:
        - **output:** features :math:`(N, D)` and mask :math:`(N)`; rows of entities that have none
          are zero and :obj:`False`
    """

    #: Arguments that do not change the features.
    run_args: ClassVar[tuple[str, ...]] = ("batch_size", "device", "cache")
    #: The packages whose versions may change the features a little.
    packages: tuple[str, ...] = ()
    #: The names of the arrays that :meth:`fit` finds.
    state: tuple[str, ...] = ()

    _state: Mapping[str, np.ndarray] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        r"""Learns from what is given, and returns its features and mask."""
        return self.fit(*args, **kwargs).transform(*args, **kwargs)

    def fit(self: Self, *args: Any, **kwargs: Any) -> Self:
        r"""Learns from what is given, and returns the encoder."""
        return self

    def transform(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        r"""Returns the features of what is given, and its mask."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        r"""Returns what :meth:`fit` has found, as plain arrays. Raises a :class:`ValueError` if it
        was not called.
        """
        if set(self._state) != set(self.state):
            raise ValueError(
                f"{self} has not seen anything yet, call 'fit' first. If it is that of a dataset, "
                f"{EARLIER}"
            )
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        r"""Takes what another encoder of this kind has found. Raises a :class:`ValueError` if it is
        that of another kind.
        """
        if set(state) != set(self.state):
            raise ValueError(f"{self} needs the arrays {list(self.state)} (got {list(state)})")
        self._state = {name: np.asarray(x) for name, x in state.items()}

    def plain_state(self) -> dict[str, Tensor | list[str]]:
        r"""Returns :meth:`state_dict` as files hold it: tensors, and lists of texts."""
        arrays = self.state_dict().items()
        return {
            k: x.tolist() if x.dtype.kind == "U" else torch.from_numpy(x.copy()) for k, x in arrays
        }

    def settings(self) -> dict[str, object]:
        r"""Returns the arguments that shape the features, by name."""
        names = [name for name in self.init_args if name not in self.run_args]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        given = {k: _saved(x) for k, x in self.settings().items() if x is not None and x != {}}
        return f"{self.__class__.__name__}({', '.join(f'{key}={x!r}' for key, x in given.items())})"


def _saved(x: object) -> object:
    # As JSON gives it back, which has no tuples.
    if isinstance(x, Mapping):
        return {key: _saved(value) for key, value in x.items()}
    return [_saved(value) for value in x] if isinstance(x, list | tuple) else x


def record_of(encoder: EncoderLike) -> str:
    r"""Returns what to write down of an encoder beside its features: its :obj:`repr`, and the
    versions of its packages.
    """
    packages = getattr(encoder, "packages", ())
    versions = [f"{name} {version(name).partition('+')[0]}" for name in packages]
    return f"{encoder!r} with {', '.join(versions)}" if versions else repr(encoder)


def no_weights(model: str, argument: str, instead: str, error: Exception) -> RuntimeError:
    r"""Returns what to raise if the weights of a model could not be loaded by its name."""
    return RuntimeError(
        f"The weights of '{model}' are not on this machine and could not be fetched. Please run "
        f"once with a network, pass a copy of them as '{argument}', or use '{instead}' ({error})"
    )


def default_device(device: str | None) -> torch.device:
    r"""Returns a device, by default the accelerator if there is one."""
    if device is None and torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device(device or "cpu")
