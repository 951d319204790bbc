from collections.abc import Mapping
from typing import Any

from torch_imf.serve.explorer import Explorer
from torch_imf.serve.figures import plot_curves
from torch_imf.serve.told import told
from torch_imf.visualize import plot_categories, plot_cold_start

METRICS = {"mrr": ".3f", "mr": ".1f", "hits@1": ".3f", "hits@3": ".3f", "hits@10": ".3f"}


def compare_page(explorers: Mapping[str, Explorer]) -> None:
    r"""Lays out the page that compares models: metrics, training, and ranks by what is asked."""
    import gradio as gr

    titles = ["model", "class", *(name.upper() for name in METRICS)]
    rows = metrics_rows(explorers)
    look: Any = {
        "wrap": True,
        "interactive": False,
        "column_widths": ["max(22%, 120px)", *["max(13%, 80px)"] * 6],
    }
    gr.Dataframe(rows, headers=titles, label="Filtered ranks of test facts", **look)
    histories = {name: x.history for name, x in explorers.items() if x.history}
    if histories:
        gr.Plot(plot_curves(histories), label="Training", elem_classes="figure")
    go = gr.Button("Rank the test facts by category and by what is known")
    with gr.Row():
        look = {"visible": False, "elem_classes": "figure", "min_width": 300}
        categories = [gr.Plot(label=name, **look) for name in explorers]
    cold = gr.Plot(label="Cold start", **look)

    @told
    def rank() -> list[Any]:
        models = {name: x.predictor.model for name, x in explorers.items()}
        data = next(iter(explorers.values())).predictor.data
        figures = [plot_categories(model, data, title=name) for name, model in models.items()]
        figures.append(plot_cold_start(models, data))
        return [gr.update(value=figure, visible=True) for figure in figures]

    go.click(rank, None, [*categories, cold], api_visibility="private", concurrency_limit=1)


def metrics_rows(explorers: Mapping[str, Explorer]) -> list[list[str]]:
    r"""Returns the metrics of each model as a row of text."""
    out = []
    for name, x in explorers.items():
        cells = [
            f"{x.metrics[key]:{form}}" if key in x.metrics else "" for key, form in METRICS.items()
        ]
        out.append([name, type(x.predictor.model).__name__, *cells])
    return out
