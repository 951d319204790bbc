from pathlib import Path

import pytest

from torch_imf.datasets.own_encoders import own_encoders, own_modalities
from torch_imf.datasets.own_files import OwnFiles
from torch_imf.encoders import TfidfEncoder


def test_own_encoders(tmp_path):
    facts = tmp_path / "facts.tsv"
    facts.touch()
    files = OwnFiles((str(facts),), texts=str(facts))
    assert own_modalities(files) == ("text",)
    encoder = TfidfEncoder()
    expected = {"text": encoder, "visual": "x.npz", "numeric": "auto"}
    assert own_encoders({"text": encoder, "visual": "x.npz"}, files) == expected
    assert own_encoders({"text": encoder, "visual": Path("x.npz")}, files) == expected
    with pytest.raises(ValueError, match="of 'numeric' has nothing to encode.* as 'numeric'"):
        own_encoders({"numeric": encoder}, files)
    with pytest.raises(ValueError, match=r"got the keys \['image'\]"):
        own_encoders({"image": None}, files)
