import pytest
import torch

from torch_imf.datasets.encoder import run_encoder


def test_run_encoder():
    x, mask = run_encoder("text", lambda texts: torch.ones(2, 2), [["a", "b"]], [True, False])
    assert x.tolist() == [[1, 1], [0, 0]]
    assert mask.tolist() == [True, False]

    def encoder(texts):
        x = torch.ones(len(texts), 2, dtype=torch.double, requires_grad=True)
        return x, torch.tensor([text != "" for text in texts])

    x, mask = run_encoder("text", encoder, [["a", "b", ""]], [True, False, True])
    assert x.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert mask.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "out, message",
    [
        (torch.ones(3, 1), r"features of shape \[2, \*\].* \(got \['torch.float32 \[3, 1\]'"),
        (torch.ones(2), r"\(got \['torch.float32 \[2\]'"),
        (None, r"\(got \[None"),
        ((torch.ones(2, 1), torch.ones(2)), r"boolean mask of shape \[2\] .*torch.float32 \[2\]"),
        ((torch.ones(2, 1), torch.ones(3) > 0), r"torch.bool \[3\]"),
        ((torch.ones(2, 1), torch.ones(2) < 0), "found nothing .* of the 2 .*'text=None'"),
        ((torch.ones(2, 1), torch.tensor([False, True])), "found nothing"),
    ],
)
def test_run_encoder_bad_features(out, message):
    with pytest.raises(ValueError, match=message):
        run_encoder("text", lambda texts: out, [["a", None]], [True, False])
