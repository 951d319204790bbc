import inspect
import math
from typing import Any

from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.data.graph import check_graph
from torch_imf.nn.losses import Sampled as SampledLoss
from torch_imf.nn.models import IMF, MultimodalKGE
from torch_imf.nn.scorer import ContextualRelationalScorer
from torch_imf.settings import FACTS, check_settings, model_class, model_parts


def build_model(model: str | type[MultimodalKGE], data: Data, /, **settings: Any) -> MultimodalKGE:
    r"""Builds a model for a graph from flat settings: arguments of its
    constructor, among which parts go by name, and arguments of these parts,
    with a dot:

    .. code-block:: python

        build_model("imf", data, hidden_channels=64, **{"scorer.dropout": 0.5})
        build_model(
            "adamf", data, hidden_channels=64, scorer="rotate", loss="sampled",
            **{"loss.sampler": "shared", "adversary.weight": 0.01},
        )

    A part that is not named is the one that the model has by default; there is
    an adversary if :obj:`adversary=True` or one of its arguments is given.
    Sizes, features and masks are those of the graph.

    Args:
        model (str or type): The name of a model, *e.g.*, :obj:`"imf"`, or its
            class.
        data (Data): The graph.
        **settings: The settings (:meth:`describe_settings` lists them).

    Raises:
        ValueError: If there is no such model, setting or part, or the model
            refuses a value.
    """
    cls = model_class(model)
    make: Any = cls
    check_settings(cls, settings)
    check_graph(data)
    x_dict, mask_dict = modalities(data)
    given = (int(data.num_nodes), int(data.num_relations), x_dict, mask_dict)
    parameters = inspect.signature(cls).parameters
    facts = {name: x for name, x in zip(FACTS, given, strict=True) if name in parameters}
    sizes = {"channels": settings["hidden_channels"], "rel_channels": settings.get("rel_channels")}
    has_struct = settings.get("struct", True) is not False
    names = [*(["struct"] if has_struct else []), *x_dict]
    sizes["in_channels"] = dict.fromkeys(names, settings["hidden_channels"])
    sizes["out_channels"] = settings["hidden_channels"]

    arguments = {name: value for name, value in settings.items() if "." not in name}
    for name, part in model_parts(cls, settings).items():
        value = settings.get(name)
        own = {k.split(".", 1)[1]: x for k, x in settings.items() if k.startswith(f"{name}.")}
        is_named = value is True or (part is SampledLoss and value is not None)
        if part is None or not (own or is_named):
            continue  # The model has it by default, or knows it by its name.
        if part is ContextualRelationalScorer and issubclass(cls, IMF):
            # As IMF starts the one that it makes itself:
            own.setdefault("logit_bias", -math.log(max(int(data.num_nodes), 2)))
        taken = inspect.signature(part).parameters
        arguments[name] = part(**{k: x for k, x in sizes.items() if k in taken}, **own)
    if arguments.get("adversary") is False:
        arguments["adversary"] = None
    return make(**facts, **arguments)
