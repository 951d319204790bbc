"""Draws the screenshot of the explorer: a question about the bundled `Countries`, and its answers,
by Playwright and Chromium.

    torch-imf train countries --out runs/first
    python docs/make_screens.py runs/first
"""

import argparse
import os
import os.path as osp
import re
import tempfile

from PIL import Image
from playwright.sync_api import sync_playwright

from torch_imf.cli.inputs import Saved
from torch_imf.cli.serve import open_runs
from torch_imf.serve import make_app
from torch_imf.serve.app import launch

FOLDER = osp.dirname(osp.realpath(__file__))
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("run", help="the folder that 'torch-imf train countries' has written")
parser.add_argument("--out", default=osp.join(FOLDER, "_static", "figures", "explorer.png"))
parser.add_argument("--entity", default="Argentina")
parser.add_argument("--chromium", default="/usr/bin/chromium")
args = parser.parse_args()

os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp()
app = make_app(open_runs(Saved(args.run)))
address = launch(app, "127.0.0.1", None)
with sync_playwright() as playwright:
    options = ["--no-sandbox", "--disable-background-networking"]
    browser = playwright.chromium.launch(executable_path=args.chromium, args=options)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_default_timeout(180_000)
    page.goto(address)
    page.get_by_role("tab", name="Ask").click()
    page.get_by_role("textbox", name="Entity", exact=True).press_sequentially(args.entity)
    page.get_by_role("radio", name=args.entity, exact=True).locator("visible=true").wait_for()
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("radio", name=re.compile(r"^1\. ")).wait_for()
    page.wait_for_timeout(2000)
    page.screenshot(path=args.out, full_page=True)
app.close(verbose=False)
# Few colours are enough, and a small file:
Image.open(args.out).convert("RGB").quantize(128).save(args.out, optimize=True)
print(args.out, f"{osp.getsize(args.out):,} bytes")
