import os
from tempfile import mkdtemp
from typing import Any

from torch_imf.answers.results import Fact
from torch_imf.serve.decisions import Decisions
from torch_imf.serve.explorer import Explorer, bar
from torch_imf.serve.told import told
from torch_imf.serve.words import in_words

TITLES = ["", "head", "relation", "tail", "probability", "decision"]
WIDTHS = ["44px", "190px", "150px", "190px", "210px", "90px"]
#: What one can do with a fact, and the colours of its buttons.
COLORS: Any = {"accept": "primary", "refuse": "stop", "unsure": "secondary", "back": "secondary"}


def review_page(explorer: Explorer, decisions: Decisions) -> None:
    r"""Lays out the page to decide about missing facts."""
    import gradio as gr

    predictor = explorer.predictor
    with gr.Row(equal_height=True):
        reviewer = gr.Textbox("", label="Your name", max_length=100, min_width=140)
        choices = [("all relations", -1), *((x, i) for i, x in enumerate(explorer.rel_labels))]
        rel = gr.Dropdown(choices, value=-1, label="Relation", min_width=140)
        k = gr.Slider(10, 200, value=50, step=10, label="Facts", min_width=140)
    start = gr.Button("Find missing facts", variant="primary")
    facts = gr.State([])
    # Which fact the page shows, so that a decision is about what its reviewer has seen:
    place = gr.Number(0, label="Place", precision=0, visible="hidden")
    hidden: Any = {"visible": False, "interactive": False}
    fact = gr.Textbox("", label="Is this true?", lines=2, elem_classes="headline", **hidden)
    with gr.Row():
        look: Any = {"height": 140, "buttons": [], "min_width": 120, **hidden}
        pictures = [gr.Image(label=x, **look) for x in ("Head", "Tail")]
    with gr.Row():
        buttons = {
            choice: gr.Button(
                f"{choice.capitalize()} ({choice[0]})",
                elem_id=f"decide-{choice}",
                variant=color,
                visible=False,
                min_width=100,
            )
            for choice, color in COLORS.items()
        }
    reasons = gr.Textbox("", label="Why the model thinks so", lines=8, max_lines=20, visible=False)
    look = {"wrap": True, "column_widths": WIDTHS, **hidden}
    listed = gr.Dataframe(headers=TITLES, label="Facts to review", **look)
    titles, *counts = decisions.agreement()
    look = {
        "wrap": True,
        "column_widths": ["190px", *["140px"] * 5],
        "interactive": False,
    }
    judged = gr.Dataframe(counts, headers=titles, label=decisions.verdict(), **look)
    download = gr.Button("Write the decisions as a table")
    file = gr.File(label="decisions.tsv", visible=False)
    shown = [place, fact, *pictures, *buttons.values(), reasons, listed, judged]
    # One at a time, in the order in which they are made:
    options: Any = {"api_visibility": "private", "concurrency_limit": 1}
    options["concurrency_id"] = "review"

    def show(facts: list[Fact], reviewer: str, place: int | None = None) -> list[Any]:
        # A fact or, without a place, the first one that the reviewer has not decided about.
        mine = decisions.of(reviewer)
        done = [mine.get((x.head_id, x.rel_id, x.tail_id), "") for x in facts]
        if place is None:
            place = next((i for i, decision in enumerate(done) if not decision), len(facts))
        rows = [
            [str(i), *names(explorer, x), bar(x.probability), decision]
            for i, (x, decision) in enumerate(zip(facts, done, strict=True), start=1)
        ]
        titles, *counts = decisions.agreement()
        rest = [gr.update(value=rows, visible=True)]
        rest += [gr.update(value=counts, label=decisions.verdict())]
        at_end = place == len(facts)
        active = [gr.update(visible=bool(facts) and (x == "back" or not at_end)) for x in COLORS]
        if at_end:
            end = "All of them are decided." if facts else "No fact is missing."
            hidden = gr.update(visible=False)
            told_all = gr.update(value=end, visible=True, label="Done")
            return [place, told_all, hidden, hidden, *active, hidden, *rest]
        x = facts[place]
        found = explorer.content.pictures([x.head_index, x.tail_index])
        text = f"{'  '.join(names(explorer, x))}\n{bar(x.probability)}"
        label = f"Is this true? ({place + 1} of {len(facts)})"
        label += f" You said: {done[place]}" if done[place] else ""
        row = [torch_row(y) for y in (x.head_index, x.rel_type, x.tail_index)]
        return [
            place,
            gr.update(value=text, visible=True, label=label),
            *(gr.update(value=y, visible=y is not None) for y in found),
            *active,
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
            if decision == "back":
                return show(facts, reviewer, max(place - 1, 0))
            if not 0 <= place < len(facts):
                raise ValueError("There is no fact to decide about. Find missing facts first")
            decisions.add(reviewer, decision, facts[place])
            return show(facts, reviewer)

        return call

    for choice, button in buttons.items():
        button.click(decide(choice), [facts, place, reviewer], shown, **options)

    def choose(facts: list[Fact], reviewer: str, event: gr.SelectData) -> list[Any]:
        return show(facts, reviewer, int(event.row_value[0]) - 1)

    listed.select(choose, [facts, reviewer], shown, **options)

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
