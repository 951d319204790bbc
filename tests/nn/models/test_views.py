import torch

from torch_imf.data import modalities
from torch_imf.nn import IMF


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
