import copy

import pandas as pd
import pytest
import torch

from torch_imf import (
    Ensemble,
    Predictor,
    add_entities,
    build_model,
    evaluate,
    fit,
    fit_view_weights,
    from_pretrained,
    pretrained_encoders,
    pretrained_graph,
    save_pretrained,
)
from torch_imf.data import modalities
from torch_imf.datasets import Countries
from torch_imf.datasets.base import STATES
from torch_imf.io.atomic import replacing
from torch_imf.io.sealed import seal, unseal
from torch_imf.nn import (
    KGE,
    AdaMF,
    FeatureView,
    RuleView,
    StructuralEncoder,
    TypePrior,
    View,
)
from torch_imf.registry import class_names, classes, lookup

NAMES = ["first", "second", "third"]
FACTS = [("first", 0, 3), (7, 1, "second"), ("first", 2, "second"), ("second", 3, 3)]


@pytest.fixture
def entities(fake):
    """Three entities, the last of which has features alone, and the second one facts alone."""
    x_dict = modalities(fake)[0]
    rows = [
        {"name": name, **{f"x_{k}": x[i] for k, x in x_dict.items()}}
        for i, name in enumerate(NAMES)
    ]
    return [rows[0], {"name": NAMES[1]}, rows[2]]


def query(data):
    head = torch.arange(64) % data.num_nodes
    return head, torch.arange(64) % (2 * data.num_relations)


def check(model, data, entities, facts):
    """Adds entities twice, and returns the first outcome."""
    before, state = model.predict(*query(data)), copy.deepcopy(model.state_dict())
    edges, scores, graphs = data.edge_index.clone(), [before], []
    out, graph = model, data
    for i in (0, 1):
        rows = [{**row, "name": f"{row['name']}{' again' * i}"} for row in entities]
        names = [row["name"] for row in entities]
        own = [[f"{x} again" if i and x in names else x for x in fact] for fact in facts]
        out, graph = add_entities(out, graph, rows, own)
        graphs.append((out, graph))
        scores.append(out.predict(*query(data)))
    for score in scores[1:]:
        assert bool(score.isfinite().all())
        assert torch.equal(score[:, : data.num_nodes], before)
    assert torch.equal(scores[2][:, : scores[1].size(1)], scores[1])
    # What was given is as it was:
    assert torch.equal(model.predict(*query(data)), before) and torch.equal(data.edge_index, edges)
    assert all(torch.equal(x, state[k]) for k, x in model.state_dict().items())
    return graphs[0]


@pytest.mark.parametrize("name", class_names("model"))
def test_no_old_score_changes(fake, entities, name, tmp_path):
    torch.manual_seed(0)
    model = build_model(name, fake, hidden_channels=36)
    fit(model, fake, epochs=2, progress=False)
    known = model.features or name == "StructuralEncoder"
    rows = entities if known else entities[:2]
    out, data = check(model, fake, rows, FACTS)
    assert out.num_nodes == data.num_nodes == fake.num_nodes + len(rows)
    assert data.node_names[fake.num_nodes :] == NAMES[: len(rows)]
    assert int(data.train_mask.sum()) == int(fake.train_mask.sum()) + len(FACTS)
    assert 0 < evaluate(out, data)["mrr"] <= 1
    # Saved and loaded, it is the same, and takes others:
    save_pretrained(out, tmp_path, data)
    again, graph = from_pretrained(tmp_path), pretrained_graph(tmp_path)
    assert torch.equal(again.predict(*query(fake)), out.predict(*query(fake)))
    check(again, graph, [{**rows[0], "name": "fourth"}], [("fourth", 0, "first")])


@pytest.mark.parametrize("name", class_names("model"))
def test_asked_without_being_added(fake, entities, name):
    torch.manual_seed(0)
    model = build_model(name, fake, hidden_channels=36)
    fit(model, fake, epochs=1, progress=False)
    vote = Ensemble([model, *(view().fit(fake) for view in (TypePrior, RuleView, FeatureView))])
    for member in (model, vote) if model.features else (vote,):
        predictor = Predictor(member, fake)
        # Of one modality, then of all, so that nothing of the first is left:
        for row in ({k: entities[0][k] for k in list(entities[0])[:2]}, entities[2]):
            added = Predictor(*add_entities(member, fake, [row])).predict(row["name"], 1, k=50)
            asked = predictor.predict(row, 1, k=50)
            assert asked.fact == added.fact and {x.name for x in asked} == {x.name for x in added}
            score, lacks = ({x.name: (x.score, x.lacks) for x in y} for y in (asked, added))
            for key, (value, lack) in score.items():
                assert value == pytest.approx(lacks[key][0], abs=1e-4) and lack == lacks[key][1]
    with torch.no_grad():
        next(model.parameters()).add_(1)
    with pytest.raises(ValueError, match="has changed"):
        predictor.predict(entities[0], 1)


