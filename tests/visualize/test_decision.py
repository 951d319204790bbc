from dataclasses import replace

import numpy as np
import pytest

from torch_imf import IMF, Calibration, Predictor
from torch_imf.answers import Completion, Explanation, Rank
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import plot_decision, plot_explanation

plt = pytest.importorskip("matplotlib.pyplot")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def ticks(axis):
    return [t.get_text() for t in axis.get_ticklabels()]


def test_plot_decision(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake), loss="ce")
    calibration = Calibration(1.0, 0.0, 0.0)
    answers = Predictor(model, fake, calibration).predict("thing 3", "next_to", k=4)
    fig = plot_decision(answers, labels={"text": "Text"})
    ax = fig.axes[0]
    assert ticks(ax.yaxis) == [f"{x.name} *" if x.known else x.name for x in answers]
    weights = model.view_weights()
    heads = [f"{'Text' if v == 'text' else v}\n× {w:.2f}" for v, w in weights.items()]
    assert ticks(ax.xaxis) == ["all views", *heads]
    assert ax.get_title() == "thing 3  next_to  ?"
    assert texts(ax)[24] == "probability" and len(texts(ax)) == 24 + 1 + 4
    # The shade of a view is that of the range of its parts, on one scale for all views:
    red = np.ptp(ax.images[0].get_array()[:, 1:, 0], axis=0)  # Less of it, more blue.
    parts = np.array([list(x.parts.values()) for x in answers])
    assert red.argmax() == np.ptp(parts, axis=0).argmax()
    fig.canvas.draw()


def test_plot_decision_of_other_answers():
    parts = {"struct": 0.5, "text": 0.4}
    best = Completion(3, "Akron", "a", 0.9, True, {}, parts, parts)
    other = Completion(1, "Ohio", "o", 0.5, False, {}, parts, {"struct": 0.6, "text": -0.1})
    assert "none" in texts(plot_decision([best, replace(best, lacks=("text",))]).axes[0])
    answers = [best, other]
    _, ax = plt.subplots()
    assert plot_decision(answers, ax, "born in $", {"text": "Text"}) is ax.figure
    assert ticks(ax.yaxis) == ["Akron *", "Ohio"] and ax.get_title() == "born in $"
    assert ticks(ax.xaxis) == ["all views", "struct\n× 0.50", "Text\n× 0.40"]
    assert texts(ax) == ["0.900", "0.500", "0.400", "0.500", "0.600", "−0.100"]
    with pytest.raises(ValueError, match="no answers"):
        plot_decision([])
    plt.close()


def test_plot_explanation():
    ranks = {"struct": Rank(1.0, 20.5), "text": Rank(300.0, 2.0)}
    more = {"weights": {"struct": 0.7, "text": 0.3}, "without": {"text": Rank(7.0, 9.0)}}
    fact = ("$A", "borders", "B")
    explanation = Explanation(fact, "test", 0.4, 0.257, Rank(3.0, 1.0), ranks, **more)
    fig = plot_explanation(explanation, labels={"text": "Text"})
    ax = fig.axes[0]
    rows = ["all views", "struct alone (× 0.70)", "Text alone (× 0.30)", "without Text"]
    assert ticks(ax.yaxis) == rows
    assert ax.get_title() == "$A  borders  B\n(test fact, 25.7 %)"
    assert texts(ax) == ["● tail", "◇ head", "3", "1", "1", "20.5", "300", "2", "7", "9"]
    points = {line.get_marker(): [] for line in ax.lines}
    for line in ax.lines:
        points[line.get_marker()] += list(line.get_xdata())
    assert points["o"] == [3, 1, 300, 7] and points["D"] == [1, 20.5, 2, 9]
    assert ax.get_xlim()[1] > 300 and ax.get_xscale() == "log"
    assert plot_explanation(explanation, ax, title="a") is fig and ax.get_title() == "a"
    fig.canvas.draw()


def test_plot_explanation_of_a_model(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)  # No other views, and no probability.
    ax = plot_explanation(Predictor(model, fake).explain(0, 0, 9)).axes[0]
    assert len(ticks(ax.yaxis)) == 2 and ax.get_title().endswith("(not in the graph)")
