import pytest
import torch
import torch.nn.functional as F

from torch_imf import fit
from torch_imf.nn import RSME, ComplEx


def fused(model, node, alpha):
    """The fusion gate of one entity in double precision, and its features by modality."""
    struct, out, x_dict = model.node_emb.weight[node].double(), [], {}
    for name, module in model.features.items():
        if module.mask[node]:
            x = x_dict[name] = module.x[module.row[node]].double()
            out.append(module.lin.weight.double() @ x + module.lin.bias.double())
    e = (1 - alpha) * struct + alpha * sum(out) / len(out) if out else struct
    return torch.complex(*e.chunk(2)), x_dict


def test_score_equals_the_equation_of_the_paper(fake, build):
    data = fake.clone()
    for name in ("visual", "text", "numeric"):  # An entity without any modality.
        data[f"{name}_mask"][:1] = False
    alpha = torch.rand(data.num_relations)
    gate = torch.tensor([1, 0, 1, 1, 0])
    model = build(RSME, data=data, alpha=alpha, beta=0.6, gate=gate)
    index = torch.cat([torch.arange(5), torch.randint(data.num_edges, (40,))])
    head, rel, tail = data.edge_index[0, index], data.edge_type[index], data.edge_index[1, index]
    assert 0 in head and set(rel.tolist()) == set(range(5))
    inverse = (rel + data.num_relations, tail, head)
    for h, r, t, score, other in zip(
        head,
        rel,
        tail,
        model(head, rel, tail),
        model(inverse[1], inverse[0], inverse[2]),
        strict=True,
    ):
        (e_h, x_h), (e_t, x_t) = (fused(model, node, alpha[r].double()) for node in (h, t))
        both = [F.cosine_similarity(x_h[k], x_t[k], dim=0) for k in x_h.keys() & x_t.keys()]
        visual = 0.4 * gate[r] * sum(both) / 3
        weight = torch.complex(*model.rel_emb.weight[r].double().chunk(2))
        expected = 0.6 * (e_h * weight * e_t.conj()).sum().real + visual
        assert torch.allclose(score.double(), expected, atol=1e-5)
        # Inverse relations have the weights of their relation:
        weight = torch.complex(*model.rel_emb.weight[r + data.num_relations].double().chunk(2))
        expected = 0.6 * (e_t * weight * e_h.conj()).sum().real + visual
        assert torch.allclose(other.double(), expected, atol=1e-5)


def test_rsme_without_modalities_is_complex(fake, build):
    model = build(RSME, alpha=0.0, beta=1.0)
    head, rel, tail = fake.edge_index[0, :9], fake.edge_type[:9], fake.edge_index[1, :9]
    h, t = model.node_emb(head), model.node_emb(tail)
    expected = ComplEx(8)(h, model.rel_emb(rel), t)
    assert torch.allclose(model(head, rel, tail), expected, atol=1e-6)
    model.loss(head, rel, tail).backward()
    assert all(p.grad.abs().sum() == 0 for p in model.features.parameters())


def test_resume_with_other_weights(fake, build, tmp_path):
    settings = {"batch_size": 64, "lr": 0.01, "checkpoint": tmp_path / "run.pt", "progress": False}
    gate = torch.tensor([1, 0, 1, 1, 0])
    fit(build(RSME, alpha=0.3, gate=gate), fake, 1, **settings)
    for kwargs, name in (
        ({"alpha": 0.7, "gate": gate}, "alpha"),
        ({"alpha": 0.3}, "gate"),
        ({"alpha": 0.3, "gate": gate, "beta": 0.9}, "model"),
    ):
        with pytest.raises(ValueError, match=rf"belongs to another model.*\['{name}"):
            fit(build(RSME, **kwargs), fake, 2, **settings)
    model = build(RSME, alpha=0.3, gate=gate)
    assert len(fit(model, fake, 2, **settings)) == 2
    names = {name for name, _ in model.named_parameters()}
    assert set(model.state_dict()) == names  # Without weights and features.


def test_rsme_errors(build):
    for value in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=r"'beta' needs to be in \[0, 1\]"):
            build(RSME, beta=value)
        with pytest.raises(ValueError, match=r"'alpha' needs to be in \[0, 1\]"):
            build(RSME, alpha=value)
    with pytest.raises(ValueError, match="'gate' needs to be in .* or 5"):
        build(RSME, gate=torch.ones(10))
