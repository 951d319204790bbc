import pytest

from torch_imf import IMF, explain
from torch_imf.answers import Explanation, Rank
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import plot_explanation

pytest.importorskip("matplotlib")


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
