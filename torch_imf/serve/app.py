from collections.abc import Mapping
from typing import Any

from torch_imf.io import require
from torch_imf.serve.ask import ask_page
from torch_imf.serve.compare import compare_page
from torch_imf.serve.decisions import Decisions
from torch_imf.serve.explorer import Explorer
from torch_imf.serve.look import look_page
from torch_imf.serve.review import review_page
from torch_imf.serve.told import told
from torch_imf.serve.words import in_words

#: The largest file that may be uploaded.
MAX_UPLOAD = "10mb"
#: How many sessions the server remembers, and questions are answered at once.
SESSIONS, AT_ONCE = 200, 4
#: Keys press the buttons of the review, unless one is typing.
SCRIPT = """() => document.addEventListener("keydown", event => {
  const typing = /input|textarea|select/i.test(event.target.tagName);
  const name = {"a": "accept", "r": "refuse", "u": "unsure", "b": "back"}[event.key];
  const button = name && document.getElementById("decide-" + name);
  const shown = button && button.offsetParent !== null;
  if (shown && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) button.click();
})"""
# Nothing is fetched from elsewhere, fonts neither:
FONTS = ["system-ui", "sans-serif"]
# Pages take the width of their screen, pictures of a table keep to their row, and figures are drawn
# for so many inches: on a narrow screen, they are scrolled rather than too small to read.
STYLE = """.gradio-container { width: 100%; max-width: 1200px !important; margin: 0 auto; }
[role=gridcell] img { max-height: 2.5rem; max-width: 4rem; object-fit: contain; }
.figure { overflow-x: auto !important; }
.figure img { width: 100%; min-width: 26rem; max-width: 44rem; margin: 0 auto; }
.headline textarea { border: 0 !important; padding: 0 !important; box-shadow: none !important;
  background: none !important; font-size: 1.4rem; font-weight: 600; }"""


def make_app(explorers: Mapping[str, Explorer], decisions: Decisions | None = None) -> Any:
    r"""Returns the pages of one or several models of the same graph by name, as Gradio's
    :obj:`Blocks`: look, ask, compare and, with a place for :obj:`decisions`, review. Names and
    texts of the graph only go to components that show them as they are. Needs :obj:`gradio`
    (:obj:`pip install "torch_imf[serve]"`).

    Args:
        explorers (dict[str, Explorer]): What is shown of each model. The first one is looked at and
            reviewed.
        decisions (Decisions, optional): Where decisions are kept. (default: :obj:`None`)

    Raises:
        ValueError: If the models are of different graphs.
    """
    require("gradio", "Pages", "serve")
    import gradio as gr

    first, *others = explorers.values()
    for name, other in zip(list(explorers)[1:], others, strict=True):
        for kind in ("nodes", "relations"):
            if getattr(other.predictor, kind).ids != getattr(first.predictor, kind).ids:
                raise ValueError(f"'{name}' is of another graph than '{next(iter(explorers))}'")
    sizes = len(first.labels), len(first.rel_labels), first.edges.size(1)
    with gr.Blocks(title="torch_imf", analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.Markdown("### {:,} entities, {:,} relations, {:,} facts".format(*sizes))
        with gr.Tab("Look"):
            look_page(first)
        with gr.Tab("Ask"):
            ask_page(explorers)
        if decisions is not None:
            with gr.Tab("Review"):
                review_page(first, decisions)
        with gr.Tab("Compare"):
            compare_page(explorers)
        add_api(first)
    return app.queue(default_concurrency_limit=AT_ONCE)


def add_api(explorer: Explorer) -> None:
    r"""Adds what programs may call over HTTP, as `gradio_client` does."""
    import gradio as gr

    predictor = explorer.predictor

    def check_names(**names: object) -> None:
        # Gradio passes on whatever it is sent, and a description of an entity may name files.
        for what, name in names.items():
            if not isinstance(name, str):
                raise ValueError(f"'{what}' needs to be a text (got {name!r})")

    @told
    def search(text: str) -> list[str]:
        check_names(text=text)
        return [explorer.labels[row] for row in explorer.search(text)]

    @told
    def predict(entity: str, relation: str, asks_tail: bool, k: int) -> list[dict]:
        check_names(entity=entity, relation=relation)
        if not isinstance(k, int):
            raise ValueError(f"'k' needs to be a whole number (got {k!r})")
        side: Any = {"head" if asks_tail else "tail": entity}
        answers = predictor.predict(relation=relation, k=min(max(k, 1), 100), **side)
        return [{**vars(x), "lacks": list(x.lacks)} for x in answers]

    @told
    def explain(head: str, relation: str, tail: str) -> str:
        check_names(head=head, relation=relation, tail=tail)
        return in_words(predictor.explain(head, relation, tail))

    for function in (search, predict, explain):
        gr.api(function, api_name=function.__name__)


def launch(app: Any, host: str, port: int | None, auth: tuple[str, str] | None = None) -> str:
    r"""Serves pages in the background, and returns their address. Nothing of the environment makes
    them public, and no file but what they have made or been given is served.
    """
    import gradio as gr

    theme = gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=FONTS)
    safe: dict[str, Any] = {"share": False, "allowed_paths": [], "max_file_size": MAX_UPLOAD}
    safe |= {"enable_monitoring": False, "ssr_mode": False, "mcp_server": False, "pwa": False}
    look: dict[str, Any] = {"theme": theme, "css": STYLE, "js": SCRIPT, "footer_links": ["api"]}
    where: dict[str, Any] = {"server_name": host, "server_port": port, "auth": auth}
    rest = {"prevent_thread_lock": True, "quiet": True, "state_session_capacity": SESSIONS}
    rest |= {"_frontend": False}  # Or Gradio gives up where the first page takes three seconds.
    return app.launch(**where, **safe, **look, **rest)[1]
