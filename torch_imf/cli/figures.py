import os.path as osp
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from torch_imf.cli.output import Output, say
from torch_imf.cli.saved import Saved, test_fact

if TYPE_CHECKING:
    from torch_geometric.data import Data

Name = Literal["decision", "explanation", "weights", "categories", "contextual", "history"]
NAMES: tuple[str, ...] = get_args(Name)


def figures(
    saved: Saved,
    *,
    only: Annotated[Sequence[Name] | None, "which to draw (default: all):"] = None,
    head: Annotated[str | None, "of the fact to explain (default: that of a test fact)"] = None,
    relation: Annotated[str | None, "of the fact to explain"] = None,
    tail: Annotated[str | None, "of the fact to explain"] = None,
    relations: Annotated[
        list[str] | None,
        "relations to weigh modalities and to transform heads of (default: the most frequent, and "
        "those with tails that most heads share)",
    ] = None,
    k: Annotated[int, "answers to the query"] = 10,
    out: Annotated[str, "the folder"] = "figures",
    format: Annotated[Literal["png", "pdf", "svg"], "the format:"] = "png",
) -> Output:
    r"""Draws what a trained model answers, why, and how it got there.

    That is the part of each view in the answers to a query (decision), the ranks of a fact by view
    and without each modality (explanation), what modalities weigh under each relation (weights),
    test ranks by relation category (categories), entities before and after the contextual
    transformation (contextual), and training (history).

    Examples:
      torch-imf figures runs/first --head Argentina --relation borders --tail Paraguay
      torch-imf figures runs/first --only weights --relations borders continent --format pdf
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures require 'matplotlib', run 'pip install \"torch_imf[plot]\"'"
        ) from error
    plt.switch_backend("agg")

    from torch_imf import visualize
    from torch_imf.io.atomic import replacing

    given: Any = (head, relation, tail)
    if any(given) and not all(given):
        raise ValueError("a fact needs '--head', '--relation' and '--tail'")
    predictor = saved.predictor()
    model, data = predictor.model, predictor.data
    fact: Callable[[], Any] = lambda: given if all(given) else test_fact(data)  # noqa: E731
    asking: Any = {"k": k, "calibration": predictor.calibration}
    draw: dict[str, Callable[[], Any]] = {
        "decision": lambda: visualize.plot_decision(model, data, *fact()[:2], **asking),
        "explanation": lambda: visualize.plot_explanation(predictor.explain(*fact())),
        "weights": lambda: visualize.plot_relation_weights(model, data, relations),
        "categories": lambda: visualize.plot_categories(model, data),
        "contextual": lambda: visualize.plot_contextual(model, data, relations or shared(data)),
        "history": lambda: visualize.plot_history(saved.history(), metrics=metrics(saved.training)),
    }
    asked = {*(only or ()), *(("decision", "explanation") if all(given) else ())}
    asked |= {"weights", "contextual"} if relations else set()
    paths, left_out = {}, {}
    for name in only or NAMES:
        try:
            figure = draw[name]()
        except ValueError as error:
            if name in asked:
                raise
            left_out[name] = str(error)  # Not every model has all of them.
            say(f"No figure '{name}': {error}")
            continue
        paths[name] = osp.join(out, f"{name}.{format}")
        with replacing(paths[name]) as file:
            figure.savefig(file, format=format)
        plt.close(figure)
    return Output("\n".join(paths.values()), {"figures": paths, "left_out": left_out})


def shared(data: "Data") -> list[int]:
    r"""Returns the two relations of which most heads share a tail."""
    import torch

    num_relations = int(data.num_relations)
    pairs = torch.stack([data.edge_type, data.edge_index[1]]).unique(dim=1)[0]
    counts = torch.bincount(data.edge_type, minlength=num_relations)
    share = counts / torch.bincount(pairs, minlength=num_relations).clamp(min=1)
    return share.topk(min(2, share.numel())).indices.tolist()


def metrics(training: Any) -> list[str]:
    r"""Returns the metrics to draw of a training, first the one by which its epoch was selected."""
    settings = training.get("settings")
    metric = settings.get("metric", "mrr") if isinstance(settings, dict) else "mrr"
    # Ranks have a scale of their own:
    return ["mr"] if metric == "mr" else list(dict.fromkeys([metric, "mrr", "hits@10"]))
