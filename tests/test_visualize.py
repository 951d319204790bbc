import pytest
import torch

from torch_imf.predict import Completion
from torch_imf.visualize import (
    plot_completions,
    plot_metric,
    plot_modality_weights,
    plot_tsne,
    silhouette,
)

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


def test_plot_modality_weights():
    _, ax = plt.subplots()
    rows = {"born in": {"struct": 0.7, "text": 0.3}, "plays for": {"struct": 0.4, "text": 0.6}}
    plot_modality_weights(rows, ax, "AdaMF", labels={"text": "Text"})
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.7, 0.4, 0.3, 0.6])
    assert [bar.get_x() for bar in ax.patches] == pytest.approx([0, 0, 0.7, 0.4])
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rows)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["struct", "Text"]
    for wrong in ({}, {"a": {"struct": 1.0}, "b": {"text": 1.0}}):
        with pytest.raises(ValueError, match="rows of the same modalities"):
            plot_modality_weights(wrong, ax)
    plt.close()


def test_plot_tsne():
    x = torch.cat([torch.randn(10, 8), torch.randn(12, 8) + 9])
    labels = ["a"] * 10 + ["b"] * 12
    _, ax = plt.subplots()
    plot_tsne(x, labels, ax, "under r", outline=torch.arange(22) < 3)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    sizes = [len(points.get_offsets()) for points in ax.collections]
    assert sizes == [10, 3, 12, 0]
    # Classes far apart stay apart:
    a, b = (ax.collections[i].get_offsets().mean(axis=0) for i in (0, 2))
    spread = ax.collections[0].get_offsets().std(axis=0)
    assert ((a - b) ** 2).sum() > (spread**2).sum()
    plt.close()
    with pytest.raises(ValueError, match="at least four embeddings and a label each"):
        plot_tsne(x, ["a"], ax)


def test_silhouette():
    x = torch.randn(12, 4)
    label = torch.arange(12) % 3
    unit = torch.nn.functional.normalize(x, dim=-1)
    distance = 1 - unit @ unit.t()
    values = []
    for i in range(12):
        means = []
        for c in range(3):
            others = (label == c) & (torch.arange(12) != i)
            means.append(float(distance[i, others].mean()))
        a = means.pop(int(label[i]))
        values.append((min(means) - a) / max(a, min(means)))
    assert silhouette(x, label) == pytest.approx(sum(values) / 12, abs=1e-5)
    with pytest.raises(ValueError, match="two classes or more"):
        silhouette(x, label * 0)
