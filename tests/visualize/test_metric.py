import pytest

from torch_imf.visualize import plot_metric

pytest.importorskip("matplotlib")


def test_plot_metric():
    fig = plot_metric({"A": [0.1, 0.3], "B": [0.5]}, label="Hits@10")
    ax = fig.axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 0.5])
    assert ax.get_ylabel() == "Hits@10"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B"]
    assert plot_metric({"A": [0.1]}, ax) is fig
    for wrong in ({}, {"A": []}):
        with pytest.raises(ValueError, match="at least one value each"):
            plot_metric(wrong)
