import pytest
import torch
import torch.nn.functional as F

from torch_imf import evaluate, fit
from torch_imf.nn import TripleEncoder


def make(data, **kwargs):
    return TripleEncoder(data.num_nodes, data.num_relations, 8, **kwargs)


def paths_by_loop(encoder):
    """The other end and the relations of all paths of each entity."""
    out = {node: [] for node in range(encoder.num_nodes)}
    for head, tail, rel in zip(
        *encoder.edge_index.tolist(), encoder.edge_type.tolist(), strict=True
    ):
        out[head].append((tail, [rel]))
    ends, rels = encoder.walks(encoder.edge_index, encoder.edge_type)
    for head, tail, way in zip(*ends.tolist(), rels.tolist(), strict=True):
        out[head].append((tail, [rel for rel in way if rel >= 0]))
    return out


@pytest.mark.parametrize("normalize", [False, True])
def test_equals_the_equations_of_the_paper(fake, normalize):
    encoder = make(fake, num_paths=2, num_hops=3, normalize=normalize).register_graph(fake)
    paths = paths_by_loop(encoder)
    g = torch.cat([encoder.rel_emb.weight, -encoder.rel_emb.weight]).double()
    x = first = encoder.node_emb.weight.double()
    for i, conv in enumerate(encoder.convs):
        g = g if i == 0 else g @ encoder.rel_lins[i - 1].weight.double().t()  # Eq. 10
        weights = [lin.weight.double().view(2, -1, 8) for lin in conv.lins]
        outs = []
        for node in range(fake.num_nodes):
            heads = []
            for k in range(2):
                c = torch.stack(
                    [
                        weights[0][k] @ x[node]
                        + weights[1][k] @ x[j]
                        + weights[2][k] @ g[way].sum(0)
                        for j, way in paths[node]
                    ]
                )  # Eq. 5
                alpha = F.leaky_relu(c @ conv.att[k].double(), 0.2).softmax(dim=0)  # Eq. 6-7
                heads.append((alpha.unsqueeze(1) * c).sum(dim=0))  # Eq. 8
            # Eq. 9 and 11
            outs.append(F.elu(torch.cat(heads) if i == 0 else sum(heads) / 2))
        x = torch.stack(outs)
    x = first @ encoder.lin.weight.double().t() + x  # Eq. 12
    x = F.normalize(x, dim=1) if normalize else x
    assert torch.allclose(encoder().double(), x, atol=1e-5)
    assert torch.allclose(encoder.rel_embedding().double(), g, atol=1e-6)
    assert torch.equal(encoder(encoder.edge_index, encoder.edge_type), encoder())


def test_walks_are_paths(fake):
    encoder = make(fake, num_hops=3).register_graph(fake)
    (start, end), rels = encoder.walks(encoder.edge_index, encoder.edge_type)
    assert (start != end).all() and set((rels >= 0).sum(dim=1).tolist()) == {2, 3}
    facts = set(zip(*encoder.edge_index.tolist(), encoder.edge_type.tolist(), strict=True))
    for i in range(0, start.numel(), 17):
        reached = {int(start[i])}
        for rel in rels[i][rels[i] >= 0].tolist():
            reached = {t for h, t, r in facts if h in reached and r == rel}
        assert int(end[i]) in reached
    assert make(fake, num_paths=0).register_graph(fake)().isfinite().all()


def test_learns_and_hears_nothing_of_other_splits(fake):
    other = fake.clone()
    held_out = ~fake.train_mask
    other.edge_index[:, held_out] = torch.randint(150, (2, int(held_out.sum())))
    out = []
    for data in (fake, other):
        torch.manual_seed(0)
        encoder = make(data, dropout=0.1)
        fit(encoder, data, epochs=8, batch_size=128, lr=0.02, eval_every=8, progress=False)
        out.append(encoder.encode(data))
    assert torch.equal(*out)
    chance = float((1 / torch.arange(1.0, 151)).mean())
    encoder = make(fake)
    fit(encoder, fake, epochs=8, batch_size=128, lr=0.02, eval_every=8, progress=False)
    assert evaluate(encoder, fake)["mrr"] > 3 * chance


def test_errors(fake, refuses):
    refuses(
        ("'hidden_channels' needs to be a multiple", lambda: make(fake, heads=3)),
        ("'num_layers' and 'num_hops' need to be positive", lambda: make(fake, num_hops=0)),
    )
