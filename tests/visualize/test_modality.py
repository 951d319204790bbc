import pytest

from torch_imf import IMF, AdaMF
from torch_imf.data import modalities
from torch_imf.visualize import modality_weights, plot_modality_weights, plot_relation_weights

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_plot_relation_weights(fake, cls):
    model = cls(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    relations = ["after", "has_topic"]
    ax = plot_relation_weights(model, fake, relations, split="train").axes[0]
    weights = modality_weights(model, fake, relations, "train")
    assert [t.get_text() for t in ax.get_yticklabels()] == relations
    widths = [row[name] for name in weights["after"] for row in weights.values()]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(widths)
    kind = {IMF: "IMF: share of each view", AdaMF: "AdaMF: mean weight of each modality"}[cls]
    assert ax.get_title().startswith(kind)
    assert plot_relation_weights(model, fake, "after", ax, title="a").axes[0].get_title() == "a"


def test_plot_modality_weights():
    rows = {"born in": {"struct": 0.7, "text": 0.3}, "plays for": {"struct": 0.4, "text": 0.6}}
    fig = plot_modality_weights(rows, title="AdaMF", labels={"text": "Text"})
    ax = fig.axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.7, 0.4, 0.3, 0.6])
    assert [bar.get_x() for bar in ax.patches] == pytest.approx([0, 0, 0.7, 0.4])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rows)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["struct", "Text"]
    assert [t.get_text() for t in ax.texts] == ["0.70", "0.40", "0.30", "0.60"]
    assert plot_modality_weights(rows, ax) is fig


def test_plot_modality_weights_of_none_and_of_wrong_ones():
    rows = {"a": {"struct": 0.0, "text": 0.0}, "b": {"struct": 0.99, "text": 0.01}}
    ax = plot_modality_weights(rows).axes[0]
    assert [t.get_text() for t in ax.texts] == ["0.99", " no view helps"]  # 0.01 has no room.
    plot_modality_weights({"a": {"struct": 0.0}}).canvas.draw()
    for wrong in ({}, {"a": {}}, {"a": {"struct": 1.0}, "b": {"text": 1.0}}):
        with pytest.raises(ValueError, match="rows of the same modalities"):
            plot_modality_weights(wrong)
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive or zero"):
            plot_modality_weights({"a": {"struct": value}})
