import torch

from torch_imf.nn import MHyper, OneToN


def test_mhyper_equals_the_equation_of_the_paper(bare, build, facts, known):
    model = build(MHyper, data=bare, scorer="distmult").eval()
    scorer = model.scorers["fused"]
    assert 0 in torch.cat(facts(12)[::2]) and model.node_emb.weight.size(1) == 40
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        e = []
        for node in (h, t):
            x_dict = known(model, node)
            first, s_1, s_2, v, w = x_dict.pop("struct").chunk(5)
            names, means = list(model.features), []
            for group in (names[0::2], names[1::2]):
                there = [x_dict[name] for name in group if name in x_dict]
                means.append(sum(there) / len(there) if there else 0 * v)
            e.append([first, s_1 + s_2, v + means[0], w + means[1]])
        rel = model.rel_emb.weight[r].double()
        att, lin = scorer.att.double(), scorer.lin
        logit = torch.stack([a @ x for a, x in zip(att, e[0][1:], strict=True)])
        logit = logit + lin.weight.double() @ rel[:-1] + lin.bias.double()
        alpha = (logit / rel[-1].exp()).softmax(dim=0)
        head = torch.cat([e[0][0] + alpha @ torch.stack(e[0][1:]), *e[0][1:]])
        expected = (head * rel[:-1] * torch.cat(e[1])).sum()
        assert torch.allclose(score.double(), expected, atol=1e-5)


def test_terms_of_the_loss(build, facts):
    batch = head_index, rel_type, _ = facts(9)
    plain = build(MHyper, consistency=0.0, reconstruction=0.0, noise=0.0)
    model = build(MHyper, consistency=0.0, reconstruction=2.0, noise=0.0)
    index = head_index.unique()
    term = model.fusion.reconstruction_loss(model.embed(index), model.masks(index))
    assert torch.allclose(model.loss(*batch), plain.loss(*batch) + 2 * term)
    # Noise on all entities, of the fused embedding of heads:
    model = build(MHyper, consistency=3.0, reconstruction=0.0, noise=1.0)
    weights = []
    for weight in (3.0, 0.0):
        model.consistency = weight
        torch.manual_seed(1)
        weights.append(model.loss(*batch))
    assert weights[0] > weights[1]
    model.eval()
    model.consistency = 3.0
    assert torch.allclose(model.loss(*batch), plain.eval().loss(*batch))
    assert not model.fusion.training


def test_errors(build, refuses):
    loss = OneToN("ce", regularizer="n3")
    assert build(MHyper, loss=loss).loss(*[torch.tensor([0, 1])] * 3).isfinite()
    refuses(
        ("'struct' to be five times", lambda: build(MHyper, struct=False)),
        ("'consistency' and 'reconstruction' cannot", lambda: build(MHyper, consistency=-1.0)),
        ("BiQUE needs 'channels'", lambda: build(MHyper, 3)),
    )
