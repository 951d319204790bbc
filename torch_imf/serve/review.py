import os
from tempfile import mkdtemp
from typing import Any

from torch_imf.answers.results import Fact
from torch_imf.serve.decisions import CHOICES, Decisions
from torch_imf.serve.explorer import Explorer, bar
from torch_imf.serve.told import told
from torch_imf.serve.words import in_words

TITLES = ["head", "relation", "tail", "probability", "decision"]


def review_page(explorer: Explorer, decisions: Decisions) -> None:
    r"""Lays out the page to decide about missing facts."""
    import gradio as gr

    predictor = explorer.predictor
    with gr.Row():
        reviewer = gr.Textbox("", label="Your name", max_length=100)
        choices = [("all relations", -1), *((x, i) for i, x in enumerate(explorer.rel_labels))]
        rel = gr.Dropdown(choices, value=-1, label="Relation")
        k = gr.Slider(10, 200, value=50, step=10, label="Facts")
        start = gr.Button("Find missing facts", variant="primary")
    facts, place = gr.State([]), gr.State(0)
    fact = gr.Textbox("", label="Is this true?", visible=False, lines=2)
    with gr.Row():
        pictures = [
            gr.Image(label=x, visible=False, interactive=False, height=140, buttons=[])
            for x in ("Head", "Tail")
        ]
    with gr.Row():
        buttons = {
            choice: gr.Button(f"{choice.capitalize()} ({choice[0]})", elem_id=f"decide-{choice}")
            for choice in CHOICES
        }
    reasons = gr.Textbox("", label="Why the model thinks so", visible=False, lines=8)
    listed = gr.Dataframe(
        headers=TITLES, label="Facts to review", visible=False, wrap=True, interactive=False
    )
    titles, *counts = decisions.agreement()
    judged = gr.Dataframe(counts, headers=titles, label="Accepted and claimed", wrap=True)
    download = gr.Button("Write the decisions as a table")
    file = gr.File(label="decisions.tsv", visible=False)
    shown = [place, fact, *pictures, reasons, listed, judged]
    options: Any = {"api_visibility": "private", "concurrency_limit": 1}

    def show(facts: list[Fact], reviewer: str) -> list[Any]:
        # The first fact that the reviewer has not decided about.
        mine = decisions.of(reviewer)
        done = [mine.get((x.head_id, x.rel_id, x.tail_id), "") for x in facts]
        place = next((i for i, decision in enumerate(done) if not decision), len(facts))
        words = [[*names(explorer, x), bar(x.probability)] for x in facts]
        rows = [[*cells, decision] for cells, decision in zip(words, done, strict=True)]
        rest = [gr.update(value=rows, visible=True), gr.update(value=decisions.agreement()[1:])]
        if place == len(facts):
            end = "All of them are decided." if facts else "No fact is missing."
            hidden = [gr.update(visible=False)] * 3
            return [place, gr.update(value=end, visible=True, label="Done"), *hidden, *rest]
        x = facts[place]
        found = explorer.content.pictures([x.head_index, x.tail_index])
        text = f"{'  '.join(names(explorer, x))}\n{bar(x.probability)}"
        row = [torch_row(y) for y in (x.head_index, x.rel_type, x.tail_index)]
        return [
            place,
            gr.update(
                value=text, visible=True, label=f"Is this true? ({place + 1} of {len(facts)})"
            ),
            *(gr.update(value=y, visible=y is not None) for y in found),
            gr.update(value=in_words(predictor.explain(*row)), visible=True),
            *rest,
        ]

    @told
    def find(reviewer: str, rel: int, k: int) -> list[Any]:
        if not reviewer.strip():
            raise ValueError("Type your name first: decisions are kept by reviewer")
        relation = None if rel < 0 else torch_row(rel)
        facts = list(predictor.complete(int(k), relation))
        return [facts, *show(facts, reviewer)]

    start.click(find, [reviewer, rel, k], [facts, *shown], **options)

    def decide(decision: str) -> Any:
        @told
        def call(facts: list[Fact], place: int, reviewer: str) -> list[Any]:
            if place >= len(facts):
                raise ValueError("There is no fact to decide about. Find missing facts first")
            decisions.add(reviewer, decision, facts[place])
            return show(facts, reviewer)

        return call

    for choice, button in buttons.items():
        button.click(decide(choice), [facts, place, reviewer], shown, **options)

    @told
    def write() -> Any:
        path = f"{mkdtemp(dir=os.environ.get('GRADIO_TEMP_DIR'))}/decisions.tsv"
        count = decisions.write(path)
        return gr.update(value=path, visible=True, label=f"{count:,} decisions")

    download.click(write, None, file, **options)


def names(explorer: Explorer, fact: Fact) -> list[str]:
    r"""Writes a fact by names."""
    labels = explorer.labels
    return [labels[fact.head_index], explorer.rel_labels[fact.rel_type], labels[fact.tail_index]]


def torch_row(row: int) -> Any:
    r"""Returns a row as what is never taken for a name."""
    import torch

    return torch.tensor([row])
