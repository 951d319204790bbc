import copy

import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Data
from torch_geometric.sampler import BaseSampler, SamplerOutput

from torch_imf import evaluate, fit
from torch_imf.data import TripletIndex
from torch_imf.data.graph import without_test
from torch_imf.data.index import both_sides
from torch_imf.nn import StructuralEncoder
from torch_imf.nn.structural import graph_attention
from torch_imf.transforms import AddInverse

HAS_BACKEND = torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE


class FullSampler(BaseSampler):
    # The layout of PyG's samplers, with all edges, and the nodes of a batch in front.
    edge_permutation = None

    def __init__(self, data: Data) -> None:
        self.edge_index = make(data).register_graph(data).edge_index
        self.num_nodes = data.num_nodes

    def sample_from_nodes(self, inputs):
        raise NotImplementedError

    def sample_from_edges(self, inputs, neg_sampling=None):
        seed, inverse = torch.stack([inputs.row, inputs.col]).unique(return_inverse=True)
        rest = torch.ones(self.num_nodes, dtype=torch.bool).index_fill_(0, seed, False)
        node = torch.cat([seed, rest.nonzero().view(-1)])
        row, col = node.argsort()[self.edge_index]
        metadata = (inputs.input_id, inverse, None, None)
        return SamplerOutput(node, row, col, torch.arange(row.numel()), metadata=metadata)


def train_facts(data: Data) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    head_index, tail_index = data.edge_index[:, data.train_mask]
    return head_index, data.edge_type[data.train_mask], tail_index


def make(data: Data, **kwargs) -> StructuralEncoder:
    return StructuralEncoder(data.num_nodes, data.num_relations, 16, **kwargs)


def graph(edge_index, edge_type, num_nodes, num_relations, train_mask) -> Data:
    masks = {"train_mask": train_mask, "val_mask": ~train_mask, "test_mask": ~train_mask}
    sizes = {"num_nodes": num_nodes, "num_relations": num_relations}
    return Data(edge_index=edge_index, edge_type=edge_type, **sizes, **masks)


def test_structural_encoder(fake):
    encoder = make(fake)
    expected = "(150, num_relations=5, hidden_channels=16, num_layers=2, heads=4)"
    assert str(encoder) == f"StructuralEncoder{expected}"
    assert encoder.margin == 2.0
    x = encoder.encode(fake)
    assert x.size() == (150, 16) and not x.requires_grad
    assert torch.allclose(x.norm(dim=-1), torch.ones(150))
    rel = encoder.rel_embedding()
    assert rel.size() == (10, 16) and torch.equal(rel[5:], -encoder.rel_emb.weight)
    assert set(encoder.state_dict()) == {key for key, _ in encoder.named_parameters()}
    encoder().square()[:, 0].sum().backward()  # As a part of another model.
    assert encoder.node_emb.weight.grad.abs().sum() > 0
    assert copy.deepcopy(encoder)().size() == (150, 16)


def test_a_registered_graph_is_sorted_once(fake, monkeypatch):
    calls, of = [], graph_attention.Neighbors.of
    monkeypatch.setattr(graph_attention.Neighbors, "of", lambda *x: calls.append(x) or of(*x))
    encoder = make(fake)
    first = encoder.encode(fake)
    encoder(), encoder()
    assert len(calls) == 1
    given = encoder(encoder.edge_index.clone(), encoder.edge_type)
    assert torch.equal(given, first) and len(calls) == 2
    data = fake.clone()
    data.train_mask[data.train_mask.nonzero()[:50]] = False
    assert not torch.allclose(encoder.encode(data), first) and len(calls) == 3


def test_energy_and_loss_by_a_loop(fake):
    encoder = make(fake, margin=1.5).register_graph(fake)
    loader = encoder.loader(*train_facts(fake), batch_size=20, shuffle=True)
    head_index, rel_type, tail_index, neg_index = fact = next(iter(loader))
    assert neg_index.size() == (20, 4)
    for row, col in ((3, 2), (5, slice(None))):
        neg_index[row, col] = -1  # No negative.
    x, rel = encoder().detach(), encoder.rel_embedding().detach()
    hinges = []
    for h, r, t, negatives in zip(*(index.tolist() for index in fact), strict=True):
        pos, *neg = (float((x[h] + rel[r] - x[k]).abs().sum()) for k in (t, *negatives))
        hinges += [1.5 + pos - e if k >= 0 else 0.0 for e, k in zip(neg, negatives, strict=True)]
    assert 0 < sum(hinge < 0 for hinge in hinges) < 80
    loss = encoder.loss(*fact)
    assert loss.item() == pytest.approx(sum(max(0.0, hinge) for hinge in hinges) / 80, rel=1e-5)

    energy = encoder.energy(x, head_index, rel_type, tail_index)
    inverse = encoder.energy(x, tail_index, (rel_type + 5) % 10, head_index)
    assert torch.allclose(energy, inverse, atol=1e-5)
    score = encoder.predict(head_index, rel_type)
    assert torch.allclose(score[torch.arange(20), tail_index], -energy, atol=1e-5)
    loss = encoder.loss(*fact[:3], torch.full_like(neg_index, -1))
    loss.backward()
    assert loss == 0 and all((p.grad == 0).all() for p in encoder.parameters())


