import dataclasses

import pytest
import torch
from torch_geometric.data import Data

from torch_imf import KGE, Predictor, calibrate, fit
from torch_imf.answers.gaps import SHRINKAGE, Gaps
from torch_imf.data import TripletIndex


@pytest.fixture(scope="module")
def works() -> Data:
    r"""A graph in which each of 240 books has one author, one of 12, and two of four subjects,
    which its author tells.
    """
    book = torch.arange(240)
    author, subject = 240 + book % 12, 252 + book % 4
    edges = [(book, author, 0), (book, subject, 1), (book, 252 + (book + 1) % 4, 1)]
    data = Data(num_nodes=256, num_relations=2, rel_names=["written_by", "about"])
    data.edge_index = torch.cat([torch.stack([h, t]) for h, t, _ in edges], dim=1)
    data.edge_type = torch.cat([torch.full_like(h, r) for h, _, r in edges])
    data.node_names = [f"book {i}" for i in range(240)] + [f"person {i}" for i in range(16)]
    part = torch.rand(720, generator=torch.Generator().manual_seed(0))
    data.train_mask, data.test_mask = part < 0.7, part >= 0.85
    data.val_mask = ~(data.train_mask | data.test_mask)
    return data


@pytest.fixture(scope="module")
def model(works):
    torch.manual_seed(0)
    model = KGE(256, 2, 16, scorer="distmult", loss="ce")
    fit(model, works, epochs=12, batch_size=64, lr=0.02, eval_every=12)
    return model


def test_gaps(fake):
    # By sets: how many queries of each kind have a new answer in validation?
    train = TripletIndex.from_data(fake, fake.train_mask)
    predictor = Predictor(KGE(fake.num_nodes, fake.num_relations, 4), fake)
    gaps = Gaps(fake, predictor.domains, train)

    def answers(mask):
        out: dict = {}
        facts = zip(*fake.edge_index[:, mask].tolist(), fake.edge_type[mask].tolist(), strict=True)
        for h, t, r in facts:
            out.setdefault((h, r), set()).add(t)
            out.setdefault((t, r + fake.num_relations), set()).add(h)
        return out

    known, held = answers(fake.train_mask), answers(fake.val_mask)
    fits = [set(x.tolist()) for x in predictor.domains]
    hits, size = torch.zeros(2, 2 * fake.num_relations, 4)
    kind = {}
    for r in range(2 * fake.num_relations):
        for h in range(fake.num_nodes):
            count = len(known.get((h, r), ()))
            kind[h, r] = 1 + min(count, 2) if count else int(h in fits[r])
            size[r, kind[h, r]] += 1
            hits[r, kind[h, r]] += bool(held.get((h, r), set()) - known.get((h, r), set()))
    mean = (hits.sum(0) + 0.5) / (size.sum(0) + 1)
    share = (hits + SHRINKAGE * mean) / (size + SHRINKAGE)
    share /= 1 - share * fake.test_mask.sum() / fake.val_mask.sum()
    for (h, r), k in kind.items():
        found = float(gaps(torch.tensor(h), torch.tensor(r)).exp())
        assert found == pytest.approx(min(1.0, float(share[r, k])), rel=1e-4)


def test_a_book_has_one_author(works, model):
    # All authors are known, and nobody gets a second one, though each would be sure if one missed:
    calibration = calibrate(model, works)
    facts = Predictor(model, works, calibration).complete(12, "written_by")
    assert max(x.probability for x in facts) < 0.1 < 0.5 < min(x.conditional for x in facts)
    # An answer that the graph holds has the chance that it had if it were not there:
    known = Predictor(model, works, calibration).predict("book 3", "written_by", k=2)
    assert [x.known for x in known] == [True, False]
    assert known[0].probability > 0.5 > 0.1 > known[1].probability
    without = works.edge_subgraph(~((works.edge_index[0] == 3) & (works.edge_type == 0)))
    asked = Predictor(model, without, calibration).predict("book 3", "written_by", k=2)
    assert asked[0].probability == pytest.approx(known[0].probability, abs=0.1)


def test_chances_of_hidden_facts(works, model):
    # If test facts are not known, they are what is found, and as often as is said:
    predictor = Predictor(model, works, calibrate(model, works))
    predictor.known = TripletIndex.from_data(works, ~works.test_mask)
    facts = predictor.complete(60)
    hidden = TripletIndex.from_data(works, works.test_mask)
    index = torch.tensor([[x.head_index, x.rel_type, x.tail_index] for x in facts]).t()
    share = float(hidden.contains(*index).double().mean())
    assert share > 0.5
    assert sum(x.probability for x in facts) / 60 == pytest.approx(share, abs=0.12)


def test_without_chance(works, model):
    # A calibration of scores alone says the same twice, and needs no validation facts:
    calibration = dataclasses.replace(calibrate(model, works), chance=None)
    data = works.clone()
    data.val_mask = torch.zeros_like(data.val_mask)
    facts = Predictor(model, data, calibration).complete(5)
    assert all(x.probability == x.conditional for x in facts)
