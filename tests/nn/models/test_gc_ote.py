import pytest
import torch

from torch_imf import from_pretrained, save_pretrained
from torch_imf.data.index import both_sides
from torch_imf.nn import GCOTE, OneToN
from torch_imf.training import make_loader


@pytest.fixture
def model(fake, build):
    made = build(GCOTE, 8, margin=2.0)
    torch.nn.init.normal_(made.node_emb.weight)
    make_loader(made, fake)  # Which tells it the training facts.
    return made.double().eval()


def contexts(model, left_out=()):
    # Incoming and outgoing, fact by fact.
    x, size = model.node_emb.weight, model.num_relations
    matrix = model.scorers["struct"].ote.matrices(model.rel_emb.weight)[0].mT  # [2R, K, D, D]
    total, count = x.repeat(2, 1).clone(), torch.ones(2 * len(x), 1)
    for h, r, t in zip(*(y.tolist() for y in both_sides(*model.facts, size)), strict=True):
        if (h, r, t) not in left_out:
            slot = t if r < size else t + len(x)
            total[slot] += torch.einsum("kij,kj->ki", matrix[r], x[h].view(2, 4)).flatten()
            count[slot] += 1
    return (total / count).chunk(2), matrix


def test_scores_equal_the_equation(fake, model, facts):
    x, size = model.node_emb.weight, fake.num_relations
    (incoming, outgoing), matrix = contexts(model)
    head, rel, tail = facts(6)
    for inverse in (False, True):
        for h, r, t in zip(head, rel, tail, strict=True):
            # An inverse query is scored as the paper scores heads, with a matrix of its own:
            into, out = (outgoing, incoming) if inverse else (incoming, outgoing)
            turn = torch.block_diag(*matrix[r + size * inverse])
            turned, back = turn @ x[h], turn.t() @ x[t]
            pairs = (turned, x[t]), (back, x[h]), (turned, into[t]), (back, out[h])
            norms = [(a - b).view(2, 4).norm(dim=1).sum() for a, b in pairs]
            score = model(h[None], (r + size * inverse)[None], t[None])
            assert torch.allclose(score, 2 - sum(norms) / 4, atol=1e-6)


def test_facts_of_a_batch_are_left_out(fake, model):
    facts = model.facts[:, :5]
    inverse = torch.stack(both_sides(*facts, fake.num_relations))[:, 5:]
    left_out = {tuple(x) for x in torch.cat([facts, inverse], dim=1).t().tolist()}
    expected = torch.cat(contexts(model, left_out)[0], dim=1)
    for given in (facts, inverse, torch.cat([facts, inverse], dim=1)):
        # Facts that are not there, as those of another split, change nothing:
        given = torch.cat([given, torch.tensor([[0], [0], [0]])], dim=1)
        z = model.encode(left_out=given)["struct"]
        assert torch.allclose(z[:, 8:], expected, atol=1e-6)
    assert not torch.allclose(model.encode()["struct"][:, 8:], expected)
    # What a loss leaves out is what it trains on:
    seen = []
    model.encode, encode = lambda index, x: seen.append(x) or encode(index, x), model.encode
    model.loss(*facts, torch.zeros(5, 3, dtype=torch.long))
    assert torch.equal(seen[0], facts)


def test_entities_without_facts_are_their_own_context(build, refuses):
    model = build(GCOTE, 8)
    weight = model.node_emb.weight
    assert torch.equal(model.encode()["struct"], weight.repeat(1, 3))
    refuses(
        ("'struct' cannot be False", lambda: build(GCOTE, 8, struct=False)),
        ("'block_size' to be a divisor", lambda: build(GCOTE, 10)),
    )


def test_keeps_its_facts(fake, build, tmp_path):
    model = build(GCOTE, 8, loss=OneToN("ce", num_candidates=20))
    batch = next(iter(make_loader(model, fake, 16)))
    loss = model.loss(*batch)
    loss.backward()
    assert loss.isfinite() and model.node_emb.weight.grad.isfinite().all()
    save_pretrained(model, tmp_path)
    other = from_pretrained(tmp_path)
    assert torch.equal(other.facts, model.facts) and other.facts.size(1) > 0
    assert torch.equal(other.encode()["struct"], model.eval().encode()["struct"])
    # Some of the entities, as those that are new are, have none:
    index = torch.tensor([3, 5])
    expected = model.node_emb.weight[index].repeat(1, 3)
    assert torch.equal(model.part(index).encode()["struct"], expected)