def test_loader_visits_each_fact_in_both_directions(fake):
    both = torch.stack(both_sides(*train_facts(fake), 5))
    for data in (fake, AddInverse()(copy.copy(fake))):  # Inverse triples may be given.
        loader = make(fake).loader(*train_facts(data), batch_size=100, shuffle=True)
        batches = list(loader)
        assert len(loader) == len(batches)
        out = torch.stack([torch.cat(x) for x in list(zip(*batches, strict=True))[:3]])
        assert sorted(out.t().tolist()) == sorted(both.t().tolist())
        index = TripletIndex(*both)
        for h, r, _, neg in batches:
            assert not index.contains(h[:, None], r[:, None], neg).any()


def test_no_leak(fake):
    # Validation and test facts are replaced by others:
    other = copy.copy(fake)
    held_out = ~fake.train_mask
    other.edge_index = fake.edge_index.clone()
    other.edge_index[:, held_out] = torch.randint(150, (2, int(held_out.sum())))
    out = []
    for data in (fake, other):
        torch.manual_seed(0)
        encoder = make(data, dropout=0.1)
        history = fit(encoder, data, epochs=3, batch_size=256, lr=0.01, progress=False)
        out.append(([entry["loss"] for entry in history], encoder.encode(data)))
    assert out[0][0] == out[1][0] and torch.equal(out[0][1], out[1][1])


def sampled_equals_full(data: Data, **kwargs) -> None:
    full = make(data, edge_attention=True)
    encoder = make(data, edge_attention=True, num_neighbors=[-1, -1])
    encoder.load_state_dict(full.state_dict())
    losses = []
    for model, sampler in ((full, {}), (encoder, kwargs)):
        torch.manual_seed(0)
        loader = model.loader(*train_facts(data), batch_size=100, **sampler)
        losses.append(torch.stack([model.loss(*batch) for batch in loader]))
    assert torch.allclose(*losses, atol=1e-5)


def test_sampled_batches(fake):
    sampled_equals_full(fake, neighbor_sampler=FullSampler(fake))
    # Every entity is an answer of (0, 0), but not of its inverse.
    zero = torch.zeros(6, dtype=torch.long)
    data = graph(torch.stack([zero, torch.arange(6)]), zero, 6, 1, zero == 0)
    sampler = FullSampler(data)
    loader = make(data, num_neighbors=[-1, -1]).loader(*train_facts(data), neighbor_sampler=sampler)
    for _, rel_type, _, neg_index, *_ in loader:
        assert torch.equal(neg_index == -1, (rel_type == 0).unsqueeze(1).expand(-1, 4))
    sampled_equals_full(data, neighbor_sampler=sampler)


@pytest.mark.skipif(not HAS_BACKEND, reason="needs 'pyg-lib' or 'torch-sparse'")
def test_neighbor_sampling(fake):
    sampled_equals_full(fake)
    encoder = make(fake, num_neighbors=[3, 2])
    head_index, *_, n_id = next(iter(encoder.loader(*train_facts(fake), batch_size=2)))
    assert head_index.max() < n_id.numel() < 150
    history = fit(encoder, fake, epochs=10, batch_size=128, lr=0.01, progress=False)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]


@pytest.mark.skipif(HAS_BACKEND, reason="needs neither 'pyg-lib' nor 'torch-sparse'")
def test_neighbor_sampling_without_backend(fake, refuses):
    loader = make(fake, num_neighbors=[3, 2]).loader(*train_facts(fake))
    words = "requires either 'pyg-lib' or 'torch-sparse'"
    refuses((words, lambda: next(iter(loader))), error=ImportError)


def test_structural_encoder_learns(fake):
    encoder = make(fake)
    settings = {"batch_size": 128, "lr": 0.02, "eval_every": 5, "progress": False}
    history = fit(encoder, fake, epochs=15, **settings)
    chance = float((1 / torch.arange(1.0, 151)).mean())
    assert evaluate(encoder, fake)["mrr"] > 4 * chance
    best = max(entry["mrr"] for entry in history)
    assert evaluate(encoder, without_test(fake), "val")["mrr"] == pytest.approx(best)


@pytest.mark.parametrize("edge_attention", [False, True])
def test_unseen_relations_and_isolated_entities(edge_attention):
    mask = torch.tensor([True, True, False])
    edge_index = torch.tensor([[0, 1, 2], [1, 1, 4]])  # With a self-loop.
    data = graph(edge_index, torch.tensor([0, 0, 2]), 6, 3, mask)
    encoder = make(data, edge_attention=edge_attention)
    fit(encoder, data, epochs=2, progress=False)
    assert encoder.encode(data).isfinite().all()
    score = encoder.predict(torch.arange(6), torch.arange(6))
    assert score.size() == (6, 6) and score.isfinite().all()
    data.train_mask = mask & False
    assert make(data).encode(data).isfinite().all()  # No edges at all.


def test_errors(fake, refuses):
    three = torch.arange(3)
    bare = Data(edge_index=fake.edge_index, num_nodes=150)
    refuses(
        ("'hidden_channels' needs to be a multiple", lambda: make(fake, heads=3)),
        ("one number for each of 2 layers", lambda: make(fake, num_neighbors=[5])),
        ("Call 'register_graph", make(fake)),
        ("model expects 9 entities", lambda: StructuralEncoder(9, 5, 4).encode(fake)),
        ("lacks", lambda: make(fake).encode(bare)),
        ("'rel_type' holds ids outside", lambda: make(fake).loader(three, three + 8, three)),
    )
