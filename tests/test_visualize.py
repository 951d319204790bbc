import pytest

from torch_imf.predict import Completion
from torch_imf.visualize import plot_completions, plot_metric

plt = pytest.importorskip("matplotlib.pyplot")


def test_plot_completions():
    answers = [
        Completion(3, "Akron", 0.9, True, {"struct": 0.8, "text": 1.0}),
        Completion(1, "Ohio", 0.5, False, {"struct": 0.9, "text": 0.1}),
    ]
    _, ax = plt.subplots()
    plot_completions(answers, ax, title="born in", labels={"text": "Text"})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Akron *", "Ohio"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["all", "struct", "Text"]
    assert [t.get_text() for t in ax.texts] == ["0.90", "0.80", "1.00", "0.50", "0.90", "0.10"]
    assert ax.get_title() == "born in"
    with pytest.raises(ValueError, match="no completions"):
        plot_completions([], ax)
    plt.close()


def test_plot_metric():
    _, ax = plt.subplots()
    plot_metric({"A": [0.1, 0.3], "B": [0.5]}, ax, label="Hits@10")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 0.5])
    assert ax.get_ylabel() == "Hits@10"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B"]
    plt.close()
