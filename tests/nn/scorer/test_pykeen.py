import pytest
import torch
import torch.nn.functional as F

from torch_imf import nn

modules = pytest.importorskip("pykeen.nn.modules", reason="needs torch_imf[benchmark]")

SIZE = 8


def complex_of(x):
    return torch.complex(*x.chunk(2, dim=-1))


def quaternion_of(x):
    return x.unflatten(-1, (4, -1)).mT


def drawn(*sizes):
    return [torch.randn(5, size, dtype=torch.double) for size in sizes]


def assert_same(ours, args, theirs, *their_args):
    expected = theirs.double().eval()(*their_args).view(5)
    assert torch.allclose(ours.double().eval()(*args), expected, atol=1e-6)


def test_bilinear_scorers():
    h, r, t = args = drawn(SIZE, SIZE, SIZE)
    assert_same(nn.DistMult(SIZE), args, modules.DistMultInteraction(), *args)
    assert_same(nn.ComplEx(SIZE), args, modules.ComplExInteraction(), *map(complex_of, args))
    h, r, t = map(quaternion_of, args)
    theirs = modules.QuatEInteraction().double()
    # PyKEEN's has the other sign, and leaves it to embeddings to be of unit length:
    out = theirs(h, F.normalize(r, dim=-1), t)
    assert torch.allclose(nn.QuatE(SIZE)(*args), -out, atol=1e-6)


def test_distance_scorers():
    args = h, r, t = drawn(SIZE, SIZE, SIZE)
    for p in (1, 2):
        ours = nn.TransE(SIZE, margin=0.0, p_norm=float(p))
        assert_same(ours, args, modules.TransEInteraction(p), *args)
        pair = drawn(2 * SIZE)[0]
        ours = nn.PairRE(SIZE, margin=0.0, p_norm=float(p))
        theirs = modules.PairREInteraction(p, power_norm=False)
        # PyKEEN leaves it to embeddings to be of unit length:
        unit = F.normalize(h, dim=-1), pair.chunk(2, dim=-1), F.normalize(t, dim=-1)
        assert_same(ours, (h, pair, t), theirs, *unit)
    phase = drawn(SIZE // 2)[0]
    turned = complex_of(h), torch.polar(torch.ones_like(phase), phase), complex_of(t)
    # PyKEEN takes the Euclidean norm of all moduli, and the paper's code their sum:
    theirs = modules.RotatEInteraction()(*(x.unsqueeze(-1) for x in turned)).sum(dim=-1)
    assert torch.allclose(nn.RotatE(SIZE, margin=0.0)(h, phase, t), theirs, atol=1e-6)
    for factor in (0.3, 1.0):  # Also projections to more than unit length.
        args = h, r, t = [factor * x for x in drawn(SIZE, 6, SIZE)]
        parts = [tuple(x.chunk(2, dim=-1)) for x in args]
        assert_same(nn.TransD(SIZE, 6, margin=0.0), args, modules.TransDInteraction(), *parts)


def test_tucker(random_norms):
    ours, args = nn.TuckER(SIZE, 4), drawn(SIZE, 4, SIZE)
    theirs = modules.TuckERInteraction(SIZE, 4)
    random_norms(ours)
    theirs.head_batch_norm, theirs.head_relation_batch_norm = ours.norms
    theirs.core_tensor.data = ours.weight.data.view(4, SIZE, SIZE).transpose(0, 1)
    assert_same(ours, args, theirs, *args)


def test_conve(random_norms):
    # The last channel of ours is the bias of the tail, and no output of the linear map:
    ours, args = nn.ConvE(SIZE, height=2, num_filters=3), drawn(SIZE, SIZE, SIZE)
    sizes = {"embedding_height": 2, "embedding_width": 4, "embedding_dim": SIZE}
    theirs = modules.ConvEInteraction(output_channels=3, **sizes)
    random_norms(ours)
    conv, lin, norm = theirs.hr2d[2], theirs.hr1d[0], theirs.hr1d[2]
    theirs.hr2d[0], theirs.hr2d[3] = ours.norms[:2]
    conv.weight.data = ours.conv.weight.data
    lin.weight.data = F.pad(ours.lin.weight.data, (0, 0, 0, 1))
    for x in (conv.bias, lin.bias):
        x.data.zero_()
    for name, fill in (("weight", 0), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        value = F.pad(getattr(ours.norms[2], name).data, (0, 1), value=fill)
        getattr(norm, name).data = value
    h, r, t = args
    assert_same(ours, args, theirs, h, r, (t, t[:, -1]))


def test_convkb():
    ours, args = nn.ConvKB(SIZE, num_filters=3), drawn(SIZE, SIZE, SIZE)
    theirs = modules.ConvKBInteraction(embedding_dim=SIZE, num_filters=3)
    torch.nn.init.normal_(ours.bias)
    theirs.conv.weight.data = ours.filters.data.t().reshape(3, 1, 1, 3)
    theirs.conv.bias.data = ours.bias.data
    theirs.linear.weight.data = ours.weight.data.view(1, -1)
    theirs.linear.bias.data.zero_()
    assert_same(ours, args, theirs, *args)
