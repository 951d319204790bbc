import json
from typing import Any


def model_card(config: dict[str, Any], has_graph: bool) -> str:
    r"""Writes what is known of a saved model: what it is, what it was trained
    on, its metrics, and how to load it. Nothing is said that is not in the
    configuration.
    """
    model = config["model"]
    sizes = f"{model['num_nodes']:,} entities and {model['num_relations']:,} relations"
    lines = [
        "---",
        "library_name: torch_imf",
        "tags:",
        "- knowledge-graph-completion",
        "- torch_imf",
        "---",
        "",
        f"# {model['class']}",
        "",
        f"A model of the class `{model['class']}` of torch_imf {config['versions']['torch_imf']} "
        f"for the completion of a knowledge graph of {sizes}, with {config['num_parameters']:,} "
        f"parameters as saved.",
        "",
        "## How to load it",
        "",
        "```python",
        f"from torch_imf import from_pretrained{', pretrained_graph' if has_graph else ''}",
        "",
        'model = from_pretrained("path/to/this/folder")',
        *(['data = pretrained_graph("path/to/this/folder")'] if has_graph else []),
        "```",
        "",
        "It predicts without the features that it was trained on; these are not part of it."
        if config["coverage"]
        else "It takes no features.",
    ]
    if config["facts"] is not None:
        lines += _section("Graph", "facts", config["facts"])
    if config["coverage"]:
        lines += _section("Modalities", "entities that have it", config["coverage"])
    if config["view_weights"]:
        lines += _section("Weights of views in predictions", "weight", config["view_weights"])
    if config["metrics"]:
        lines += _section("Metrics", "as reported when it was saved", _flat(config["metrics"]))
    if config["training"]:
        lines += _section("Training", "as reported when it was saved", config["training"])
    lines += _section("Versions", "version", config["versions"])
    lines += ["", "## Settings", "", "```json", json.dumps(model, indent=1), "```", ""]
    return "\n".join(lines)


def _section(title: str, column: str, rows: dict[str, Any]) -> list[str]:
    body = [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items()]
    return ["", f"## {title}", "", f"| | {column} |", "|---|---|", *body]


def _flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    # Metrics by side or relation, under the name of the group.
    out: dict[str, Any] = {}
    for key, value in metrics.items():
        nested = isinstance(value, dict)
        out |= _flat(value, f"{prefix}{key} ") if nested else {f"{prefix}{key}": value}
    return out


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return " ".join(text.replace("|", r"\|").split())
