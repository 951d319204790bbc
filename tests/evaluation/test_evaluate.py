import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from operator import eq, gt

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn.kge import DistMult

from torch_imf import evaluate, fit, from_pretrained, save_pretrained
from torch_imf.data import TripletIndex, modalities
from torch_imf.data.graph import MASKS, split_facts
from torch_imf.evaluation import ranking
from torch_imf.evaluation.evaluate import rank_facts
from torch_imf.evaluation.ranking import metrics
from torch_imf.nn import IMF, KGE, AdaMF, TuckER
from torch_imf.transforms import AddInverse


class Table(torch.nn.Module):
    # A model whose scores are given, few and thus often tied.
    def __init__(self, data):
        super().__init__()
        self.num_nodes, self.num_relations = data.num_nodes, data.num_relations
        size = (data.num_nodes, 2 * data.num_relations, data.num_nodes)
        self.score = torch.randint(4, size).float()

    def predict(self, head_index, rel_type):
        return self.score[head_index, rel_type]


def random_graph(num_nodes=12, num_relations=3, num_edges=90):
    split = torch.randint(5, (num_edges,))
    return Data(
        edge_index=torch.randint(num_nodes, (2, num_edges)),
        edge_type=torch.randint(num_relations, (num_edges,)),
        num_nodes=num_nodes,
        num_relations=num_relations,
        train_mask=split > 1,
        val_mask=split == 1,
        test_mask=split == 0,
    )


def brute_force(predict, data, split="test", share=0.5):
    # One fact, one candidate at a time.
    data = AddInverse()(data)
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    facts, ranks = set(zip(head, rel, tail, strict=True)), {"tail": [], "head": []}
    for i in data[f"{split}_mask"].nonzero().view(-1).tolist():
        score = predict(torch.tensor([head[i]]), torch.tensor([rel[i]]))[0].tolist()
        others = [x for t, x in enumerate(score) if (head[i], rel[i], t) not in facts]
        better, equal = (sum(f(x, score[tail[i]]) for x in others) for f in (gt, eq))
        side = "tail" if rel[i] < data.num_relations else "head"
        ranks[side].append(1 + better + share * equal)
    return ranks


def check(out, ranks):
    for part, rank in ((out, sum(ranks.values(), [])), *((out[k], ranks[k]) for k in ranks)):
        rank = torch.tensor(rank, dtype=torch.double)
        assert part["mr"] == pytest.approx(float(rank.mean()))
        assert part["mrr"] == pytest.approx(float((1 / rank).mean()))
        for k in (1, 3, 10):
            assert part[f"hits@{k}"] == pytest.approx(float((rank <= k).double().mean()))


@pytest.mark.parametrize("tie, share", [("realistic", 0.5), ("optimistic", 0), ("pessimistic", 1)])
def test_evaluate_equals_brute_force_with_ties(tie, share):
    data = random_graph()
    model = Table(data)
    for split, chunk_size, batch_size in (("val", 100, 100), ("test", 5, 7), ("test", 1, 1)):
        out = evaluate(model, data, split, batch_size, chunk_size, tie)
        check(out, brute_force(model.predict, data, split, share))
    assert evaluate(model, AddInverse()(data), "test", tie=tie) == evaluate(model, data, tie=tie)


def test_streamed_scores_equal_brute_force(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake)).eval()
    with torch.no_grad():  # Entities that are equal in every view, so that scores tie.
        model.node_emb.weight[::2] = model.node_emb.weight[0]
    data = fake.clone()
    data.test_mask = data.test_mask & (data.test_mask.cumsum(0) <= 20)
    ranks = brute_force(model.predict, data)
    for chunk_size in (7, 1000):
        check(evaluate(model, data, "test", chunk_size=chunk_size), ranks)
    assert not model.training


def test_models_of_pyg():
    data = random_graph()
    model = DistMult(data.num_nodes, data.num_relations, 8)

    def predict(index, rel):
        index, other = index.expand(12), torch.arange(12)
        if rel < data.num_relations:
            return model(index, rel.expand(12), other)[None]
        return model(other, rel.expand(12) - data.num_relations, index)[None]

    with torch.no_grad():
        ranks = brute_force(predict, data)
    check(evaluate(model, data), ranks)
    assert model.training


