import pytest
import torch

from torch_imf import fit
from torch_imf.data import modalities
from torch_imf.nn import IMF, KGE, AdaMF
from torch_imf.registry import class_names


def test_every_view_scores_by_its_own_scorer(fake):
    views = ["struct", "text", "fused"]
    args = (fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    model = IMF(*args, views=views, shared_relations=False).eval()
    head, rel = fake.edge_index[0, :4], fake.edge_type[:4]
    z = model.encode()
    query = model.query({view: x[head] for view, x in z.items()}, rel)
    scores = model.view_similarity(query, model.key(z))
    for view in views:
        part = model.scorers[view](z[view][head], model.rel_emb[view](rel), z[view][:4])
        assert torch.allclose(scores[view][:, :4].diag(), part, atol=1e-5)
    # The whole is the average of probabilities, by the weights of the views:
    weights = model.view_weights()
    expected = sum(weights[view] * scores[view].sigmoid() for view in views)
    assert torch.allclose(model.similarity(query, model.key(z)), expected, atol=1e-6)


@pytest.mark.parametrize("name", class_names("scorer"))
def test_tied_inverses(fake, name):
    sizes = fake.num_nodes, fake.num_relations, 12
    if name not in ("ComplEx", "DistMult", "RotatE", "TransE"):
        with pytest.raises(NotImplementedError, match="does not tie inverse relations"):
            KGE(*sizes, name, tie_inverses=True)
        return
    head_index, tail_index = fake.edge_index[:, :20]
    rel_type, inverse = fake.edge_type[:20], fake.edge_type[:20] + fake.num_relations
    for cls, args in ((KGE, sizes), (AdaMF, (*sizes, *modalities(fake)))):
        model = cls(*args, scorer=name, tie_inverses=True)
        assert model.rel_emb.weight.size(0) == fake.num_relations
        before = model.rel_emb.weight.clone()
        fit(model, fake, 1, lr=0.01, progress=False)
        assert not (model.rel_emb.weight == before).all(dim=1).any()
        score = model(head_index, rel_type, tail_index)
        assert torch.allclose(score, model(tail_index, inverse, head_index), atol=1e-5)
        out = model.predict(tail_index, inverse)[range(20), head_index]
        assert torch.allclose(score, out, atol=1e-5)
        # As with rows for inverses that say the same:
        other, rel = cls(*args, scorer=name), model.rel_emb.weight
        rel = torch.cat([rel, model.scorers[model.views[0]].invert(rel)])
        other.load_state_dict(model.state_dict() | {"rel_emb.weight": rel})
        for batch in ((head_index, rel_type, tail_index), (tail_index, inverse, head_index)):
            assert torch.equal(other(*batch), model(*batch))


def test_tied_inverses_of_no_relation(fake):
    model = KGE(fake.num_nodes, 5, 12, "transe", tie_inverses=True)
    node = torch.zeros(1, dtype=torch.long)
    for rel_type in (-1, 10, 11):
        with pytest.raises(IndexError):
            model(node, torch.tensor([rel_type]), node)
    assert model(node, torch.tensor([9]), node).size() == (1,)
