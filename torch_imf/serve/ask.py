from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from torch_imf.answers.results import Answers, percent
from torch_imf.io.images import read_image
from torch_imf.serve.explorer import Explorer, bar, parts_in_words
from torch_imf.serve.look import search_box
from torch_imf.serve.told import told
from torch_imf.serve.words import in_words
from torch_imf.visualize import plot_explanation

TITLES = ["", "picture", "answer", "probability", "known", "part of each view in the score"]
KINDS: Any = ["str", "html", "str", "str", "str", "str"]
#: In pixels, as shares are too small on a phone, and texts in the larger of both do not wrap.
WIDTHS = ["40px", "76px", "150px", "200px", "70px", "420px"]
TAILS, HEADS = "the head: which tails?", "the tail: which heads?"


def ask_page(explorers: Mapping[str, Explorer]) -> None:
    r"""Lays out the page to ask questions, also about what the graph lacks."""
    import gradio as gr

    first = next(iter(explorers.values()))
    texts = first.content.texts
    example = f"such as: {next(iter(texts.values()))[:120]}" if texts else ""
    several = len(explorers) > 1
    model = gr.Radio(list(explorers), label="Model", value=next(iter(explorers)), visible=several)
    with gr.Row():
        with gr.Column(min_width=280):
            side = gr.Radio([TAILS, HEADS], value=TAILS, label="The entity is")
            typed, row = search_box(first, "Entity")
            with gr.Accordion("Or an entity that the graph lacks", open=False):
                text = gr.Textbox(
                    "", label="Its text", lines=3, placeholder=example, max_length=20_000
                )
                sources: Any = ["upload", "clipboard"]
                look: Any = {"type": "filepath", "image_mode": None, "height": 160}
                image = gr.Image(label="Its picture", sources=sources, **look)
        with gr.Column(min_width=280):
            rel = gr.Dropdown(relation_choices(first, None, True), label="Relation")
            k = gr.Slider(1, 50, value=10, step=1, label="Answers")
            known = gr.Checkbox(label="Leave out what the graph holds")
            go = gr.Button("Ask", variant="primary")
    look = {"visible": False, "wrap": True, "interactive": False}
    widths: Any = {"column_widths": WIDTHS}
    answers = gr.Dataframe(headers=TITLES, datatype=KINDS, label="Answers", **look, **widths)
    widths = {"column_widths": ["44px", *["240px"] * len(explorers)]}
    beside = gr.Dataframe(headers=["", *explorers], label="All models", **look, **widths)
    asked, rows = gr.State(), gr.State([])
    chosen = gr.Radio([], label="Explain an answer", visible=False)
    with gr.Row():
        with gr.Column(min_width=300):
            why = gr.Textbox("", label="Why", lines=12, max_lines=60, visible=False)
        with gr.Column(min_width=300):
            ranks = gr.Plot(label="Ranks by view", visible=False, elem_classes="figure")

    options: Any = {"api_visibility": "private"}

    # What the relations on the page are of, as a question may come before they have followed:
    followed = gr.Textbox("", label="Relations of", visible="hidden")

    def fit(row: int | None, side: str) -> list[Any]:
        choices = relation_choices(first, row, side == TAILS)
        return [gr.update(choices=choices, value=choices[0][1]), f"{row} {side}"]

    look = {"show_progress": "hidden", **options}
    gr.on(fn=fit, inputs=[row, side], outputs=[rel, followed], **look)

    @told
    def ask(
        name: str,
        side: str,
        typed: str,
        row: int | None,
        text: str,
        image: str | None,
        rel: int,
        k: int,
        known: bool,
        followed: str,
    ) -> list[Any]:
        explorer = explorers[name]
        if typed.strip() and row not in (found := first.search(typed)):
            row = found[0] if found else None  # As the page will say in a moment.
        entity: Any = described(text, image) or row
        if entity is None:
            raise ValueError("Search an entity and choose it, or describe a new one")
        if entity == row and followed != f"{row} {side}":
            rel = first.sensible(row, side == TAILS)[0]  # Here, too.
        query: Any = entity, rel, side == TAILS, int(k), "remove" if known else "mark"
        answers_of = {x: explorers[x].ask(*query) for x in (explorers if several else [name])}
        out = answers_of[name]
        choices = [
            (f"{i}. {explorer.labels[x.index]}", x.index) for i, x in enumerate(out, start=1)
        ]
        return [
            gr.update(value=table(explorer, out), label=question(out), visible=True),
            gr.update(value=side_by_side(explorers, answers_of), visible=several),
            (name, entity, rel, side == TAILS),
            [x.index for x in out],
            gr.update(choices=choices, value=None, visible=True),
            gr.update(visible=False),
            gr.update(visible=False),
        ]

    inputs = [model, side, typed, row, text, image, rel, k, known, followed]
    go.click(ask, inputs, [answers, beside, asked, rows, chosen, why, ranks], **options)

    @told
    def say_why(asked: Any, answer: int | None) -> list[Any]:
        if asked is None or answer is None:
            return [gr.update(visible=False)] * 2
        name, entity, rel, asks_tail = asked
        found = explorers[name].explain(entity, rel, answer, asks_tail)
        figure = gr.update(value=plot_explanation(found), visible=True)
        return [gr.update(value=in_words(found), visible=True), figure]

    def choose(rows: list[int], event: gr.SelectData) -> Any:
        return rows[int(event.row_value[0]) - 1]  # Wherever the table has been sorted to.

    chosen.change(say_why, [asked, chosen], [why, ranks], **options)
    answers.select(choose, rows, chosen, show_progress="hidden", **options)


def described(text: str, image: str | None) -> dict[str, Any]:
    r"""Returns a new entity of what is known of it, nothing if that is nothing. Its picture is read
    here, by a process that a malformed file cannot harm.
    """
    out: dict[str, Any] = {"text": text} if text.strip() else {}
    return out | ({"image": read_image(image)} if image else {})


def relation_choices(explorer: Explorer, row: int | None, asks_tail: bool) -> list[tuple[str, int]]:
    r"""Returns the relations to choose of, sensible ones first."""
    return [(explorer.rel_labels[rel], rel) for rel in explorer.sensible(row, asks_tail)]


def question(answers: Answers) -> str:
    r"""Returns the question that was answered."""
    return f"Answers to: {answers.query}"


def table(explorer: Explorer, answers: Answers) -> list[list[str]]:
    r"""Returns answers as the rows of a table."""
    pictures = explorer.content.pictures([x.index for x in answers])
    out = []
    for i, (x, picture) in enumerate(zip(answers, pictures, strict=True), start=1):
        cells = [str(i), inline(picture), explorer.labels[x.index], bar(x.probability)]
        out.append([*cells, "known" if x.known else "", parts_in_words(x)])
    return out


def side_by_side(
    explorers: Mapping[str, Explorer], found: Mapping[str, Answers]
) -> list[list[str]]:
    r"""Returns the answers of several models as the rows of a table, a column for each."""
    columns = [
        [f"{explorers[name].labels[x.index]}  {percent(x.probability)}" for x in answers]
        for name, answers in found.items()
    ]
    return [[str(i), *row] for i, row in enumerate(zip_longest(*columns, fillvalue=""), start=1)]


def inline(picture: Any) -> str:
    r"""Returns a small picture as markup that holds it, so that no path leads to it."""
    from base64 import b64encode
    from io import BytesIO

    if picture is None:
        return ""
    small, file = picture.copy(), BytesIO()
    small.thumbnail((96, 96))
    small.save(file, "png")
    return f'<img alt="" src="data:image/png;base64,{b64encode(file.getvalue()).decode()}">'