@pytest.mark.parametrize("has_mask", [True, False])
def test_break_downs(fake, has_mask):
    # Where there is no mask, all entities have the modality.
    data = fake.clone()
    if not has_mask:
        del data.text_mask
    model = KGE(data.num_nodes, data.num_relations, 8).eval()
    out = evaluate(model, data, by=["relation", "seen", "text"])
    ranks = torch.tensor(list(brute_force(model.predict, data).values()))
    (head, tail), rel = data.edge_index[:, data.test_mask], data.edge_type[data.test_mask]
    both = fake.text_mask[head] & fake.text_mask[tail] | (not has_mask)
    groups = {"seen": {"yes": rel >= 0}, "text": {"yes": both, "no": ~both}}
    groups["relation"] = {data.rel_names[r]: rel == r for r in range(data.num_relations)}
    for name, by in groups.items():
        expected = {label: ranks[:, group] for label, group in by.items() if bool(group.any())}
        assert set(out[name]) == set(expected)
        for label, rank in expected.items():
            assert out[name][label]["mr"] == pytest.approx(float(rank.mean()))


def test_new_entities_and_those_of_few_facts():
    # A new entity 4 is asked for, and asked about; 0 and 1 have two training facts.
    data = random_graph(num_nodes=5, num_relations=1, num_edges=6)
    data.edge_index = torch.tensor([[0, 0, 1, 4, 0, 4], [1, 2, 3, 0, 3, 4]])
    data.edge_type = torch.zeros(6, dtype=torch.long)
    data.train_mask, data.test_mask = torch.arange(6) < 3, torch.arange(6) >= 3
    data.val_mask = torch.zeros(6, dtype=torch.bool)
    names = ["new", "query_facts", "answer_facts"]
    model = Table(data)
    out = evaluate(model, data, by=names)
    rank = rank_facts(model, data, "test")  # Of tails and heads.
    expected = {
        "new": {
            "neither": rank[:, 1],
            "query": rank[:1, 0],
            "answer": rank[1:, 0],
            "both": rank[:, 2],
        },
        "query_facts": {
            "0": torch.stack([rank[0, 0], rank[0, 2], rank[1, 2]]),
            "1": rank[1:, 1],
            "2-3": torch.stack([rank[1, 0], rank[0, 1]]),
        },
        "answer_facts": {
            "0": torch.stack([rank[1, 0], rank[0, 2], rank[1, 2]]),
            "1": rank[:1, 1],
            "2-3": torch.stack([rank[0, 0], rank[1, 1]]),
        },
    }
    for name in names:
        assert out[name] == {key: metrics(x) for key, x in expected[name].items()}


def test_relation_categories():
    # Relation 0 has one head and many tails, relation 1 the other way round.
    data = random_graph(num_nodes=4, num_relations=2, num_edges=6)
    data.edge_index = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
    data.edge_type, data.train_mask = torch.tensor([0, 0, 0, 1, 1, 1]), data.train_mask | True
    out = evaluate(Table(data), data, "train", by=["category", "relation"])
    assert out["category"] == {"1-N": out["relation"]["0"], "N-1": out["relation"]["1"]}


def test_errors(fake):
    model, empty = KGE(fake.num_nodes, fake.num_relations, 8), fake.clone()
    empty.test_mask = torch.zeros_like(empty.test_mask)
    broken = KGE(fake.num_nodes, fake.num_relations, 8)
    torch.nn.init.constant_(broken.node_emb.weight[3], torch.nan)
    for ranked, data, kwargs, match in (
        (model, fake, {"split": "valid"}, "Invalid 'split' argument"),
        (model, fake, {"tie": "random"}, "Invalid 'tie' argument"),
        (model, fake, {"by": ["smell"]}, "Invalid 'by' argument .*'category'"),
        (model, fake, {"view": "text"}, "Invalid 'view' argument .*'struct'"),
        (model, fake, {"batch_size": 0}, "'batch_size' needs to be positive"),
        (model, fake, {"by": 5}, "'by' needs to be of type"),
        (model, fake, {"split": fake.test_mask}, "'split' needs to be of type str"),
        (torch.nn.Linear(3, 3), fake, {}, "needs 'predict.head.*got a 'Linear'"),
        (KGE(5, fake.num_relations, 8), fake, {}, "expects 5 entities"),
        (model, empty, {}, "The 'test' split holds no facts"),
        (broken, fake, {}, "NaN or infinite scores"),
        (torch.nn.Identity(), fake, {}, "A model needs 'predict.*got a 'Identity'"),
    ):
        with pytest.raises(ValueError, match=match):
            evaluate(ranked, data, **kwargs)
    assert broken.training


