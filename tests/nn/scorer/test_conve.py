import torch
import torch.nn.functional as F

from torch_imf.nn import ConvE


def test_conve_equals_the_pipeline_of_the_paper(random_norms):
    scorer = ConvE(12, height=2, num_filters=5).eval()
    assert str(scorer) == "ConvE(12, height=2, num_filters=5)"
    random_norms(scorer)
    head, rel, tail = torch.randn(6, 12), torch.randn(6, 12), torch.randn(7, 12)
    image = torch.stack([head, rel], dim=1).view(6, 1, 4, 6)  # Head on top of relation.
    x = F.conv2d(scorer.norms[0](image), scorer.conv.weight)
    assert x.size() == (6, 5, 2, 4)
    x = scorer.norms[1](x).clamp(min=0).view(6, -1) @ scorer.lin.weight.t()
    x = scorer.norms[2](x).clamp(min=0)
    expected = x @ tail[:, :-1].t() + tail[:, -1]

    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score, expected, atol=1e-5)


def test_conve_default_height():
    sizes = {8: 2, 16: 4, 32: 4, 64: 8, 200: 10, 256: 16}
    assert {channels: ConvE(channels, num_filters=1).height for channels in sizes} == sizes
    assert ConvE(36, num_filters=1, kernel_size=7).height == 4  # A square of 6 is too narrow.


def test_conve_dropout():
    scorer = ConvE(8, num_filters=64, input_dropout=0.0, feature_dropout=0.5, hidden_dropout=0.0)
    head, rel, maps = torch.randn(40, 8), torch.randn(40, 8), []
    scorer.feature_dropout.register_forward_hook(lambda module, args, x: maps.append((args[0], x)))
    scorer.query(head, rel)
    ((x, out),) = maps
    dropped = (out == 0).flatten(2).all(dim=-1)
    assert dropped.float().mean().sub(0.5).abs() < 0.1
    assert torch.allclose(out[~dropped], 2 * x[~dropped])  # Whole maps, or nothing of them.
    scorer.eval()
    assert torch.equal(scorer.query(head, rel), scorer.query(head, rel))


def test_conve_with_a_map_of_one_pixel():
    scorer = ConvE(2, kernel_size=2, height=1)  # Nothing to take statistics of, in a batch of one.
    assert scorer.query(torch.randn(1, 2), torch.randn(1, 2)).isfinite().all()


def test_conve_errors(refuses):
    refuses(
        ("'rel_channels' to be 8", lambda: ConvE(8, 4)),
        (r"'height' 3 .* \(choose a height of \[2, 4, 5\]", lambda: ConvE(20, height=3)),
        (r"'height' 1 .* \(choose a height of \[2\]", lambda: ConvE(8, height=1)),
        (r"image of 7 'channels' .* \[\], or other channels", lambda: ConvE(7)),
        ("'input_dropout' needs to be in", lambda: ConvE(8, input_dropout=-0.1)),
    )
