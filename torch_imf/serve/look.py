from typing import Any

from torch_imf.serve.explorer import Explorer
from torch_imf.serve.figures import plot_neighbors
from torch_imf.serve.told import told

FACT = ["head", "relation", "tail", "split"]


def search_box(explorer: Explorer, label: str) -> tuple[Any, Any]:
    r"""Returns a box to type a name in, and the names it finds, to choose of."""
    import gradio as gr

    example = f"such as {explorer.labels[0]}"
    box = gr.Textbox("", label=label, placeholder=example, max_length=200)
    found = gr.Radio([], label="Found", visible=False)

    @told
    def find(text: str) -> Any:
        rows = explorer.search(text)
        choices = [(explorer.labels[row], row) for row in rows]
        label = "Found" if rows else "Nobody is called like that"
        # The best one is chosen, so that it is there without a click:
        value = rows[0] if rows else None
        return gr.Radio(choices=choices, value=value, visible=bool(text.strip()), label=label)

    options: Any = {"show_progress": "hidden", "api_visibility": "private"}
    box.input(find, box, found, trigger_mode="always_last", **options)
    return box, found


def look_page(explorer: Explorer) -> None:
    r"""Lays out the page to look at entities and relations."""
    import gradio as gr

    _, found = search_box(explorer, "Search an entity")
    with gr.Row():
        with gr.Column(scale=1, min_width=240):
            picture = gr.Image(
                label="Picture", visible=False, interactive=False, height=240, buttons=[]
            )
            name = gr.Textbox("", label="Name", visible=False)
            text = gr.Textbox("", label="Text", visible=False, lines=4)
            numbers = gr.Dataframe(
                headers=["number", "value"], label="Numbers", visible=False, interactive=False
            )
        with gr.Column(scale=2, min_width=300):
            graph = gr.Plot(label="Neighbours", visible=False)
            go = gr.Radio([], label="Go to a neighbour", visible=False)
    facts = gr.Dataframe(
        headers=FACT, label="Known facts", visible=False, wrap=True, interactive=False
    )

    @told
    def show(row: int | None) -> list[Any]:
        if row is None:
            return [gr.update(visible=False)] * 7
        about = explorer.about(row)
        (image,) = explorer.content.pictures([row])
        near = [(explorer.labels[other], other) for other, _, _ in explorer.neighbors(row)]
        label = f"Name ({about['id']})" if about["id"] != about["name"] else "Name"
        return [
            gr.update(value=image, visible=image is not None),
            gr.update(value=about["name"], label=label, visible=True),
            gr.update(value=about["text"], visible=bool(about["text"])),
            gr.update(value=about["numbers"], visible=bool(about["numbers"])),
            gr.update(value=plot_neighbors(explorer, row) if near else None, visible=bool(near)),
            gr.update(choices=near, value=None, visible=bool(near)),
            gr.update(value=about["facts"], label=about["count"], visible=True),
        ]

    outputs = [picture, name, text, numbers, graph, go, facts]
    options: Any = {"show_progress": "hidden", "api_visibility": "private"}
    found.change(show, found, outputs, **options)
    go.input(show, go, outputs, **options)

    with gr.Accordion("Relations", open=False):
        titles = ["relation", "facts", "heads", "tails"]
        gr.Dataframe(
            explorer.relations, headers=titles, label="Relations", wrap=True, interactive=False
        )
        choices = [(label, i) for i, label in enumerate(explorer.rel_labels)]
        rel = gr.Dropdown(choices, value=None, label="Examples of a relation")
        examples = gr.Dataframe(
            headers=FACT, label="Examples", visible=False, wrap=True, interactive=False
        )

    def show_examples(rel: int | None) -> Any:
        rows = [] if rel is None else explorer.examples(rel)
        return gr.update(value=rows, visible=bool(rows))

    rel.change(show_examples, rel, examples, **options)
