import pytest
import torch

from torch_imf import build_model, fit
from torch_imf.nn import (
    IMF,
    KGE,
    AdaMF,
    ContextualRelationalScorer,
    ConvE,
    IMFFusion,
    MutanFusion,
    SampledLoss,
    TransE,
)
from torch_imf.registry import class_names


@pytest.mark.parametrize("name", class_names("model"))
def test_every_model(fake, name):
    model = build_model(name.lower(), fake, hidden_channels=8)
    assert type(model).__name__ == name
    fit(model, fake, epochs=1, batch_size=512, progress=False)


def test_parts_have_the_sizes_of_the_model(fake):
    model = build_model("imf", fake, hidden_channels=8, rel_channels=4, **{"scorer.dropout": 0.5})
    assert isinstance(model, IMF) and model.hidden_channels == 8
    part = model.scorers["fused"]
    assert isinstance(part, ContextualRelationalScorer)
    assert (part.channels, part.rel_channels, part.dropout) == (8, 4, 0.5)

    settings = {"fusion": "imf", "fusion.latent_channels": 3, "struct": False}
    model = build_model("adamf", fake, hidden_channels=8, scorer="transe", **settings)
    assert isinstance(model, AdaMF) and isinstance(model.scorers["fused"], TransE)
    assert isinstance(model.fusion, IMFFusion) and model.fusion.latent_channels == 3
    assert set(model.fusion.in_channels) == {"visual", "text", "numeric"}
    model = build_model("imf", fake, hidden_channels=8, fusion="mutan", **{"fusion.rank": 3})
    assert isinstance(model.fusion, MutanFusion) and model.fusion.rank == 3
    assert set(model.fusion.in_channels) == {"struct", "visual", "text", "numeric"}


@pytest.mark.parametrize("name", class_names("scorer"))
def test_every_scorer(fake, name):
    model = build_model("kge", fake, hidden_channels=36, scorer=name)
    assert type(model.scorers["struct"]).__name__ == name
    with pytest.raises(ValueError, match="'scorer.what' where 'scorer' is"):
        build_model("kge", fake, hidden_channels=36, scorer=name, **{"scorer.what": 1})


def test_a_dotted_setting_changes_nothing_else(fake):
    torch.manual_seed(1)
    plain = build_model("imf", fake, hidden_channels=8)
    torch.manual_seed(1)
    dotted = build_model("imf", fake, hidden_channels=8, **{"scorer.dropout": 0.0})
    torch.manual_seed(1)
    by_hand = IMF(fake.num_nodes, fake.num_relations, 8, *torch_features(fake))
    for model in (dotted, by_hand):
        assert model.state_dict().keys() == plain.state_dict().keys()
        for key, value in plain.state_dict().items():
            assert torch.equal(value, model.state_dict()[key])


def torch_features(data):
    names = ("numeric", "text", "visual")
    return {x: data[f"x_{x}"] for x in names}, {x: data[f"{x}_mask"] for x in names}


@pytest.mark.parametrize("sampler", ["bernoulli", "shared", "uniform"])
def test_sampled_loss_and_adversary(fake, sampler):
    settings = {"loss": "sampled", "loss.sampler": sampler, "loss.num_negatives": 4}
    model = build_model("adamf", fake, hidden_channels=8, **settings, **{"adversary.weight": 0.5})
    assert isinstance(model.loss_fn, SampledLoss)
    assert (model.loss_fn.sampler, model.loss_fn.num_negatives) == (sampler, 4)
    assert model.adversary.weight == 0.5
    fit(model, fake, epochs=1, batch_size=512, progress=False)

    assert build_model("imf", fake, hidden_channels=8, loss="Sampled").loss_fn.num_negatives == 64
    # The default loss of AdaMF is of that class:
    model = build_model("adamf", fake, hidden_channels=8, **{"loss.num_negatives": 4})
    assert model.loss_fn.num_negatives == 4 and model.adversary is None
    assert build_model("adamf", fake, hidden_channels=8, adversary=True).adversary.weight == 0.1
    for nothing in (False, None):
        model = build_model("adamf", fake, hidden_channels=8, adversary=nothing, loss=None)
        assert model.adversary is None and isinstance(model.loss_fn, SampledLoss)


def test_objects_are_taken_as_they_are(fake):
    part = ConvE(36)
    model = build_model(KGE, fake, hidden_channels=36, scorer=part)
    assert model.scorers["struct"] is part
    struct = torch.randn(fake.num_nodes, 8)
    model = build_model("imf", fake, hidden_channels=8, struct=struct)
    assert torch.equal(model.node_emb.weight, struct)

    class Mine(KGE):
        pass

    assert isinstance(build_model(Mine, fake, hidden_channels=8), Mine)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "IMF needs a value for 'hidden_channels'"),
        (
            {"hidden_chanels": 8},
            r"no setting 'hidden_chanels'. Did you mean 'hidden_channels'\?",
        ),
        ({"num_nodes": 8}, "no setting 'num_nodes'"),
        ({"scorer.channels": 8}, "no setting 'scorer.channels' where 'scorer' is 'contextual'"),
        ({"scorer": "conve", "scorer.dropout": 0.1}, r"where 'scorer' is 'conve'.*scorer.height"),
        ({"scorer": TransE(8), "scorer.margin": 1.0}, r"'scorer.margin' where 'scorer' is TransE"),
        ({"loss.sampler": "shared"}, "no setting 'loss.sampler' where 'loss' is 'bce'"),
        ({"adversary.weight": 1.0}, "no setting 'adversary.weight'"),
        (
            {"hidden_channels": 8, "loss": "sampled", "loss.sampler": "kbgan"},
            r"choose of \['bernoulli', 'shared', 'uni",
        ),
        ({"hidden_channels": "8"}, "'hidden_channels' needs to be of type int .got '8'"),
        ({"hidden_channels": None}, "'hidden_channels' needs to be of type int .got None"),
        ({"hidden_channels": True}, "'hidden_channels' needs to be of type int .got True"),
        ({"hidden_channels": 8, "scorer.dropout": "a"}, "'scorer.dropout' needs to be of type flo"),
        ({"hidden_channels": 8, "views": "fused"}, "'views' needs to be of type list .got 'fused'"),
        ({"hidden_channels": 8, "scorer.similarity": "no"}, "choose 'cosine' or 'dot'"),
    ],
)
def test_bad_settings(fake, settings, message):
    with pytest.raises(ValueError, match=message):
        build_model("imf", fake, **settings)


def test_bad_graph(fake):
    data = fake.clone()
    del data.num_relations
    with pytest.raises(ValueError, match=r"The graph lacks \['num_relations'\]"):
        build_model("imf", data, hidden_channels=8)
