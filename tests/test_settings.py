import pytest

from torch_imf import describe_settings
from torch_imf.nn import IMF, TransE
from torch_imf.registry import class_names


def test_describe_settings():
    settings = describe_settings("imf")
    assert not {"num_nodes", "x_dict", "struct", "rel_emb", "scorer.channels"} & set(settings)
    parameter, text, choices = settings["scorer.dropout"]
    assert (parameter.name, parameter.annotation, parameter.default) == ("dropout", float, 0.0)
    assert text == "Dropout probability of the head and of the contextual embedding."
    assert choices == ()
    assert settings["hidden_channels"].parameter.default is settings["scorer"].parameter.empty
    assert settings["scorer"].parameter.annotation is str
    assert {"contextual", "conve"} <= set(settings["scorer"].choices)
    assert settings["fusion"].choices == ("adamf", "imf", "mutan")
    assert settings["loss"].choices == ("bce", "ce", "sampled")
    assert settings["rel_channels"].parameter.annotation == int | None
    assert describe_settings(IMF) == settings


def test_settings_of_parts_follow_the_choice():
    assert "scorer.num_filters" in describe_settings("imf", {"scorer": "conve"})
    assert "scorer.dropout" not in describe_settings("imf", {"scorer": "conve"})
    assert "loss.sampler" not in describe_settings("imf")
    sampled = describe_settings("imf", {"loss": "sampled"})
    assert sampled["loss.sampler"].choices == ("bernoulli", "shared", "uniform")

    # What is an object by default has the name of its class, and an adversary is there or not:
    settings = describe_settings("adamf")
    assert settings["loss"].parameter.default == "sampled" and "loss.sampler" in settings
    assert settings["adversary"].parameter.default is False and "adversary.weight" in settings
    assert "adversary.weight" not in describe_settings("adamf", {"adversary": False})
    # An object has its settings already:
    given = describe_settings("kge", {"scorer": TransE(4)})
    assert not any(name.startswith("scorer.") for name in given)


@pytest.mark.parametrize("name", class_names("model"))
def test_all_settings_have_help(name):
    for setting in describe_settings(name).values():
        assert setting.help
    assert describe_settings(name) == describe_settings(name.lower())


def test_no_such_model_or_part():
    with pytest.raises(ValueError, match=r"no model 'imff', expected one of \['adamf', .*'imf'"):
        describe_settings("imff")
    with pytest.raises(ValueError, match="no model '<class 'int'>'"):
        describe_settings(int)
    with pytest.raises(ValueError, match=r"Invalid 'scorer' \(got 'convex', choose of \['complex'"):
        describe_settings("imf", {"scorer": "convex"})
    with pytest.raises(ValueError, match=r"Invalid 'loss' \(got 'mse', choose of \['bce', 'ce',"):
        describe_settings("imf", {"loss": "mse"})
