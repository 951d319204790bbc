import math

import pytest
import torch

from torch_imf import evaluate, fit
from torch_imf.nn import KGE
from torch_imf.visualize import plot_categories, plot_cold_start, plot_history, plot_metric
from torch_imf.visualize.metrics import BINS

pytest.importorskip("matplotlib")


def test_plot_categories(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    metrics = evaluate(model, fake, by=["category"])
    ax = plot_categories(model, fake).axes[0]
    names = list(metrics["category"])
    texts = [t.get_text() for t in ax.texts]
    heads = [x.split("\n") for x in texts if "\n" in x]
    assert [x[0] for x in heads] == names
    size = torch.tensor([float(x[1].removesuffix(" facts")) for x in heads])
    assert size.sum() == fake.test_mask.sum()
    # The bars of tails and heads, each a part per range of ranks, and their MRR:
    width = torch.tensor([bar.get_width() for bar in ax.patches]).view(len(BINS), -1, 2)
    assert torch.allclose(width.sum(dim=0), torch.full_like(width[0], 100))
    mrr = torch.tensor([float(x) for x in texts[texts.index("MRR") + 1 :][: 2 * len(names)]])
    mrr, hits = mrr.view(-1, 2), width[:2].sum(dim=(0, 2)) / 2
    for i, name in enumerate(names):
        expected = metrics["category"][name]
        assert float(hits[i]) == pytest.approx(100 * expected["hits@3"], abs=1e-3)
        assert float(mrr[i].mean()) == pytest.approx(expected["mrr"], abs=1e-3)
    assert ax.get_title() == "Ranks of test facts by category of relation"
    ax.figure.canvas.draw()
    # Of one fact, by one view:
    data = fake.clone()
    data.val_mask = torch.arange(data.num_edges) == 3
    plot_categories(model, data, "val", ax, view="struct")
    assert "view 'struct'" in ax.get_title() and ax.texts[-1].get_text().endswith("\n1 fact")


def test_plot_cold_start(fake):
    # A curve for the entity to find and one for that of the query, of each model.
    models = {x: KGE(fake.num_nodes, fake.num_relations, 8) for x in ("first", "second")}
    ax = plot_cold_start(models, fake).axes[0]
    for i, (name, model) in enumerate(models.items()):
        out = evaluate(model, fake, by=["answer_facts", "query_facts"])
        lines = ax.lines[2 * i : 2 * i + 2]
        for line, groups in zip(lines, (out["answer_facts"], out["query_facts"]), strict=True):
            assert line.get_label().startswith(f"{name}, ")
            assert list(line.get_ydata()) == [group["mrr"] for group in groups.values()]
    ticks = [t.get_text().split("\n") for t in ax.get_xticklabels()]
    assert sum(int(size) for _, size in ticks) == 2 * int(fake.test_mask.sum())
    ax.figure.canvas.draw()
    assert len(plot_cold_start(models["first"], fake, view="struct").axes[0].lines) == 2


def curve(values, metric="mrr"):
    return [{"epoch": 5.0 * i + 5, "loss": 9.0 / (i + 1), metric: x} for i, x in enumerate(values)]


def test_plot_history(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    history = fit(model, fake, epochs=4, eval_every=2, lr=0.05)
    fig = plot_history(history, title="$KGE")
    ax, other = fig.axes
    for line, name in zip((*ax.lines[:2], other.lines[0]), ("mrr", "hits@10", "loss"), strict=True):
        assert list(line.get_xdata()) == [2, 4]
        assert list(line.get_ydata()) == [entry[name] for entry in history]
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == ["MRR", "Hits@10", "training loss (right)"]
    assert ax.get_title() == "$KGE" and ax.get_xlabel() == "epoch"
    fig.canvas.draw()


@pytest.mark.parametrize("metric", ["mrr", "mr"])
def test_plot_history_marks_the_first_of_the_best_epochs(metric):
    values = [0.2, 0.4, 0.4, 0.3] if metric == "mrr" else [9.0, 7.0, 7.0, 8.0]
    ax = plot_history(curve(values, metric), metrics=metric).axes[0]
    value = {"mrr": "0.400", "mr": "7.0"}[metric]
    assert [t.get_text() for t in ax.texts] == [f"best: {value}, epoch 10"]
    assert ax.get_ylabel() == {"mrr": "validation MRR", "mr": "validation mean rank"}[metric]


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [0.1] * 100])
def test_plot_history_of_few_and_many(values):
    fig = plot_history(curve(values), metrics=["mrr"])
    fig.canvas.draw()
    assert all(map(math.isfinite, fig.axes[0].get_ylim()))
    assert plot_history(curve(values), fig.axes[0], ["mrr"]) is fig
    names = [f"hits@{i}" for i in range(12)]  # More than there are colours.
    legend = plot_history([{**curve(values)[0], **dict.fromkeys(names, 0.5)}], metrics=names)
    assert len(legend.axes[0].get_legend().get_texts()) == 13
    with pytest.raises(ValueError, match="no validation in the history"):
        plot_history([])


def test_plot_metric():
    fig = plot_metric({"A": [0.1, 0.3], "B": [0.5]}, label="Hits@10")
    ax = fig.axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 0.5])
    assert ax.get_ylabel() == "Hits@10"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B"]
    assert plot_metric({"A": [0.1]}, ax) is fig
