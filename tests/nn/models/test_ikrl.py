import pytest
import torch

from torch_imf.nn import IKRL, TBKGC, TransE


def embeddings(model, node):
    """The structural embedding of an entity and that of its modalities, in double precision."""
    struct, out = model.node_emb.weight[node].double(), []
    for module in model.features.values():
        if module.mask[node]:
            x = module.x[module.row[node]].double()
            out.append(module.lin.weight.double() @ x + module.lin.bias.double())
    return struct, sum(out) / len(out) if out else struct


def energies(model, h, r, t, p):
    (h_s, h_m), (t_s, t_m) = embeddings(model, h), embeddings(model, t)
    r = model.rel_emb.weight[r].double()
    pairs = [(h_s, t_s), (h_s, t_m), (h_m, t_s), (h_m, t_m), (h_s + h_m, t_s + t_m)]
    return torch.stack([(h + r - t).norm(p=p) for h, t in pairs])


@pytest.mark.parametrize(("cls", "num_terms"), [(IKRL, 4), (TBKGC, 5)])
@pytest.mark.parametrize("p_norm", [1.0, 2.0])
def test_score_equals_the_energy_of_the_paper(fake, build, cls, num_terms, p_norm):
    data = fake.clone()
    for name in ("visual", "text", "numeric"):  # An entity without any modality.
        data[f"{name}_mask"][:1] = False
    model = build(cls, data=data, scorer=TransE(8, margin=2.0, p_norm=p_norm))
    facts = data.edge_index[0, :12], data.edge_type[:12], data.edge_index[1, :12]
    assert 0 in torch.cat([facts[0], facts[2]])
    score = model(*facts)
    for i, fact in enumerate(zip(*facts, strict=True)):
        energy = energies(model, *fact, p_norm)[:num_terms].sum()
        assert torch.allclose(score[i].double(), 2 * num_terms - energy, atol=1e-5)


def test_ikrl_needs_structure_and_a_modality(build):
    for kwargs in ({"x_dict": {}}, {"x_dict": {"text": torch.ones(5, 2)}, "struct": False}):
        with pytest.raises(ValueError, match="'struct' and at least one modality"):
            IKRL(5, 2, 4, **kwargs)
