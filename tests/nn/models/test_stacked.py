import pytest
import torch
import torch.nn.functional as F

from torch_imf import fit
from torch_imf.nn import IKRL, LBMKGC, RSME, TBKGC, VBKGC, ComplEx, RotatE, TransE


def embeddings(model, node):
    """Of an entity in double precision: its structure, the mean of its modalities, features."""
    struct, out, x_dict = model.node_emb.weight[node].double(), [], {}
    for name, module in model.features.items():
        if module.mask[node]:
            x = x_dict[name] = module.x[module.row[node]].double()
            out.append(module.lin.weight.double() @ x + module.lin.bias.double())
    return struct, sum(out) / len(out) if out else struct, x_dict


@pytest.mark.parametrize(("cls", "num_terms"), [(IKRL, 4), (TBKGC, 5)])
@pytest.mark.parametrize("p_norm", [1.0, 2.0])
def test_score_equals_the_energy_of_the_paper(bare, build, facts, cls, num_terms, p_norm):
    model = build(cls, data=bare, scorer=TransE(8, margin=2.0, p_norm=p_norm))
    assert 0 in torch.cat(facts(12)[::2])
    for *fact, score in zip(*facts(12), model(*facts(12)), strict=True):
        (h_s, h_m, _), (t_s, t_m, _) = (embeddings(model, node) for node in fact[::2])
        pairs = [(h_s, t_s), (h_s, t_m), (h_m, t_s), (h_m, t_m), (h_s + h_m, t_s + t_m)]
        r = model.rel_emb.weight[fact[1]].double()
        energy = sum((h + r - t).norm(p=p_norm) for h, t in pairs[:num_terms])
        assert torch.allclose(score.double(), 2 * num_terms - energy, atol=1e-5)


def test_ikrl_needs_structure_and_a_modality(refuses):
    x_dict = {"text": torch.ones(5, 2)}
    refuses(
        ("'struct' and at least one modality", lambda: IKRL(5, 2, 4, {})),
        ("'struct' and at least one modality", lambda: IKRL(5, 2, 4, x_dict, struct=False)),
    )


def test_rsme_equals_the_equation_of_the_paper(bare, build):
    alpha, gate = torch.rand(5), torch.tensor([1, 0, 1, 1, 0])
    model = build(RSME, data=bare, alpha=alpha, beta=0.6, gate=gate)
    index = torch.cat([torch.arange(5), torch.randint(bare.num_edges, (40,))])
    head, rel, tail = bare.edge_index[0, index], bare.edge_type[index], bare.edge_index[1, index]
    assert 0 in head and set(rel.tolist()) == set(range(5))
    # Inverse relations have the weights of their relation:
    triples = torch.cat([torch.stack([head, rel, tail]), torch.stack([tail, rel + 5, head])], dim=1)
    for h, r, t, score in zip(*triples, model(*triples), strict=True):
        a, e = alpha[r % 5].double(), []
        (h_s, h_m, h_x), (t_s, t_m, t_x) = (embeddings(model, node) for node in (h, t))
        for s, m, x in ((h_s, h_m, h_x), (t_s, t_m, t_x)):
            e.append(torch.complex(*((1 - a) * s + a * m if x else s).chunk(2)))
        cos = sum(F.cosine_similarity(h_x[k], t_x[k], dim=0) for k in h_x.keys() & t_x.keys())
        weight = torch.complex(*model.rel_emb.weight[r].double().chunk(2))
        expected = 0.6 * (e[0] * weight * e[1].conj()).sum().real + 0.4 * gate[r % 5] * cos / 3
        assert torch.allclose(score.double(), expected, atol=1e-5)


def test_rsme_without_modalities_is_complex(build, facts):
    model = build(RSME, alpha=0.0, beta=1.0)
    head, rel, tail = facts(9)
    expected = ComplEx(8)(model.node_emb(head), model.rel_emb(rel), model.node_emb(tail))
    assert torch.allclose(model(*facts(9)), expected, atol=1e-6)
    model.loss(*facts(9)).backward()
    assert all(p.grad.abs().sum() == 0 for p in model.features.parameters())


def test_resume_with_other_weights(fake, build, refuses, tmp_path):
    settings = {"batch_size": 64, "lr": 0.01, "checkpoint": tmp_path / "run.pt", "progress": False}
    own = {"alpha": 0.3, "gate": torch.tensor([1, 0, 1, 1, 0])}
    fit(build(RSME, **own), fake, 1, **settings)
    for name, kwargs in (
        ("alpha", {**own, "alpha": 0.7}),
        ("gate", {"alpha": 0.3}),
        ("model", {**own, "beta": 0.9}),
    ):
        other = build(RSME, **kwargs)
        words = rf"belongs to another model.*\['{name}"
        refuses((words, lambda x=other: fit(x, fake, 2, **settings)))
    model = build(RSME, **own)
    assert len(fit(model, fake, 2, **settings)) == 2
    names = {name for name, _ in model.named_parameters()}
    assert set(model.state_dict()) == {*names, "seen"}  # Without weights and features.


def test_rsme_errors(build, refuses):
    for x in (-0.1, float("nan")):
        refuses((r"'beta' needs to be (in \[0, 1\]|finite)", lambda x=x: build(RSME, beta=x)))
        refuses(
            (
                r"'alpha' needs (one number in \[0, 1\]|to be finite)",
                lambda x=x: build(RSME, alpha=x),
            )
        )
    refuses(("'gate' needs .* or 5", lambda: build(RSME, gate=torch.ones(10))))


def rotated(head, rel, tail):
    """The distance of RotatE."""
    head, tail = (torch.complex(*x.chunk(2)) for x in (head, tail))
    return (head * torch.polar(torch.ones_like(rel), rel) - tail).abs().sum()


def test_vbkgc_equals_the_equation_of_the_paper(bare, build, facts):
    model = build(VBKGC, data=bare, scorer=RotatE(8, margin=2.0))
    for *fact, score in zip(*facts(12), model(*facts(12)), strict=True):
        heads, tails = (embeddings(model, node)[:2] for node in fact[::2])
        rel = model.rel_emb.weight[fact[1]].double()
        energy = sum(rotated(h, rel, t) for h in heads for t in tails)
        assert torch.allclose(score.double(), 8 - energy, atol=1e-5)


@pytest.mark.parametrize("scorer", [RotatE(8, margin=2.0), ComplEx(8)])
def test_lbmkgc_equals_the_equation_of_the_paper(bare, build, facts, known, scorer):
    model = build(LBMKGC, data=bare, scorer=scorer)
    torch.nn.init.normal_(model.rel_emb.weight)
    att = model.fusion.mean.att[0].double()
    assert 0 in torch.cat(facts(12)[::2])
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        rel, ends = model.rel_emb.weight[r].double(), []
        gate = rel[-1].sigmoid()
        for node in (h, t):
            x_dict = known(model, node)
            struct = x_dict.pop("struct")
            x = torch.stack([*x_dict.values()]) if x_dict else struct[None]
            alpha = (x.tanh() @ att).softmax(dim=0)
            ends.append(gate * struct + (1 - gate) * alpha @ x)
        if isinstance(scorer, RotatE):
            expected = 2 - rotated(ends[0], rel[:-1], ends[1])
        else:
            head, rel, tail = (torch.complex(*x.chunk(2)) for x in (ends[0], rel[:-1], ends[1]))
            expected = (head * rel * tail.conj()).sum().real
        assert torch.allclose(score.double(), expected, atol=1e-5)