@pytest.mark.parametrize("kept", [False, True])
def test_facts_that_a_model_was_selected_by(fake, tmp_path, kept):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    if kept:
        save_pretrained(model, tmp_path, fake)
        model = from_pretrained(tmp_path)
    row = torch.randperm(fake.num_edges)
    other = fake.clone()  # The same facts in another order.
    for name in ("edge_index", "edge_type", *MASKS):
        other[name] = fake[name][..., row]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(model, fake)
        evaluate(model, other)
    other.val_mask, other.test_mask = other.test_mask, other.val_mask
    with pytest.warns(UserWarning, match="^The validation facts of this graph are not those"):
        evaluate(model, other)
    train = fake.clone()
    moved = fake.train_mask & (fake.edge_index[0] < 20)
    train.train_mask, train.test_mask = fake.train_mask & ~moved, fake.test_mask | moved
    with pytest.warns(UserWarning, match="^The training facts of this graph are not those"):
        evaluate(model, train)


class Slow(torch.nn.Dropout):
    def forward(self, x):
        time.sleep(1e-4)  # Lets other threads come in between.
        return super().forward(x)


def test_threads(fake):
    # Whatever the mode of the model, and whoever else scores with it.
    model = KGE(fake.num_nodes, fake.num_relations, 8, scorer=TuckER(8, 4))
    model.scorers["struct"].input_dropout = Slow(0.5)
    facts = split_facts(fake, "test")

    def ask(i):
        if i % 3 == 0:
            return evaluate(model, fake, batch_size=64)["mr"]
        if i % 3 == 1:
            return model.test(*facts, batch_size=64, log=False)[0]
        return float(model.predict(facts[0], facts[1]).sum())

    right = [ask(i) for i in range(3)]
    model.eval()
    assert [ask(i) for i in range(3)] == right
    model.train()
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(24))) == right * 8
    assert all(module.training for module in model.modules())


def test_compiled_models(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    assert evaluate(torch.compile(model), fake) == evaluate(model, fake)


def test_given_candidates():
    data = random_graph()
    model = KGE(data.num_nodes, data.num_relations, 4, scorer="distmult")
    split = split_facts(data, "test")
    num_facts = int(data.test_mask.sum())
    others = {x: torch.randint(-1, data.num_nodes, (num_facts, 5)) for x in ("tail", "head")}
    out = evaluate(model, data, negatives=others, by="relation", batch_size=2)
    score, rank = model.predict(*split[:2]), []
    for i, neg in enumerate(torch.cat([others["tail"], others["head"]]).tolist()):
        own = score[i, split[2][i]].item()
        kept = [score[i, x].item() for x in neg if x >= 0]
        rank.append(1 + sum(x > own for x in kept) + sum(x == own for x in kept) / 2)
    expected = metrics(torch.tensor(rank), prefix="sampled_")
    assert {name: out[name] for name in expected} == pytest.approx(expected)
    assert set(out) == {*expected, "head", "tail", "relation"}
    assert set(out["tail"]) == set(expected)
    assert out["tail"]["sampled_mr"] == pytest.approx(sum(rank[:num_facts]) / num_facts)
    # With all that are not known, it is the rank among all entities:
    known = TripletIndex.from_data(data)
    every = torch.arange(data.num_nodes).expand(2 * num_facts, -1)
    is_known = known.contains(split[0][:, None], split[1][:, None], every)
    tail, head = every.masked_fill(is_known, -1).split(num_facts)
    out = evaluate(model, data, negatives={"head": head, "tail": tail})
    assert out["sampled_mrr"] == pytest.approx(evaluate(model, data)["mrr"])
    for bad in ({"tail": tail}, {"tail": tail, "head": head[1:]}):
        with pytest.raises(ValueError, match=f"each of the {num_facts} facts of 'test'"):
            evaluate(model, data, negatives=bad)
    with pytest.raises(ValueError, match=r"negatives\['tail'\]' holds ids outside"):
        evaluate(model, data, negatives={"tail": tail + 99, "head": head})


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_entities_are_encoded_in_chunks(fake, cls, monkeypatch):
    model = cls(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    fit(model, fake, epochs=1, progress=False)  # Some entities have no training fact.
    expected = evaluate(model, fake)
    monkeypatch.setattr(ranking, "CHUNK", 7)
    assert evaluate(model, fake)["mr"] == pytest.approx(expected["mr"], rel=1e-3)
