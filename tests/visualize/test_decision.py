import pytest
import torch

from torch_imf import IMF, Calibration, explain, predict
from torch_imf.answers.results import Completion, Explanation, Rank
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import plot_completions, plot_decision, plot_explanation

plt = pytest.importorskip("matplotlib.pyplot")


def texts(ax):
    return [t.get_text() for t in ax.texts]


def ticks(axis):
    return [t.get_text() for t in axis.get_ticklabels()]


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_plot_decision(fake, loss):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake), loss=loss)
    calibration = Calibration(1.0, 0.0, 0.0, is_prob=loss == "bce")
    kwargs = {"relation": "next_to", "k": 4}
    labels = {"text": "Text"}
    fig = plot_decision(model, fake, "thing 3", calibration=calibration, labels=labels, **kwargs)
    ax = fig.axes[0]
    answers = predict(model, fake, head="thing 3", **kwargs)
    assert ticks(ax.yaxis) == [f"{x.name} *" if x.known else x.name for x in answers]
    weights = model.view_weights()
    heads = [f"{'Text' if v == 'text' else v}\n× {w:.2f}" for v, w in weights.items()]
    assert ticks(ax.xaxis) == ["all views", *heads]
    assert ax.get_title() == "thing 3  next_to  ?"

    cells = texts(ax)[: 4 * 6]
    rows = [[float(x.replace("−", "-")) for x in cells[i : i + 6]] for i in range(0, 24, 6)]
    for row, answer in zip(rows, answers, strict=True):
        assert row == pytest.approx([answer.score, *answer.parts.values()], abs=6e-3)
        assert row[0] == pytest.approx(sum(row[1:]), abs=4e-2)
    assert texts(ax)[24] == "probability" and len(texts(ax)) == 24 + 1 + 4
    # The shade of a view is that of the range of its parts, on one scale for all views:
    shade = torch.from_numpy(ax.images[0].get_array())[..., 0]  # Less red, more blue.
    parts = torch.tensor([list(x.parts.values()) for x in answers])
    spread = parts.max(dim=0).values - parts.min(dim=0).values
    red = (shade.max(dim=0).values - shade.min(dim=0).values)[1:]
    assert int(red.argmax()) == int(spread.argmax())
    fig.canvas.draw()


def test_plot_decision_asks_for_heads_by_number_and_of_one_view(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    _, ax = plt.subplots()
    assert plot_decision(model, fake, 3, 0, 2, ax, title="$") is ax.figure
    assert ticks(ax.xaxis) == ["all views", "struct\n× 1.00"] and ax.get_title() == "$"
    ax = plot_decision(model, fake, tail=3, relation=1, known="remove").axes[0]
    assert ax.get_title() == "?  after  thing 3"
    assert len(ticks(ax.yaxis)) == 10 and not any("*" in t for t in ticks(ax.yaxis))
    for wrong in ({"head": 1}, {"relation": 1}, {"head": 1, "tail": 2, "relation": 0}):
        with pytest.raises(ValueError, match="Give 'relation' and one of 'head' and 'tail'"):
            plot_decision(model, fake, **wrong)
    with pytest.raises(ValueError, match="'thing 9999'"):
        plot_decision(model, fake, "thing 9999", "after")
    plt.close()


def test_plot_completions():
    answers = [
        Completion(3, "Akron", 0.9, True, {"struct": 0.8, "text": 1.0}),
        Completion(1, "Ohio", 0.5, False, {"struct": 0.9, "text": 0.1}),
    ]
    _, ax = plt.subplots()
    assert plot_completions(answers, ax, title="born in", labels={"text": "Text"}) is ax.figure
    assert ticks(ax.yaxis) == ["Akron *", "Ohio"]
    assert ticks(ax.xaxis) == ["all", "struct", "Text"]
    cells = ["0.900", "0.800", "1.000", "0.500", "0.900", "0.100"]
    assert [float(x) for x in texts(ax)] == [float(x) for x in cells]
    assert ax.get_title() == "born in"
    with pytest.raises(ValueError, match="no completions"):
        plot_completions([], ax)
    with pytest.raises(ValueError, match="'parts' needs completions of 'predict'"):
        plot_completions(answers, ax, parts=True)
    plt.close()


def test_plot_explanation():
    ranks = {"struct": Rank(1.0, 20.5), "text": Rank(300.0, 2.0)}
    explanation = Explanation(
        fact=("$A", "borders", "B"),
        split="test",
        score=0.4,
        probability=0.257,
        rank=Rank(3.0, 1.0),
        views=ranks,
        weights={"struct": 0.7, "text": 0.3},
        without={"text": Rank(7.0, 9.0)},
    )
    fig = plot_explanation(explanation, labels={"text": "Text"})
    ax = fig.axes[0]
    rows = ["all views", "struct alone (× 0.70)", "Text alone (× 0.30)", "without Text"]
    assert [t.get_text() for t in ax.get_yticklabels()] == rows
    assert ax.get_title() == "$A  borders  B\n(test fact, 25.7 %)"
    columns = [t.get_text() for t in ax.texts]
    assert columns == ["● tail", "◇ head", "3", "1", "1", "20.5", "300", "2", "7", "9"]
    points = {line.get_marker(): [] for line in ax.lines}
    for line in ax.lines:
        points[line.get_marker()] += list(line.get_xdata())
    assert points["o"] == [3, 1, 300, 7] and points["D"] == [1, 20.5, 2, 9]
    assert ax.get_xlim()[1] > 300 and ax.get_xscale() == "log"
    assert plot_explanation(explanation, ax, title="a") is fig and ax.get_title() == "a"
    fig.canvas.draw()


@pytest.mark.parametrize("fused", [False, True])
def test_plot_explanation_of_a_model(fake, fused):
    size = (fake.num_nodes, fake.num_relations, 8)
    model = IMF(*size, *modalities(fake), views=["fused"]) if fused else KGE(*size)
    ax = plot_explanation(explain(model, fake, 0, 0, 9)).axes[0]
    assert len(ax.get_yticklabels()) == (5 if fused else 2)
    assert ax.get_title().endswith("(not in the graph)")
