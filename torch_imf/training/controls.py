import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.io.progress import watched
from torch_imf.registry import checked
from torch_imf.training.fit import fit
from torch_imf.training.recipe import Recipe
from torch_imf.training.weights import fit_view_weights


@checked
def controls(
    recipe: Recipe,
    data: Data,
    extra: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    progress: bool = False,
) -> dict[str, dict[str, list[float]]]:
    r"""Tells whether what a graph knows of its entities is worth having: trains a model on
    structure alone, with each modality and with all of them, and beside these on what cannot help.

    A modality helps where it beats *all* controls: structure twice (two seeds that vote, as a
    second head helps by itself), features that are shuffled among the entities that have them, and
    noise of the same size.

    Args:
        recipe (Recipe): The settings, of :meth:`~torch_imf.recipe`.
        data (Data): The graph, with features.
        extra (list, optional): Views that need no training, which vote in every row, made of what
            the row has, as in :meth:`~torch_imf.fit_view_weights`. (default: :obj:`None`)
        seeds (list[int], optional): The seeds, for each of which every row is trained anew.
            (default: :obj:`(0, 1, 2)`)
        progress (bool, optional): Whether to show progress in a terminal. (default: :obj:`False`)

    Returns:
        For each row, the MRR of each seed on :obj:`"val"`, by cross-validation, and on
        :obj:`"test"`.

    Raises:
        ValueError: If the graph has no features.
    """
    names = list(modalities(data)[0])
    if not names:
        raise ValueError("The graph has no features that could help")
    alone = with_modalities(data, [])

    def graphs(seed: int) -> Iterator[tuple[str, list[Data]]]:
        yield "structure", [alone]
        for name in names:
            yield f"with {name}", [with_modalities(data, [name])]
        if len(names) > 1:
            yield "with all", [data]
        yield "control: structure twice", [alone, alone]
        yield "control: shuffled", [replaced(data, shuffle, seed)]
        yield "control: noise", [replaced(data, noise, seed)]

    out: dict[str, dict[str, list[float]]] = {}
    training = {**recipe.fit, "progress": False}
    todo = [(seed, *row) for seed in seeds for row in graphs(seed)]
    for seed, row, members in watched(todo, "Controls", progress, leave=True, delay=0):
        models = []
        for i, graph in enumerate(members):
            torch.manual_seed(seed + 1000 * i)
            models.append(recipe.build(graph).to(data.edge_index.device))
            fit(models[-1], graph, **training)
        voting = fit_view_weights(models, members[0], extra)
        found = out.setdefault(row, {"val": [], "test": []})
        found["val"].append(voting.fitted["mrr"])
        found["test"].append(float(evaluate(voting, data)["mrr"]))  # type: ignore[arg-type]
    return out


def with_modalities(data: Data, names: Sequence[str]) -> Data:
    r"""Returns a graph with some of its modalities."""
    out = copy.copy(data)
    for name in modalities(data)[0]:
        if name not in names:
            del out[f"x_{name}"]
    return out


def replaced(data: Data, replace: Callable[..., torch.Tensor], seed: int) -> Data:
    r"""Returns a graph with others in place of the features of each modality."""
    out, generator = copy.copy(data), torch.Generator().manual_seed(seed)
    x_dict, mask_dict = modalities(data)
    for name, x in x_dict.items():
        mask = mask_dict[name].to(x.device)
        out[f"x_{name}"] = x.clone()
        out[f"x_{name}"][mask] = replace(x[mask], generator)
    return out


def shuffle(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    r"""Returns features in random order."""
    return x[torch.randperm(len(x), generator=generator).to(x.device)]


def noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    r"""Returns noise of the same size."""
    return torch.randn(x.size(), generator=generator).to(x)
