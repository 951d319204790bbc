from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict, Sequential, Tanh

from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.models.features import FrozenFeatures


class FeatureDecoder(torch.nn.Module):
    r"""Decodes the features of each modality from the embedding of an entity, by two layers:

    .. math::
        \hat{\mathbf{x}}_m = \mathbf{W}_m^{\prime} \tanh(\mathbf{W}_m \mathbf{e} + \mathbf{b}_m) +
        \mathbf{b}_m^{\prime}

    Args:
        in_channels (int): Size of embeddings, and of the layer between.
        features (dict[str, FrozenFeatures]): The features of each modality.
    """

    def __init__(self, in_channels: int, features: Mapping[str, FrozenFeatures]) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.nets = ModuleDict({name: self._net(x.in_channels) for name, x in features.items()})

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, z: Tensor, features: Mapping[str, FrozenFeatures]) -> Tensors:
        r"""Decodes features :obj:`[*, D]`, as raw as those that a model was given, from embeddings
        :obj:`[*, C]`.
        """
        items = [(name, net(z), features[name]) for name, net in self.nets.items()]
        return {name: x * module.scale + module.center for name, x, module in items}

    def loss(self, z: Tensor, features: Mapping[str, FrozenFeatures], index: Tensor) -> Tensor:
        r"""The squared error of the features of entities :obj:`index`, centred and scaled, given
        their embeddings :obj:`[B, C]`. It is averaged over the entities that have a modality, and
        summed over modalities.
        """
        losses = []
        for name, net in self.nets.items():
            module = features[name]
            has = module.has(index)
            error = net(z[has]) - module.read(module.row[index[has]])
            losses.append(error.float().square().sum() / has.sum().clamp(min=1))
        return torch.stack(losses).sum()

    def _net(self, out_channels: int) -> Sequential:
        size = self.in_channels
        return Sequential(Linear(size, size), Tanh(), Linear(size, out_channels))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A saved model is made again without features, whose sizes are these:
        net: Any
        for name, net in self.nets.items():
            weight = state_dict.get(f"{prefix}nets.{name}.2.weight")
            if weight is not None and weight.size(0) != net[-1].out_features:
                self.nets[name] = self._net(weight.size(0)).to(net[-1].weight)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {list(self.nets)})"
