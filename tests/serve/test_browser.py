# The pages in a browser, if there are Playwright and Chromium: every page on a wide and a narrow
# screen, by keyboard, with names and texts that are markup.
import os.path as osp
import re

import pytest

from torch_imf.serve import Decisions, make_app
from torch_imf.serve.app import launch

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = "/usr/bin/chromium"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not osp.exists(CHROMIUM), reason="needs Chromium"),
]
PATIENCE = 120_000  # Milliseconds, as machines may be busy.


@pytest.fixture(scope="module")
def decisions(tmp_path_factory):
    return Decisions(tmp_path_factory.mktemp("decisions") / "decisions.jsonl")


@pytest.fixture(scope="module")
def address(explorer, decisions, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("made")))
        app = make_app({"first": explorer, "second": explorer}, decisions)
        yield launch(app, "127.0.0.1", None)
        app.close(verbose=False)


@pytest.fixture(scope="module")
def browser():
    args = ["--no-sandbox", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=args)


@pytest.fixture(params=[1280, 390])
def page(browser, address, request):
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.set_default_timeout(PATIENCE)
    sync_api.expect.set_options(timeout=PATIENCE)
    urls: list[str] = []
    page.on("request", lambda x: urls.append(x.url))
    page.goto(address)
    yield page
    assert page.evaluate("window.hacked") is None, "markup was run"
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    others = [x for x in urls if not x.startswith((address, "data:", "blob:"))]
    assert not others, "something was fetched from elsewhere"
    page.close()


def tab_to(page, target):
    # Moves the focus as people do who have no mouse.
    for _ in range(80):
        if target.evaluate("x => x === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"No key leads to {target}")


def open_page(page, name):
    tab = page.get_by_role("tab", name=name)
    tab.focus()
    page.keyboard.press("Enter")
    sync_api.expect(tab).to_have_attribute("aria-selected", "true")


def test_look(page, explorer):
    box = page.get_by_label("Search an entity")
    tab_to(page, box)
    page.keyboard.type("<img")
    sync_api.expect(page.get_by_label("Name (node:0)")).to_have_value(explorer.labels[0])
    sync_api.expect(page.get_by_label("Text", exact=True)).to_have_value(
        re.compile("A place, <img")
    )
    tab_to(page, page.get_by_role("radio", name=explorer.labels[0]).first)
    near = [explorer.labels[x] for x, *_ in explorer.neighbors(0)]
    tab_to(page, page.get_by_role("radio", name=near[0], exact=True).last)
    page.keyboard.press("Space")
    row = explorer.neighbors(0)[0][0]
    sync_api.expect(page.get_by_label(f"Name (node:{row})")).to_have_value(explorer.labels[row])


def test_ask(page, explorer):
    open_page(page, "Ask")
    tab_to(page, page.get_by_role("textbox", name="Entity", exact=True))
    page.keyboard.type("<script")
    found = page.get_by_role("radio", name=explorer.labels[1], exact=True)
    sync_api.expect(found.locator("visible=true")).to_be_checked()
    tab_to(page, page.get_by_role("button", name="Ask", exact=True))
    page.keyboard.press("Enter")
    sync_api.expect(page.get_by_role("radio", name=re.compile(r"^1\. "))).to_be_visible()
    tab_to(page, page.get_by_role("radio", name=re.compile(r"^1\. ")))
    page.keyboard.press("Space")
    sync_api.expect(page.get_by_label("Why", exact=True)).to_have_value(
        re.compile("The model gives it")
    )


def test_review(page, decisions):
    before = len(decisions.entries())
    open_page(page, "Review")
    name = f"ann {page.viewport_size['width']}"
    tab_to(page, page.get_by_label("Your name"))
    page.keyboard.type(name)
    tab_to(page, page.get_by_role("button", name="Find missing facts"))
    page.keyboard.press("Enter")
    for i, key in enumerate("aru", start=1):
        label = page.get_by_label(re.compile(rf"Is this true\? \({i} of"))
        sync_api.expect(label).to_be_visible()
        page.keyboard.press(key)
    sync_api.expect(page.get_by_label(re.compile(r"Is this true\? \(4 of"))).to_be_visible()
    found = decisions.entries()[before:]
    assert [x["decision"] for x in found] == ["accept", "refuse", "unsure"]
    assert {x["reviewer"] for x in found} == {name}


def test_compare(page):
    open_page(page, "Compare")
    sync_api.expect(page.get_by_text("0.500").locator("visible=true").first).to_be_visible()
    tab_to(page, page.get_by_role("button", name=re.compile("Rank the test facts")))
    page.keyboard.press("Enter")
    sync_api.expect(page.get_by_text("Cold start").locator("visible=true")).to_be_visible()
