import math

import pytest

from torch_imf import fit
from torch_imf.nn import KGE
from torch_imf.visualize import plot_history

pytest.importorskip("matplotlib")


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
def test_plot_history_marks_the_best_epoch_which_is_the_first_of_equal_ones(metric):
    values = [0.2, 0.4, 0.4, 0.3] if metric == "mrr" else [9.0, 7.0, 7.0, 8.0]
    ax = plot_history(curve(values, metric), metrics=[metric]).axes[0]
    value = {"mrr": "0.400", "mr": "7.0"}[metric]
    assert [t.get_text() for t in ax.texts] == [f"best: {value}, epoch 10"]
    assert ax.get_ylabel() == {"mrr": "validation MRR", "mr": "validation mean rank"}[metric]


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [0.1] * 100])
def test_plot_history_of_few_and_many(values):
    fig = plot_history(curve(values), metrics=["mrr"])
    fig.canvas.draw()
    assert all(map(math.isfinite, fig.axes[0].get_ylim()))
    assert plot_history(curve(values), fig.axes[0], ["mrr"]) is fig


def test_plot_history_of_one_metric_and_of_more_than_there_are_colors():
    assert plot_history(curve([0.1, 0.2]), metrics="mrr").axes[0].get_ylabel() == "validation MRR"
    names = [f"hits@{i}" for i in range(12)]
    history = [{**curve([0.1])[0], **dict.fromkeys(names, 0.5)}]
    legend = plot_history(history, metrics=names).axes[0].get_legend()
    assert len(legend.get_texts()) == 13


def test_plot_history_of_none():
    with pytest.raises(ValueError, match="no validation in the history"):
        plot_history([])
    for metrics in (["mrr", "hits@10"], []):
        with pytest.raises(ValueError, match="'metrics' needs to name metrics"):
            plot_history(curve([0.1]), metrics=metrics)
