import numpy as np
import torch

from torch_imf.datasets import mobilenet
from torch_imf.datasets.mobilenet import MobileNetFeatures


def test_mobilenet_features(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    assert MobileNetFeatures.find(str(tmp_path)) is None

    for i, file in enumerate(mobilenet.FEATURES):
        path = tmp_path / file.split("/")[-1]
        np.savez(path, entity=[f"/m/{i}"], feature=np.full((1, 4), i + 1, dtype=np.float16))

    encoder = MobileNetFeatures(str(tmp_path))
    assert str(encoder) == "MobileNetFeatures(673665dc, 28d2dff0)"
    x = encoder(["/m/1", "/m/2", "/m/0"])
    assert x.dtype == torch.float32
    assert x.tolist() == [[2] * 4, [0] * 4, [1] * 4]
