import pytest
import torch

from torch_imf.nn import SampledLoss
from torch_imf.nn.models.checks import check_embedding, check_views, make_loss


def test_check_views():
    x_dict = {"text": torch.zeros(3, 2), "audio": torch.zeros(3, 2)}
    assert check_views(None, x_dict, {}) == ["struct", "text", "audio", "fused"]
    assert check_views(None, {}, {}) == ["struct"]
    assert check_views(["fused", "audio"], x_dict, {}) == ["fused", "audio"]
    for views in ([], ["smell"], ["text", "text"]):
        with pytest.raises(ValueError, match="'views' need to be distinct ones of"):
            check_views(views, x_dict, {})
    with pytest.raises(ValueError, match="'audio' is missing for every entity"):
        check_views(None, x_dict, {"audio": torch.zeros(3, dtype=torch.bool)})


def test_check_embedding():
    weight = torch.zeros(3, 2)
    check_embedding("node_emb", torch.ones(3, 2), weight)
    for init in (torch.ones(3), torch.ones(2, 2), torch.full((3, 2), float("nan"))):
        with pytest.raises(ValueError, match="'node_emb' need to be finite and of shape"):
            check_embedding("node_emb", init, weight)


def test_make_loss():
    loss = SampledLoss(4)
    assert make_loss(loss, 0.0, 0.0) is loss
    made = make_loss("bce", 0.1, 0.2)
    assert (made.loss, made.label_smoothing, made.regularization) == ("bce", 0.1, 0.2)
    assert make_loss(made, 0.0, 0.0) is made
    for args in ((loss, 0.1, 0.0), (loss, 0.0, 0.1)):
        with pytest.raises(ValueError, match="are of the losses 'bce' and 'ce'"):
            make_loss(*args)
    with pytest.raises(ValueError, match="choose 'bce', 'ce' or a loss"):
        make_loss(torch.nn.BCELoss(), 0.0, 0.0)
