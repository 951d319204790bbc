import torch

from torch_imf import fit, from_pretrained, save_pretrained
from torch_imf.nn import TransAE, TransE


def hidden(model, node):
    """The hidden layer of an entity in double precision, and its features."""
    parts, x_dict = [], {}
    for name, module in model.features.items():
        x = module.x.new_zeros(8).double()
        if module.mask[node]:
            x_dict[name] = module.x[module.row[node]].double()
            x = (module.lin.weight.double() @ x_dict[name] + module.lin.bias.double()).tanh()
        parts.append(x)
    lin = model.fusion.lin
    return lin.weight.double() @ torch.cat(parts) + lin.bias.double(), x_dict


def test_score_and_loss_equal_the_equations_of_the_paper(bare, build, facts):
    model = build(TransAE, data=bare, scorer=TransE(8, margin=2.0, p_norm=2.0), weight=0.7)
    head, rel, tail = facts(12)
    assert 0 in torch.cat([head, tail])
    for *fact, score in zip(head, rel, tail, model(head, rel, tail), strict=True):
        h, t = (hidden(model, node)[0] for node in fact[::2])
        expected = 2 - (h + model.rel_emb.weight[fact[1]].double() - t).norm()
        assert torch.allclose(score.double(), expected, atol=1e-5)

    errors = {name: [] for name in model.features}
    for node in head.unique():
        e, x_dict = hidden(model, node)
        for name, x in x_dict.items():
            first, _, last = model.decoder.nets[name].double()
            out = last.weight @ (first.weight @ e + first.bias).tanh() + last.bias
            errors[name].append((out - x).square().sum())
            model.decoder.nets[name].float()
    expected = sum(torch.stack(x).mean() for x in errors.values())
    neg_index = (tail.unsqueeze(1) + 1) % bare.num_nodes
    z = model.encode()
    loss = model.loss(head, rel, tail, neg_index) - model.view_loss(z, head, rel, tail, neg_index)
    assert torch.allclose(loss.double(), 0.7 * expected, rtol=1e-5)


def test_missing_features_are_imputed(fake, build, tmp_path):
    model = build(TransAE)
    fit(model, fake, 2, batch_size=128, lr=0.01, progress=False)
    out = model.impute(torch.tensor([3, 1]))
    assert {name: x.size() for name, x in out.items()} == {
        name: (2, fake[f"x_{name}"].size(1)) for name in model.features
    }
    # Better than the mean, whose error is one:
    heads = fake.edge_index[0].unique()
    before = build(TransAE)
    errors = [x.decoder.loss(x.encode(heads)["fused"], x.features, heads) for x in (before, model)]
    assert errors[1] < 0.9 * errors[0]
    save_pretrained(model, tmp_path)
    again = from_pretrained(tmp_path).impute(torch.tensor([3, 1]))
    assert all(torch.allclose(again[name], x, atol=1e-5) for name, x in out.items())


def test_errors(build, refuses):
    refuses(
        ("encodes modalities, of which the graph has none", lambda: TransAE(5, 2, 4)),
        ("'weight' cannot be negative", lambda: build(TransAE, weight=-1.0)),
    )
