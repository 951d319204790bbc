import torch

from torch_imf.nn import ModalityGenerator


def test_modality_generator():
    generator = ModalityGenerator(6, 4, noise_channels=3)
    assert str(generator) == "ModalityGenerator(4, noise_channels=3)"
    assert [list(p.size()) for p in generator.parameters()] == [[4, 9], [4], [4, 4], [4]]
    x, noise = torch.randn(2, 7, 6), torch.randn(2, 7, 3)
    out = generator(x, noise)

    w1, b1, w2, b2 = (p.detach().double() for p in generator.parameters())
    hidden = torch.cat([x, noise], dim=-1).double() @ w1.t() + b1
    expected = hidden.where(hidden > 0, 0.01 * hidden) @ w2.t() + b2
    assert torch.allclose(out.double(), expected, atol=1e-6)

    # Noise is drawn anew, from the global random state:
    assert not torch.equal(generator(x), generator(x))
    torch.manual_seed(0)
    expected = generator(x)
    torch.manual_seed(0)
    assert torch.equal(generator(x), expected)
