r"""The command that shows saved models in a browser."""

import ipaddress
import os
import os.path as osp
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from torch_imf.cli.command import Output, say
from torch_imf.cli.inputs import Graph, Saved
from torch_imf.io import require, warn

if TYPE_CHECKING:
    from torch_imf.datasets import KGDataset

DECISIONS = "decisions.jsonl"


def serve(
    saved: Saved,
    *,
    beside: Annotated[Sequence[str], "further runs on the same graph, to compare"] = (),
    content: Annotated[
        str | None,
        "where texts, images and numbers are, which a model does not keep: the dataset or folder "
        "that it was trained on (default: what comes with the package)",
    ] = None,
    root: Annotated[str | None, "folder of that dataset (default: data/<dataset>)"] = None,
    images: Annotated[str | None, "a folder of images, <entity>.png or <entity>/<any>.jpg"] = None,
    review: Annotated[bool, "let visitors accept and refuse missing facts"] = False,
    decisions: Annotated[
        str | None, "the file that keeps their decisions (default: <run>/decisions.jsonl)"
    ] = None,
    host: Annotated[str, "the address to serve at"] = "127.0.0.1",
    port: Annotated[int | None, "the port (default: the first free one from 7860 on)"] = None,
    auth: Annotated[str | None, "user:password to ask visitors for"] = None,
) -> Output:
    r"""Shows a saved model in a browser: look at entities, ask, see why, compare, review.

    The pages are served to this machine only, and nobody can change anything but what '--review'
    keeps. Ctrl-C ends it.

    Examples:
      torch-imf serve runs/first
      torch-imf serve runs/first --content my_graph/ --beside runs/second --review
    """
    require("gradio", "Pages", "serve")
    require("matplotlib", "Pages", "serve")
    login = read_auth(auth)
    if decisions is not None and not review:
        raise ValueError("'--decisions' needs '--review'")
    if not is_local(host):
        open_to = "whoever knows the password" if login else "everybody, as no '--auth' is given"
        warn(f"At '{host}', other machines reach these pages: they are open to {open_to}")
    # What pages make is kept in a folder of this process, and no other is served:
    with tempfile.TemporaryDirectory(prefix="torch_imf-serve-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from torch_imf.serve import Decisions, make_app
        from torch_imf.serve.app import launch

        kept = decisions or osp.join(saved.run, DECISIONS)
        explorers = open_runs(saved, beside, content, root, images)
        app = make_app(explorers, Decisions(kept) if review else None)
        try:
            address = launch(app, host, port, login)
            say(f"Open {address} in a browser. Ctrl-C ends it.")
            if review:
                say(f"Decisions are kept in '{kept}'")
            app.block_thread()
        finally:
            app.close(verbose=False)
    return Output("Ended", {"address": address, "decisions": kept if review else None})


def open_runs(
    saved: Saved,
    beside: Sequence[str] = (),
    content: str | None = None,
    root: str | None = None,
    images: str | None = None,
) -> dict[str, Any]:
    r"""Returns what there is to show of each run, by the name of its folder."""
    from torch_imf.data import NameIndex
    from torch_imf.hub import read_config
    from torch_imf.serve import Content, Explorer

    out: dict[str, Any] = {}
    shown = None
    for run in (saved.run, *beside):
        one = Saved(run, classes=saved.classes, device=saved.device, threads=saved.threads)
        predictor = one.predictor(features=False)  # To be asked about new entities, too.
        if shown is None:
            ids, dataset = predictor.nodes.ids, find_content(one, content, root)
            shown = Content(ids) if dataset is None else Content.of_dataset(ids, dataset)
            if images is not None:
                shown.add_folder(images, NameIndex(ids))
            if dataset is None:
                what = "texts and numbers" if images else "texts, images and numbers"
                say(
                    f"A model does not keep {what}, and pages are without. '--content' names the "
                    f"dataset or folder that it was trained on"
                )
            elif not set(dataset[0].node_ids) & set(ids):
                raise ValueError(f"'{content}' has no entity of the model in '{saved.run}'")
        try:
            history = one.history()
        except ValueError:  # A model that was saved by hand.
            history = []
        name = osp.basename(osp.abspath(run)) if run not in out else run
        name = run if name in out else name
        metrics = (read_config(one.folder).get("metrics") or {}).get("test")
        out[name] = Explorer(predictor, shown, metrics, history)
    return out


def find_content(saved: Saved, content: str | None, root: str | None) -> "KGDataset | None":
    r"""Returns the dataset that a model was trained on, if it is named. What is written in a run
    opens no file, but tells whether its dataset comes with this package.
    """
    trained_on = str(saved.training.get("dataset", ""))
    if content is None and trained_on.startswith("Countries("):
        content = "countries"
    return None if content is None else Graph(content, root=root, strict=False).read()


def read_auth(auth: str | None) -> tuple[str, str] | None:
    r"""Reads a name and a password."""
    if auth is None:
        return None
    user, _, password = auth.partition(":")
    if not (user and password):
        raise ValueError("'--auth' needs to be a name and a password, as in 'user:password'")
    return user, password


def is_local(host: str) -> bool:
    r"""Tells whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