@pytest.mark.parametrize("name", dict.fromkeys(x.__name__ for x in classes("view").values()))
def test_views_keep_old_scores(fake, entities, name):
    torch.manual_seed(0)
    view = lookup("view", name)().fit(fake)
    model = Ensemble([KGE(fake.num_nodes, fake.num_relations, 8), view])
    out, data = check(model, fake, entities if name == "FeatureView" else entities[:2], FACTS)
    # As the tail of its own relation, or by its features, an entity has something of each view:
    new = data.num_nodes - len(entities) if name == "FeatureView" else data.num_nodes - 2
    rel = torch.arange(2 * data.num_relations)
    score = sum(out.members[1](torch.full_like(rel, new), rel).values())
    assert bool((score != 0).any())
    assert len(str(Predictor(out, data).explain("first", 0, 3))) > 0


def test_paths_lead_by_new_entities_to_new_ones_alone():
    # Of (x, 0, y) and (y, 1, z) follows (x, 2, z), in twenty cases.
    from torch_geometric.data import Data

    from torch_imf.nn import RuleView

    facts = [f for i in range(0, 60, 3) for f in ((i, 0, i + 1), (i + 1, 1, i + 2), (i, 2, i + 2))]
    facts += [(60, 0, 61), (62, 1, 63)]
    head, rel, tail = torch.tensor(facts).t()
    mask = torch.ones(len(rel), dtype=torch.bool)
    data = Data(num_nodes=64, num_relations=3, edge_index=torch.stack([head, tail]), edge_type=rel)
    data.train_mask, data.val_mask, data.test_mask = mask, ~mask, ~mask
    model = Ensemble([RuleView().fit(data)])
    new = [{"name": "mid"}, {"name": "end"}]
    facts = [(62, 0, "mid"), ("mid", 1, 63), (61, 1, "end"), ("mid", 1, "end")]
    out, _ = add_entities(model, data, new, facts)
    paths = out.members[0](torch.tensor([62, 60]), torch.tensor([2, 2]))["paths"]
    assert paths[0, 63] == 0 < paths[0, 65] and paths[1, 65] > 0


def test_facts_are_learned(fake):
    # Some entities are left out, and come back.
    torch.manual_seed(0)
    first = fake.num_nodes - 5
    inside = (fake.edge_index < first).all(dim=0)
    old = fake.clone()
    old.num_nodes = first
    old.edge_index = fake.edge_index[:, inside]
    for name in ("edge_type", "train_mask", "val_mask", "test_mask"):
        old[name] = fake[name][inside]
    for name in modalities(fake)[0]:
        old[f"x_{name}"], old[f"{name}_mask"] = (
            fake[f"x_{name}"][:first],
            fake[f"{name}_mask"][:first],
        )
    old.node_ids, old.node_names = fake.node_ids[:first], fake.node_names[:first]
    model = build_model("kge", old, hidden_channels=32, scorer="complex", loss="ce")
    fit(model, old, epochs=30, lr=0.02, progress=False)
    own = fake.train_mask & ~inside
    head, tail = fake.edge_index[:, own].tolist()
    ids = fake.node_ids
    facts = [
        (ids[h], r, ids[t])
        for h, r, t in zip(head, fake.edge_type[own].tolist(), tail, strict=True)
    ]
    new = pd.DataFrame({"id": ids[first:], "name": fake.node_names[first:], "text": [None] * 5})
    out, data = add_entities(model, old, new, facts)
    assert data.node_ids == fake.node_ids
    held_out = copy.copy(data)
    held_out.edge_index, held_out.edge_type = fake.edge_index, fake.edge_type
    held_out.train_mask, held_out.val_mask = fake.train_mask, fake.val_mask
    held_out.test_mask = own
    assert evaluate(out, held_out)["mrr"] > 0.2  # Chance is 0.04.


def test_bad_input(fake, entities, refuses):
    model = AdaMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    plain = KGE(fake.num_nodes, fake.num_relations, 8)
    known = fake.node_names[3]
    add = lambda *args, **kwargs: lambda: add_entities(model, fake, *args, **kwargs)  # noqa: E731
    text = {"name": "a", "x_text": torch.zeros(fake.x_text.size(1))}
    refuses(
        ("no entities to add", add([])),
        ("with a 'name'", add([{"text": "b"}])),
        (f"'{known}': the graph has", add([{**text, "name": known}])),
        ("'a': given twice", add([text, text])),
        ("'a' has \\['sound'\\]", add([{**text, "sound": 3}])),
        ("'x_text' of 'a' has 3 values", add([{"name": "a", "x_text": [1.0, 2.0, 3.0]}])),
        ("Nothing is known of 'b'", add([text, {"name": "b"}])),
        ("NaN or infinite", add([{**text, "x_text": text["x_text"] / 0}])),
        ("no encoder of 'text'", add([{"name": "a", "text": "b"}])),
        ("no entity 'nobody'", add([text], [("a", 0, "nobody")])),
        ("no relation 'unheard", add([text], [("a", "unheard of", known)])),
        ("out of range", add([text], [("a", 99, known)])),
        ("expected head, relation and tail", add([text], [("a", 0)])),
        ("not about a new entity", add([text], [(0, 0, 1)])),
        ("as the model has no modality", lambda: add_entities(plain, fake, [text])),
        ("a model of this package", lambda: add_entities(torch.nn.Linear(1, 1), fake, [text])),
    )

    with pytest.warns(UserWarning, match="has others of this name"):
        add([{**text, "id": "own", "name": known}])()

    class Popularity(View):
        scores = ("popular",)

        def fit_facts(self, *args):
            pass

    model = Ensemble([plain, Popularity().fit(fake)])
    refuses(("has no 'extend_facts'", add([text], [("a", 0, 1)])))


