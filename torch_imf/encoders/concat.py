from typing import Any

import torch
from torch import Tensor

from torch_imf.encoders.base import Encoder


class ConcatEncoder(Encoder):
    r"""Encodes by several encoders side by side, as :obj:`ConcatEncoder(TfidfEncoder(),
    TextEncoder())`: what words stand in a text, and what it is about.

    The features of each are centred and scaled to norm one on average, so that none outweighs the
    others by its units. Of all of them together, the principal components are kept, each divided by
    the square root of its standard deviation, which lies halfway between as they are and all alike.

    Args:
        *encoders (Encoder): The encoders, which all take the same.
        channels (int, optional): The number of principal components. If there are fewer, the
            columns beyond those are zero. (default: :obj:`400`)

    Shapes:
        - **input:** as the encoders
        - **output:** features :math:`(N, channels)` and mask :math:`(N)`; rows for which no encoder
          has any features are zero and :obj:`False`
    """

    own_state = ("mean", "components")

    def __init__(self, *encoders: Encoder, channels: int = 400) -> None:
        if len(encoders) < 2 or not all(isinstance(x, Encoder) for x in encoders):
            raise ValueError(f"'ConcatEncoder' needs two or more encoders (got {encoders})")
        self.encoders, self.channels = encoders, channels
        self.packages = tuple(sorted({name for x in encoders for name in x.packages}))
        parts = [f"{i}.{name}" for i, x in enumerate(encoders) for name in x.state]
        self.state = (*self.own_state, *parts)

    def fit(self, *args: Any) -> "ConcatEncoder":
        r"""Fits all encoders, and finds the principal components of what they return."""
        found = [encoder(*args) for encoder in self.encoders]
        mask = torch.stack([has for _, has in found]).any(dim=0)
        parts = [x[mask].double() for x, _ in found]
        means = [x.mean(dim=0) if len(x) > 0 else x.new_zeros(x.size(1)) for x in parts]
        parts = [x - mean for x, mean in zip(parts, means, strict=True)]
        scales = [1 / x.norm(dim=-1).mean().clamp(min=1e-12) if len(x) > 0 else 1.0 for x in parts]
        x = torch.cat([x * scale for x, scale in zip(parts, scales, strict=True)], dim=-1)
        variance, components = torch.linalg.eigh(x.t() @ x / max(len(x), 1))
        keep = (variance > 1e-9 * variance.sum()).nonzero().view(-1).flip(0)[: self.channels]
        scale = torch.cat(
            [torch.full_like(a, float(b)) for a, b in zip(means, scales, strict=True)]
        )
        components = scale.view(-1, 1) * components[:, keep] / variance[keep] ** 0.25
        own = dict(zip(self.own_state, (torch.cat(means), components), strict=True))
        self._state = {name: x.float().numpy() for name, x in own.items()}
        for i, encoder in enumerate(self.encoders):
            self._state |= {f"{i}.{name}": x for name, x in encoder.state_dict().items()}
        return self

    def transform(self, *args: Any) -> tuple[Tensor, Tensor]:
        r"""Returns the features of what is given, and which rows have any."""
        state = self.state_dict()
        mean, components = (torch.from_numpy(state[name]) for name in self.own_state)
        found = [encoder.transform(*args) for encoder in self.encoders]
        mask = torch.stack([has for _, has in found]).any(dim=0)
        out = torch.zeros(len(mask), self.channels)
        x = torch.cat([x for x, _ in found], dim=-1)[mask]
        if len(x) > 0:  # A network that has seen nothing does not know its size.
            out[mask, : components.size(1)] = (x - mean) @ components
        return out, mask

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        for i, encoder in enumerate(self.encoders):
            encoder.load_state_dict({name: state[f"{i}.{name}"] for name in encoder.state})

    def settings(self) -> dict[str, object]:
        return {"encoders": self.encoders, "channels": self.channels}

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.encoders))
        return f"{self.__class__.__name__}({parts}, channels={self.channels})"
