import pytest
import torch

from torch_imf import IMF, evaluate
from torch_imf.data import modalities
from torch_imf.nn import KGE
from torch_imf.visualize import plot_categories
from torch_imf.visualize.categories import BINS, rank_shares

pytest.importorskip("matplotlib")


def test_plot_categories(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    found = rank_shares(model, fake)
    metrics = evaluate(model, fake, by=["category"])
    assert list(found) == list(metrics["category"])
    total, number = {"tails": 0.0, "heads": 0.0}, 0
    for name, sides in found.items():
        both = metrics["category"][name]
        assert sides["tails"]["num_facts"] == sides["heads"]["num_facts"]
        for row in sides.values():
            assert sum(row[label] for label in BINS) == pytest.approx(1)
        hits = [sum(row[label] for label in ("1", "2–3")) for row in sides.values()]
        assert sum(hits) / 2 == pytest.approx(both["hits@3"])
        number += sides["tails"]["num_facts"]
        for side, row in sides.items():
            total[side] += row["num_facts"] * row["mrr"]
    assert number == int(fake.test_mask.sum())
    for side, name in (("tails", "tail"), ("heads", "head")):
        assert total[side] / number == pytest.approx(metrics[name]["mrr"])

    fig = plot_categories(model, fake)
    ax = fig.axes[0]
    assert len(ax.patches) == 2 * len(found) * len(BINS)
    assert [bar.get_width() for bar in ax.patches[:2]] == pytest.approx(
        [next(iter(found.values()))[side]["1"] for side in ("tails", "heads")]
    )
    texts = [t.get_text() for t in ax.texts]
    for name, sides in found.items():
        assert f"{name}\n{sides['tails']['num_facts']} facts" in texts
        assert f"{sides['heads']['mrr']:.3f}" in texts
    assert ax.get_title() == "Ranks of test facts by category of relation"
    fig.canvas.draw()


def test_plot_categories_of_a_view_and_one_fact(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    data = fake.clone()
    data.val_mask = torch.zeros_like(data.val_mask)
    data.val_mask[3] = True
    fig = plot_categories(model, data, "val", view="text")
    assert "view 'text'" in fig.axes[0].get_title()
    assert any(t.get_text().endswith("\n1 fact") for t in fig.axes[0].texts)
    assert plot_categories(model, fake, ax=fig.axes[0], title="a") is fig


def test_plot_categories_of_none(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    data = fake.clone()
    data.test_mask = torch.zeros_like(data.test_mask)
    with pytest.raises(ValueError, match="'test' split holds no facts"):
        plot_categories(model, data)
    with pytest.raises(ValueError, match="Invalid 'split' argument"):
        plot_categories(model, fake, "all")
    with pytest.raises(ValueError, match="Invalid 'view' argument"):
        plot_categories(model, fake, view="text")