@pytest.fixture(scope="module")
def countries(tmp_path_factory):
    """A saved model of Countries, in another process as it were."""
    torch.manual_seed(0)
    dataset, folder = Countries(), tmp_path_factory.mktemp("model")
    model = AdaMF(725, 9, 16, *modalities(dataset[0]), scorer="distmult", loss="ce")
    fit(model, dataset[0], epochs=5, progress=False)
    vote = fit_view_weights(model, dataset[0], ["types", "features"])
    save_pretrained(vote, folder, dataset[0], encoders=dataset.encoders)
    return dataset, folder


def test_saved_encoders(countries, refuses):
    dataset, folder = countries
    data, encoders = dataset[0], pretrained_encoders(folder)
    texts, flags = dataset.texts()[:9], dataset.images()[:60]
    assert set(encoders) == {"text", "visual", "numeric"}
    assert torch.equal(encoders["text"].transform(texts)[0], data.x_text[:9])
    assert torch.equal(encoders["visual"].transform(flags)[0], data.x_visual[:60])
    x, mask = encoders["numeric"].transform(*dataset.literals(), 725)
    assert torch.equal(x, data.x_numeric) and torch.equal(mask, data.numeric_mask)


def test_encoders_of_an_earlier_version(refuses, tmp_path):
    arguments = {"text": None, "visual": None}
    (path,) = Countries(tmp_path, **arguments).processed_paths
    content = unseal(path)
    assert content.pop(STATES)
    with replacing(path) as file:
        seal(content, file)
    dataset = Countries(tmp_path, **arguments)
    data, model = dataset[0], AdaMF(725, 9, 8, *modalities(dataset[0]))
    with pytest.warns(
        UserWarning, match="'numeric' is not saved.*'force_reload=True'.*'processed'"
    ):
        save_pretrained(model, tmp_path / "model", data, encoders=dataset.encoders)
    new = [{"name": "Atlantis", "numbers": {"population": 5}}]
    for encoders in (dataset.encoders, pretrained_encoders(tmp_path / "model")):
        add = lambda x=encoders: add_entities(model, data, new, encoders=x)  # noqa: E731
        refuses(("'force_reload=True', or remove its folder 'processed', and train again", add))
    again = Countries(tmp_path, **arguments, force_reload=True)
    assert add_entities(model, data, new, encoders=again.encoders)[1].num_nodes == 726


def test_content(countries, refuses, tmp_path):
    dataset, folder = countries
    model, data = from_pretrained(folder), pretrained_graph(folder)
    encoders = pretrained_encoders(folder)
    i = data.node_names.index("France")
    twin = {"name": "Twin", "text": dataset.texts()[i], "image": dataset.images()[i]}
    twin["numbers"] = {"population": 68e6, "cheese": 1000}
    with pytest.warns(UserWarning, match="'cheese': left out, as the graph has no such numbers"):
        out, graph = add_entities(model, data, [twin], encoders=encoders)
    module = out.members[0].features["text"]
    assert torch.allclose(module()[-1], module()[i], atol=1e-6)
    predictor = Predictor(model, data, encoders=encoders)
    best = {x.name for x in predictor.predict(twin, "continent", k=3)}  # Which first, five epochs
    assert best == {"Africa", "Asia", "Europe"}  # do not tell: it depends on the machine.
    found, asked = (
        Predictor(out, graph).predict("Twin", "continent"),
        predictor.predict(twin, "continent"),
    )
    assert [x.name for x in found] == [x.name for x in asked]
    assert len(predictor.data.node_ids) == 725
    (tmp_path / "flag.png").write_bytes(b"no picture")
    bad = {"name": "Bad", "image": str(tmp_path / "flag.png")}
    add = lambda x: lambda: add_entities(model, data, [x], encoders=encoders)  # noqa: E731
    with pytest.warns(UserWarning, match="cannot be read"):
        refuses(("The image of 'Bad' cannot be read", add(bad)))
    refuses(
        ("neither a number nor a date", add({"name": "Bad", "numbers": {"population": "many"}})),
        ("need to be a dictionary", add({"name": "Bad", "numbers": 3})),
        ("'text' of 'Bad' needs to be a string", add({"name": "Bad", "text": 5})),
    )


def test_a_module_gives_structure(fake, entities):
    struct = StructuralEncoder(fake.num_nodes, fake.num_relations, 8).register_graph(fake)
    model = KGE(fake.num_nodes, fake.num_relations, 8, struct=struct)
    check(model, fake, entities[:2], FACTS)
