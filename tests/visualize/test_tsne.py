import pytest
import torch

from torch_imf.visualize import plot_tsne, silhouette

pytest.importorskip("matplotlib")


def test_plot_tsne():
    x = torch.cat([torch.randn(10, 8), torch.randn(12, 8) + 9])
    labels = ["a"] * 10 + ["$b$"] * 12
    fig = plot_tsne(x, labels, title="under r", outline=torch.arange(22) < 3)
    ax = fig.axes[0]
    assert ax.get_title() == "under r"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["$b$", "a"]
    sizes = [len(points.get_offsets()) for points in ax.collections]
    assert sizes == [12, 0, 10, 3]
    # Classes far apart stay apart:
    a, b = (ax.collections[i].get_offsets().mean(axis=0) for i in (0, 2))
    spread = ax.collections[0].get_offsets().std(axis=0)
    assert ((a - b) ** 2).sum() > (spread**2).sum()
    fig.canvas.draw()

    assert plot_tsne(x, labels, ax, legend=False) is fig


def test_plot_tsne_of_many_classes_keeps_the_largest():
    labels = [f"class {i % 10 if i < 30 else i % 5}" for i in range(40)]
    ax = plot_tsne(torch.randn(40, 4), labels).axes[0]
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == [*(f"class {i}" for i in range(7)), "3 others"]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 40


def test_plot_tsne_of_what_it_cannot_project():
    with pytest.raises(ValueError, match="at least four embeddings and a label each"):
        plot_tsne(torch.randn(22, 4), ["a"])
    with pytest.raises(ValueError, match="at least four embeddings"):
        plot_tsne(torch.randn(3, 4), ["a"] * 3)
    with pytest.raises(ValueError, match=r"a matrix of .* shape \[5\]"):
        plot_tsne(torch.randn(5), ["a"] * 5)
    for x in (torch.ones(5, 4), torch.full((5, 4), torch.nan)):
        with pytest.raises(ValueError, match="finite embeddings that are not all the same"):
            plot_tsne(x, ["a"] * 5)


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
