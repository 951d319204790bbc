import torch

from torch_imf import fit
from torch_imf.nn import KBAT, KGE, RotatE, StructuralEmbedding, TripleEncoder


def test_kge(refuses):
    model = KGE(10, 3, 8, {"text": torch.ones(10, 2)}, scorer=RotatE(8))  # Features are not used.
    assert model.views == ["struct"] and model.rel_emb.weight.size() == (6, 4)
    assert torch.equal(model.encode()["struct"], model.node_emb.weight)
    index = torch.tensor([3, 1])
    assert torch.equal(model.encode(index)["struct"], model.node_emb.weight[index])
    before = model.node_emb.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, model.node_emb.weight)
    assert model.rel_emb.weight.abs().max() > 1  # Phases, not Xavier.
    refuses(("nothing but structure", lambda: KGE(10, 3, 8, struct=False)))


def test_decodes_what_the_encoder_gives(fake, facts):
    encoder = TripleEncoder(fake.num_nodes, fake.num_relations, 8)
    fit(encoder, fake, 1, progress=False)
    x, rel_emb = encoder.encode(fake), encoder.rel_embedding().detach()
    struct = StructuralEmbedding(x, rel_emb, freeze=True)
    model = KBAT(fake.num_nodes, fake.num_relations, 8, struct=struct)
    head, rel, tail = facts(9)
    expected = model.scorers["struct"](x[head], rel_emb[rel], x[tail])
    assert torch.allclose(model(head, rel, tail), expected, atol=1e-6)

    fit(model, fake, 2, lr=0.01, progress=False)
    assert torch.equal(model.encode()["struct"], x)  # Entities stay, relations do not.
    assert not torch.allclose(model.rel_emb.weight, rel_emb)


def test_loss_is_the_soft_margin(fake, batch):
    model = KBAT(fake.num_nodes, fake.num_relations, 8)
    head, rel, tail, neg_index = batch
    expected = []
    for h, r, t, negatives in zip(head, rel, tail, neg_index, strict=True):
        pos, *neg = (model(h[None], r[None], k[None]) for k in (t, *negatives[negatives >= 0]))
        terms = [(1 + s.double().exp()).log() for s in neg]
        expected.append((1 + (-pos.double()).exp()).log() + sum(terms) / len(terms))
    loss = model.loss(head, rel, tail, neg_index)
    assert torch.allclose(loss.double(), torch.stack(expected).mean(), rtol=1e-5)
