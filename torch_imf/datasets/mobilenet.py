import os.path as osp
import warnings

import numpy as np
import torch
from torch import Tensor

from torch_imf.datasets.download import download, mirror

FEATURES: dict[str, tuple[str | None, str]] = {
    "FB15K/derived/visual_mobilenetv2.npz": (
        None,
        "673665dce85394bea2285241eada6d257c529c2cc80fe74bb0b488ff03447b9a",
    ),
    "FB15K/derived/visual_mobilenetv2_rsme_samples.npz": (
        None,
        "28d2dff0f0c040b62cf8d1688eabb649e78b83cf2e423815e4947bbeb73ecbf2",
    ),
}


class MobileNetFeatures:
    r"""The features of a pretrained MobileNetV2 that a mirror may carry, the
    stand-in of an encoder for images that are not published.

    Args:
        folder (str): The folder that holds the files.
    """

    def __init__(self, folder: str) -> None:
        self.features: dict[str, Tensor] = {}
        for file in FEATURES:
            with np.load(osp.join(folder, osp.basename(file)), allow_pickle=False) as npz:
                x = torch.from_numpy(npz["feature"]).float()
                self.features.update(zip(npz["entity"].tolist(), x, strict=True))

    @classmethod
    def find(cls, folder: str) -> "MobileNetFeatures | None":
        r"""Returns the features if they are in a folder or the mirror."""
        names = [osp.join(folder, osp.basename(file)) for file in FEATURES]
        if mirror("") is None and not all(osp.exists(name) for name in names):
            return None
        try:
            for file, (url, sha256) in FEATURES.items():
                download(file, url, sha256, folder)
        except RuntimeError as e:
            warnings.warn(f"FB15K237 is used without images: {e}", stacklevel=3)
            return None
        return cls(folder)

    def __call__(self, node_ids: list[str]) -> Tensor:
        empty = torch.zeros_like(next(iter(self.features.values())))
        return torch.stack([self.features.get(node, empty) for node in node_ids])

    def __repr__(self) -> str:
        versions = ", ".join(sha256[:8] for _, sha256 in FEATURES.values())
        return f"{self.__class__.__name__}({versions})"
