import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn.kge import DistMult

from torch_imf import evaluate
from torch_imf.data import modalities
from torch_imf.nn import IMF, KGE
from torch_imf.transforms import AddInverse


class Table(torch.nn.Module):
    # A model whose scores are given, few and thus often tied.
    def __init__(self, data, values=4):
        super().__init__()
        self.num_nodes, self.num_relations = data.num_nodes, data.num_relations
        size = (data.num_nodes, 2 * data.num_relations, data.num_nodes)
        self.score = torch.randint(values, size).float()

    def predict(self, head_index, rel_type):
        return self.score[head_index, rel_type]


def random_graph(num_nodes=12, num_relations=3, num_edges=90):
    split, edge_index = torch.rand(num_edges), torch.randint(num_nodes, (2, num_edges))
    return Data(
        edge_index=edge_index,
        edge_type=torch.randint(num_relations, (num_edges,)),
        train_mask=split < 0.6,
        val_mask=(split >= 0.6) & (split < 0.8),
        test_mask=split >= 0.8,
        num_nodes=num_nodes,
        num_relations=num_relations,
    )


def brute_force(predict, data, split, share):
    # One fact, one candidate at a time.
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    facts = set(zip(head, rel, tail, strict=True))
    ranks = {"head": [], "tail": []}
    facts |= {(t, r + data.num_relations, h) for h, r, t in facts}
    for i in data[f"{split}_mask"].nonzero().view(-1).tolist():
        inverse = tail[i], rel[i] + data.num_relations, head[i]
        for side, (h, r, t) in (("tail", (head[i], rel[i], tail[i])), ("head", inverse)):
            score = predict(torch.tensor([h]), torch.tensor([r]))[0].tolist()
            others = [score[x] for x in range(data.num_nodes) if (h, r, x) not in facts]
            rank = 1 + sum(x > score[t] for x in others)
            ranks[side].append(rank + share * sum(x == score[t] for x in others))
    return ranks


@pytest.mark.parametrize("chunk_size, batch_size", [(100, 100), (5, 7), (1, 1)])
@pytest.mark.parametrize("tie", ["realistic", "optimistic", "pessimistic"])
def test_evaluate_equals_brute_force_with_ties(tie, chunk_size, batch_size):
    data = random_graph()
    model = Table(data)
    share = {"optimistic": 0, "realistic": 0.5, "pessimistic": 1}[tie]
    for split in ("val", "test"):
        out = evaluate(model, data, split, batch_size, chunk_size, tie)
        ranks = brute_force(model.predict, data, split, share)
        for part, rank in ((out, sum(ranks.values(), [])), *((out[k], ranks[k]) for k in ranks)):
            rank = torch.tensor(rank, dtype=torch.double)
            assert part["mr"] == pytest.approx(float(rank.mean()))
            assert part["mrr"] == pytest.approx(float((1 / rank).mean()))
            for k in (1, 3, 10):
                assert part[f"hits@{k}"] == pytest.approx(float((rank <= k).double().mean()))
    assert evaluate(model, AddInverse()(data), "test", tie=tie) == evaluate(model, data, tie=tie)


def test_streamed_scores_equal_brute_force(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake)).eval()
    with torch.no_grad():  # Entities that are equal in every view, so that scores tie.
        model.node_emb.weight[::2] = model.node_emb.weight[0]
    data = fake.clone()
    data.test_mask = data.test_mask & (data.test_mask.cumsum(0) <= 20)
    ranks = brute_force(model.predict, data, "test", 0.5)
    for chunk_size in (7, 1000):
        out = evaluate(model, data, "test", chunk_size=chunk_size)
        for side, rank in ranks.items():
            assert out[side]["mr"] == pytest.approx(sum(rank) / len(rank))
    assert not model.training


def test_constant_scores_are_chance():
    data = random_graph(num_nodes=40)
    out = evaluate(Table(data, values=1), data)
    assert out["mr"] > 15 and out["mrr"] < 0.1 and out["hits@1"] == 0


def test_models_of_pyg():
    data = random_graph()
    model = DistMult(data.num_nodes, data.num_relations, 8)

    def predict(index, rel):
        index, other = index.expand(12), torch.arange(12)
        if rel < data.num_relations:
            return model(index, rel.expand(12), other)[None]
        return model(other, rel.expand(12) - data.num_relations, index)[None]

    with torch.no_grad():
        ranks = brute_force(predict, data, "test", 0.5)
    out = evaluate(model, data)
    for side, rank in ranks.items():
        assert out[side]["mr"] == pytest.approx(sum(rank) / len(rank))
    assert model.training


@pytest.mark.parametrize("has_mask", [True, False])
def test_break_downs(fake, has_mask):
    # Where there is no mask, all entities have the modality.
    fake = fake.clone()
    has = fake.text_mask if has_mask else torch.ones(fake.num_nodes, dtype=torch.bool)
    if not has_mask:
        del fake.text_mask
    model = KGE(fake.num_nodes, fake.num_relations, 8).eval()
    out = evaluate(model, fake, by=["relation", "category", "seen", "text"])
    count = torch.bincount(fake.edge_type[fake.test_mask], minlength=fake.num_relations).tolist()
    count = {r: n for r, n in zip(fake.rel_names, count, strict=True) if n > 0}
    assert set(out["relation"]) == set(count)
    mean = sum(out["relation"][r]["mrr"] * n for r, n in count.items())
    assert out["mrr"] == pytest.approx(mean / sum(count.values()))
    ranks = brute_force(model.predict, fake, "test", 0.5)
    both = has[fake.edge_index[:, fake.test_mask]].all(dim=0)
    for label, pick in (("yes", both.tolist()), ("no", (~both).tolist())):
        rank = [x for side in ranks.values() for x, keep in zip(side, pick, strict=True) if keep]
        assert (label in out["text"]) == (len(rank) > 0)
        if rank:
            assert out["text"][label]["mr"] == pytest.approx(sum(rank) / len(rank))
    assert out["seen"]["yes"]["mr"] == out["mr"]  # Of all entities, here.


def test_relation_categories():
    # Relation 0 has one head and many tails, relation 1 the other way round.
    data = random_graph(num_nodes=4, num_relations=2, num_edges=6)
    data.edge_index = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
    data.edge_type, data.train_mask = torch.tensor([0, 0, 0, 1, 1, 1]), data.train_mask | True
    out = evaluate(Table(data), data, "train", by=["category", "relation"])
    assert set(out["category"]) == {"1-N", "N-1"}
    assert out["category"]["1-N"] == out["relation"]["0"]


def test_errors(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    for kwargs, match in (
        ({"split": "valid"}, "Invalid 'split' argument"),
        ({"tie": "random"}, "Invalid 'tie' argument"),
        ({"by": ["smell"]}, "Invalid 'by' argument .*'category'"),
        ({"view": "text"}, "Invalid 'view' argument .*'struct'"),
        ({"batch_size": 0}, "need to be positive"),
    ):
        with pytest.raises(ValueError, match=match):
            evaluate(model, fake, **kwargs)
    with pytest.raises(ValueError, match="expects 5 entities"):
        evaluate(KGE(5, fake.num_relations, 8), fake)
    empty = fake.clone()
    empty.test_mask = torch.zeros_like(empty.test_mask)
    with pytest.raises(ValueError, match="The 'test' split holds no facts"):
        evaluate(model, empty)
    with torch.no_grad():
        model.node_emb.weight[3] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite scores"):
        evaluate(model, fake)
    assert model.training
