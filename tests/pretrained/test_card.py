from torch_imf.pretrained.card import model_card

CONFIG = {
    "model": {"class": "KGE", "num_nodes": 1234, "num_relations": 5, "scorer": {"class": "TransE"}},
    "num_parameters": 98765,
    "coverage": {},
    "view_weights": {},
    "facts": None,
    "metrics": {},
    "training": {},
    "versions": {"torch_imf": "1.2.3", "torch": "9"},
}


def test_model_card():
    card = model_card(CONFIG, has_graph=False)
    assert card.startswith("---\nlibrary_name: torch_imf\n") and "\n# KGE\n" in card
    assert "of 1,234 entities and 5 relations, with 98,765 parameters" in card
    assert "torch_imf 1.2.3" in card and "| torch | 9 |" in card and '"class": "TransE"' in card
    assert "pretrained_graph" not in card and "It takes no features." in card
    # What is not known is not spoken of:
    assert not any(f"## {x}" in card for x in ("Metrics", "Training", "Graph", "Modalities"))


def test_facts_of_a_run():
    card = model_card(
        {
            **CONFIG,
            "coverage": {"text": 1000},
            "view_weights": {"struct": 0.25, "text": 0.75},
            "facts": {"train": 100000, "val": 10},
            "metrics": {"mrr": 0.34567, "head": {"mrr": 0.2}, "mr": 20000.0},
            "training": {"lr": [0.1, 0.01], "note": "a | b\nc", "progress": True},
        },
        has_graph=True,
    )
    for line in (
        "| text | 1,000 |",
        "| struct | 0.25 |",
        "| train | 100,000 |",
        "| mrr | 0.3457 |",
        "| head mrr | 0.2 |",
        "| mr | 20,000 |",
        "| lr | [0.1, 0.01] |",
        r"| note | a \| b c |",
        "| progress | True |",
    ):
        assert f"{line}\n" in card
    assert "data = pretrained_graph(" in card and "predicts without the features" in card
