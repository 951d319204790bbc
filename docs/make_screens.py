"""Draws screenshots of the explorer by Playwright and Chromium: an entity, a question and its
answers, why the first one is given, a fact to review, and ranks by what is asked.

    torch-imf train countries --out runs/first
    python docs/make_screens.py runs/first --entity Argentina --relation borders

    torch-imf train openmoji --root data/OpenMoji --out runs/emoji
    python docs/make_screens.py runs/emoji --content openmoji --root data/OpenMoji \
        --entity "grinning face" --pages look review compare --relation has_tag
    python docs/make_screens.py runs/emoji --content openmoji --root data/OpenMoji \
        --entity "head shaking horizontally" --pages ask why --relation has_part
"""

import argparse
import os
import os.path as osp
import re
import tempfile

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from torch_imf.cli.inputs import Saved
from torch_imf.cli.serve import open_runs
from torch_imf.serve import Decisions, make_app
from torch_imf.serve.app import launch

FOLDER = osp.dirname(osp.realpath(__file__))
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("run", help="the folder that 'torch-imf train' has written")
parser.add_argument("--content", help="as for 'torch-imf serve'")
parser.add_argument("--root", help="as for 'torch-imf serve'")
parser.add_argument("--entity", default="Argentina")
parser.add_argument("--relation", default="borders")
parser.add_argument("--pages", nargs="+", default=["look", "ask", "why", "review"])
parser.add_argument("--out", default=osp.join(FOLDER, "_static", "figures"))
parser.add_argument("--chromium", default="/usr/bin/chromium")
args = parser.parse_args()


def shoot(page: Page, name: str, height: int) -> None:
    if name not in args.pages:
        return
    page.wait_for_timeout(2000)  # Until all of it is drawn.
    stem = args.content or "countries"
    path = osp.join(args.out, f"explorer-{stem}-{name}.png")
    page.mouse.click(5, 5)  # No focus is shown.
    page.set_viewport_size({"width": 1100, "height": height})
    page.screenshot(path=path)
    # Few colours are enough, and a small file:
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
    print(path, f"{osp.getsize(path):,} bytes")


with tempfile.TemporaryDirectory() as folder:
    os.environ["GRADIO_TEMP_DIR"] = folder
    explorers = open_runs(Saved(args.run), (), args.content, args.root)
    app = make_app(explorers, Decisions(osp.join(folder, "decisions.jsonl")))
    address = launch(app, "127.0.0.1", None)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=args.chromium, args=options)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(address, wait_until="commit")

        page.get_by_text("Name (").wait_for()  # Of who the page begins with.
        page.get_by_label("Search an entity").press_sequentially(args.entity)
        found = page.get_by_role("radio", name=args.entity, exact=True).locator("visible=true")
        found.wait_for()
        shoot(page, "look", 940)

        page.get_by_role("tab", name="Ask").click()
        page.get_by_role("textbox", name="Entity", exact=True).press_sequentially(args.entity)
        found.wait_for()
        page.wait_for_timeout(2000)  # Until its relations are there.
        page.get_by_label("Relation", exact=True).click()
        page.get_by_role("option", name=args.relation, exact=True).click()
        page.get_by_role("button", name="Ask", exact=True).click()
        first = page.get_by_role("radio", name=re.compile(r"^1\. "))
        first.wait_for()
        shoot(page, "ask", 900)
        first.click()
        page.get_by_label("Why", exact=True).wait_for()
        page.wait_for_timeout(1000)
        page.get_by_text("Explain an answer").evaluate("x => x.scrollIntoView()")
        shoot(page, "why", 900)

        page.get_by_role("tab", name="Review").click()
        page.get_by_label("Your name").fill("Ann")
        page.get_by_role("button", name="Find missing facts").click()
        page.get_by_label(re.compile(r"Is this true\?")).wait_for()
        shoot(page, "review", 940)

        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name=re.compile("Rank the test facts")).click()
        page.get_by_text("Cold start").locator("visible=true").wait_for()
        shoot(page, "compare", 1460)
    app.close(verbose=False)
