from typing import Any

from torch_imf.serve.explorer import Explorer
from torch_imf.serve.figures import plot_neighbors
from torch_imf.serve.told import told

FACT = ["head", "relation", "tail", "split"]


def search_box(explorer: Explorer, label: str) -> tuple[Any, Any]:
    r"""Returns a box to type a name in, and the row of who is found and chosen, at first the best
    one, so that it is there without a click.
    """
    import gradio as gr

    def listed(rows: list[int], label: str) -> dict[str, Any]:
        choices = [(explorer.labels[row], row) for row in rows]
        return {"choices": choices, "value": rows[0] if rows else None, "label": label}

    example = "a name, or the begin of one; spelling does not matter"
    box = gr.Textbox("", label=label, placeholder=example, max_length=200)
    begin = listed(explorer.first, "Begin with")
    found = gr.Radio(**begin)
    # Names may have changed before a choice of them arrives, and what depends on it looks here:
    row = gr.Number(begin["value"], label="Row", precision=0, visible="hidden")

    @told
    def find(text: str) -> list[Any]:
        rows = explorer.search(text)
        new = listed(rows, "Found" if rows else "Nobody is called like that")
        new = new if text.strip() else begin
        return [gr.update(**new), new["value"]]

    options: Any = {"show_progress": "hidden", "api_visibility": "private"}
    # Not by `box.input`, which knows nothing of names that are pasted:
    box.change(find, box, [found, row], trigger_mode="always_last", **options)
    # In the browser itself, so that a button that is pressed next knows of it:
    found.input(None, found, row, js="choice => choice", **options)
    return box, row


def look_page(explorer: Explorer) -> None:
    r"""Lays out the page to look at entities and relations."""
    import gradio as gr

    _, row = search_box(explorer, "Search an entity")
    here = gr.State()
    with gr.Row():
        with gr.Column(scale=1, min_width=240):
            name = gr.Textbox("", label="Name", visible=False, elem_classes="headline")
            picture = gr.Image(
                label="Picture", visible=False, interactive=False, height=200, buttons=[]
            )
            text = gr.Textbox("", label="Text", visible=False, lines=4, max_lines=16)
            numbers = gr.Dataframe(
                headers=["number", "value"], label="Numbers", visible=False, interactive=False
            )
        with gr.Column(scale=2, min_width=300):
            graph = gr.Plot(label="Neighbours", visible=False, elem_classes="figure")
            go = gr.Radio([], label="Go to a neighbour", visible=False)
    widths = ["max(34%, 120px)", "max(24%, 120px)", "max(33%, 120px)", "max(9%, 70px)"]
    look: Any = {"wrap": True, "interactive": False, "column_widths": widths}
    facts = gr.Dataframe(headers=FACT, label="Known facts", visible=False, **look)

    @told
    def show(row: int | None) -> list[Any]:
        if row is None:
            return [None, *[gr.update(visible=False)] * 7]
        about = explorer.about(row)
        (image,) = explorer.content.pictures([row])
        near = [(explorer.way(*step), step[0]) for step in explorer.neighbors(row)]
        label = f"Name ({about['id']})" if about["id"] != about["name"] else "Name"
        return [
            row,
            gr.update(value=about["name"], label=label, visible=True),
            gr.update(value=image, visible=image is not None),
            gr.update(value=about["text"], visible=bool(about["text"])),
            gr.update(value=about["numbers"], visible=bool(about["numbers"])),
            gr.update(value=plot_neighbors(explorer, row) if near else None, visible=bool(near)),
            gr.update(choices=near, value=None, visible=bool(near)),
            gr.update(value=about["facts"], label=about["count"], visible=True),
        ]

    def follow(row: int | None, event: gr.SelectData) -> list[Any]:
        # To the other entity of a fact that is clicked, wherever the table has been sorted to.
        facts = [] if row is None else explorer.facts(row)
        head, _, tail, _ = next(x for x in facts if explorer.words(*x) == event.row_value)
        return show(tail if head == row else head)

    outputs = [here, name, picture, text, numbers, graph, go, facts]
    options: Any = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(fn=show, inputs=row, outputs=outputs, **options)  # The first one once the page is open.
    go.input(show, go, outputs, **options)
    facts.select(follow, here, outputs, **options)

    with gr.Accordion("Relations", open=False):
        titles = ["relation", "facts", "heads", "tails"]
        gr.Dataframe(
            explorer.relations, headers=titles, label="Relations", wrap=True, interactive=False
        )
        choices = [(label, i) for i, label in enumerate(explorer.rel_labels)]
        rel = gr.Dropdown(choices, value=None, label="Examples of a relation")
        examples = gr.Dataframe(headers=FACT, label="Examples", visible=False, **look)

    def show_examples(rel: int | None) -> Any:
        rows = [] if rel is None else explorer.examples(rel)
        return gr.update(value=rows, visible=bool(rows))

    rel.change(show_examples, rel, examples, **options)
