import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.answers.weights import fit_view_weights
from torch_imf.data import modalities
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.registry import build_model, checked
from torch_imf.training.fit import fit

#: What a row of the table is trained on.
Row = Callable[[Data, int], list[Data]]


@checked
def controls(
    model: str,
    data: Data,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
    extra: Sequence[str] = ("types", "rules"),
    seeds: Sequence[int] = (0, 1, 2),
    progress: bool = False,
) -> dict[str, dict[str, list[float]]]:
    r"""Tells whether what a graph knows of its entities is worth having: trains a model on
    structure alone, with each modality and with all of them, and beside these on what cannot help.

    A modality helps where it beats *all* controls: structure twice (two seeds that vote, as a
    second head helps by itself), features that are shuffled among the entities that have them, and
    noise of the same size.

    Args:
        model (str): The name of the model.
        data (Data): The graph, with features.
        settings (dict): The settings of :meth:`~torch_imf.build_model`.
        training (dict): Those of :meth:`~torch_imf.fit`.
        extra (list, optional): Views that need no training, which vote in every row, as in
            :meth:`~torch_imf.fit_view_weights`. (default: :obj:`("types", "rules")`)
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
    alone = _with(data, [])
    rows: dict[str, Callable[[int], list[Data]]] = {
        "structure": lambda seed: [alone],
        **{f"with {name}": lambda seed, name=name: [_with(data, [name])] for name in names},
        "with all": lambda seed: [data],
        "control: structure twice": lambda seed: [alone, alone],
        "control: shuffled": lambda seed: [_replaced(data, _shuffle, seed)],
        "control: noise": lambda seed: [_replaced(data, _noise, seed)],
    }
    if len(names) == 1:
        del rows["with all"]
    out = {row: {"val": [], "test": []} for row in rows}
    bar = tqdm(desc="Controls", total=len(rows) * len(seeds), disable=None if progress else True)
    with bar:
        for seed in seeds:
            for row, make in rows.items():
                graphs = make(seed)
                members = []
                for i, graph in enumerate(graphs):
                    torch.manual_seed(seed + 1000 * i)
                    member = build_model(model, graph, **settings).to(data.edge_index.device)
                    fit(member, graph, **training, progress=False)
                    members.append(member)
                voting = fit_view_weights(members, data, extra)
                out[row]["val"].append(voting.fitted["mrr"])
                out[row]["test"].append(evaluate(voting, data)["mrr"])
                bar.update()
    return out


def _with(data: Data, names: Sequence[str]) -> Data:
    # A graph with some of its modalities.
    out = copy.copy(data)
    for name in modalities(data)[0]:
        if name not in names:
            del out[f"x_{name}"]
    return out


def _replaced(data: Data, replace: Callable[..., torch.Tensor], seed: int) -> Data:
    out, generator = copy.copy(data), torch.Generator().manual_seed(seed)
    x_dict, mask_dict = modalities(data)
    for name, x in x_dict.items():
        mask = mask_dict[name].to(x.device)
        out[f"x_{name}"] = x.clone()
        out[f"x_{name}"][mask] = replace(x[mask], generator)
    return out


def _shuffle(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x[torch.randperm(len(x), generator=generator).to(x.device)]


def _noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(x.size(), generator=generator).to(x)
