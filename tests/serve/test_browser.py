# The pages in a browser, if there are Playwright and Chromium: every page on a wide and a narrow
# screen, by keyboard, with names and texts that are markup.
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

import pytest
from PIL import Image

from torch_imf.cli import main
from torch_imf.serve import Decisions, make_app
from torch_imf.serve.app import launch

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
# Other hosts are not even looked up:
ARGS = ["--no-sandbox", "--disable-background-networking"]
ARGS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
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
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=PATIENCE)
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)


def open_app(browser, address, width):
    r"""Opens the pages as a visitor of their own, and notes what they ask for elsewhere."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.others = []
    here = (address, "data:", "blob:")
    page.on("request", lambda x: None if x.url.startswith(here) else page.others.append(x.url))
    page.goto(address, wait_until="commit")
    name = page.get_by_label(re.compile("Name"))  # Of who the page begins with.
    sync_api.expect(name).to_be_visible()
    return page


@pytest.fixture(scope="module", params=[1280, 390])
def opened(browser, address, request):
    page = open_app(browser, address, request.param)
    yield page
    page.context.close()


@pytest.fixture
def page(opened):
    yield opened
    assert opened.evaluate("window.hacked") is None, "markup was run"
    width = opened.viewport_size["width"]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert not opened.others, "something was fetched from elsewhere"
    assert opened.get_by_test_id("toast-body").count() == 0, "there is an error message"


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


def look_at(page, typed, name, label):
    tab_to(page, page.get_by_label("Search an entity"))
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    sync_api.expect(page.get_by_label(f"Name ({name})")).to_have_value(label)


def test_look(page, explorer):
    first = explorer.first[0]  # There before anything is typed.
    name = page.get_by_label(f"Name (node:{first})")
    sync_api.expect(name).to_have_value(explorer.labels[first])
    look_at(page, "<img", "node:0", explorer.labels[0])
    text = page.get_by_label("Text", exact=True)
    sync_api.expect(text).to_have_value(re.compile("A place, <img"))
    sync_api.expect(page.get_by_text("Picture", exact=True)).to_be_visible()
    # Of a name that is pasted, too:
    page.get_by_label("Search an entity").press("Control+A")
    page.keyboard.insert_text("node:7")
    sync_api.expect(page.get_by_label("Name (node:7)")).to_have_value(explorer.labels[7])
    look_at(page, "<img", "node:0", explorer.labels[0])
    step = explorer.neighbors(0)[0]
    tab_to(page, page.get_by_role("radio", name=explorer.way(*step), exact=True))
    page.keyboard.press("Space")
    name = page.get_by_label(f"Name (node:{step[0]})")
    sync_api.expect(name).to_have_value(explorer.labels[step[0]])


def test_look_without_a_picture(page, explorer):
    open_page(page, "Look")
    for node in (5, 6):  # One is broken, and the other one gone.
        look_at(page, f"node:{node}", f"node:{node}", explorer.labels[node])
        sync_api.expect(page.get_by_text("Picture", exact=True)).not_to_be_visible()


def answer(page, number):
    return page.get_by_role("radio", name=re.compile(rf"^{number}\. "))


def test_ask(page, explorer):
    open_page(page, "Ask")
    tab_to(page, page.get_by_role("textbox", name="Entity", exact=True))
    page.keyboard.type("<script")
    found = page.get_by_role("radio", name=explorer.labels[1], exact=True)
    sync_api.expect(found.locator("visible=true")).to_be_checked()
    tab_to(page, page.get_by_role("button", name="Ask", exact=True))
    page.keyboard.press("Enter")
    sync_api.expect(answer(page, 1)).to_be_visible()
    best, *_ = explorer.ask(1, explorer.sensible(1)[0])
    sync_api.expect(answer(page, 1)).to_have_accessible_name(f"1. {explorer.labels[best.index]}")
    sync_api.expect(page.get_by_role("gridcell").locator("img").first).to_be_visible()
    sync_api.expect(page.get_by_text("All models")).to_be_visible()
    tab_to(page, answer(page, 1))
    page.keyboard.press("Space")
    why = page.get_by_label("Why", exact=True)
    sync_api.expect(why).to_have_value(re.compile("The model gives it"))


def test_ask_at_once(page, explorer):
    # Before the relations have followed, which is no question of the entity before.
    open_page(page, "Ask")
    page.get_by_role("textbox", name="Entity", exact=True).fill("")  # What another test has typed.
    row = explorer.first[-1]
    radio = page.get_by_role("radio", name=explorer.labels[row], exact=True)
    radio.locator("visible=true").click()
    page.get_by_role("button", name="Ask", exact=True).click()
    best, *_ = found = explorer.ask(row, explorer.sensible(row)[0])
    sync_api.expect(page.get_by_text(f"Answers to: {found.query}").first).to_be_visible()
    sync_api.expect(answer(page, 1)).to_have_accessible_name(f"1. {explorer.labels[best.index]}")


def test_ask_of_a_name_at_once(page, explorer):
    # Before it has been searched, which is no question of who was found before.
    open_page(page, "Ask")
    row = explorer.first[-1]
    page.get_by_role("textbox", name="Entity", exact=True).fill(explorer.labels[row])
    page.get_by_role("button", name="Ask", exact=True).click()
    found = explorer.ask(row, explorer.sensible(row)[0])
    sync_api.expect(page.get_by_text(f"Answers to: {found.query}").first).to_be_visible()


def test_ask_of_a_new_entity(page, tmp_path):
    open_page(page, "Ask")
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    button = page.get_by_role("button", name="Or an entity that the graph lacks")
    tab_to(page, button)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Its text"))
    page.keyboard.type("<b>Atlantis</b>. A place with a port.")
    with page.expect_file_chooser() as chooser:  # Listens first: a key at once may come too early.
        tab_to(page, page.get_by_role("button", name="Drop an image file here"))
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "red.png")
    sync_api.expect(page.get_by_label("Remove Image")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Ask", exact=True))
    page.keyboard.press("Enter")
    sync_api.expect(page.get_by_text("Answers to: new entity").first).to_be_visible()
    tab_to(page, answer(page, 1))
    page.keyboard.press("Space")
    why = page.get_by_label("Why", exact=True)
    sync_api.expect(why).to_have_value(re.compile("^new entity .*The graph does not hold", re.S))


def find_facts(page, name):
    open_page(page, "Review")
    tab_to(page, page.get_by_label("Your name"))
    page.keyboard.type(name)
    tab_to(page, page.get_by_role("button", name="Find missing facts"))
    page.keyboard.press("Enter")


def asked(page, number):
    return page.get_by_label(re.compile(rf"Is this true\? \({number} of"))


def test_review(page, decisions):
    before = len(decisions.entries())
    name = f"ann {page.viewport_size['width']}"
    find_facts(page, name)
    for number, key in enumerate("aru", start=1):
        sync_api.expect(asked(page, number)).to_be_visible()
        page.keyboard.press(key)
    sync_api.expect(asked(page, 4)).to_be_visible()
    page.keyboard.press("b")
    said = page.get_by_label(re.compile(r"Is this true\? \(3 of .* You said: unsure"))
    sync_api.expect(said).to_be_visible()
    page.keyboard.press("a")
    sync_api.expect(asked(page, 4)).to_be_visible()
    found = decisions.entries()[before:]
    assert [x["decision"] for x in found] == ["accept", "refuse", "accept"]
    assert {x["reviewer"] for x in found} == {name}
    sync_api.expect(page.get_by_text(re.compile("^Of .* accept")).first).to_be_visible()


def test_two_reviewers_at_once(browser, address, decisions):
    before = len(decisions.entries())
    keys = {"bob": "a", "eve": "r"}
    pages = {name: open_app(browser, address, 1280) for name in keys}
    for name, page in pages.items():
        find_facts(page, name)
    for number in (1, 2):
        for name, page in pages.items():
            sync_api.expect(asked(page, number)).to_be_visible()
            page.keyboard.press(keys[name])
    for page in pages.values():
        sync_api.expect(asked(page, 3)).to_be_visible()
        page.context.close()
    found = [(x["reviewer"], x["decision"]) for x in decisions.entries()[before:]]
    assert sorted(found) == [("bob", "accept")] * 2 + [("eve", "refuse")] * 2


def test_compare(page):
    open_page(page, "Compare")
    sync_api.expect(page.get_by_text("0.500").locator("visible=true").first).to_be_visible()
    tab_to(page, page.get_by_role("button", name=re.compile("Rank the test facts")))
    page.keyboard.press("Enter")
    sync_api.expect(page.get_by_text("Cold start").locator("visible=true")).to_be_visible()


def test_many_entities(browser, large, tmp_path, monkeypatch):
    # Of 100,000 entities, answers are there in a second, of this process, which serves the pages:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    app = make_app({"large": large})
    page = open_app(browser, launch(app, "127.0.0.1", None), 1280)
    times: dict[str, list[float]] = {"look": [], "ask": []}
    for number in range(4):
        box = page.get_by_label("Search an entity")
        box.clear()
        box.press_sequentially(f"rivr {8000 + number}"[:-1])
        page.wait_for_timeout(500)
        start = time.process_time()
        box.press(str(number))
        name = page.get_by_label(re.compile(r"Name \(Q"))
        sync_api.expect(name).to_have_value(f"River {8000 + number}")
        times["look"].append(time.process_time() - start)
    open_page(page, "Ask")
    for number in range(4):
        row = 4 * number
        box = page.get_by_role("textbox", name="Entity", exact=True)
        box.clear()
        box.press_sequentially(f"Q{row}")
        found = page.get_by_role("radio", name=large.labels[row], exact=True)
        sync_api.expect(found.locator("visible=true")).to_be_checked()
        page.wait_for_timeout(500)  # Until relations fit.
        start = time.process_time()
        page.get_by_role("button", name="Ask", exact=True).click()
        title = page.get_by_text(f"Answers to: {large.labels[row]} ")
        sync_api.expect(title.first).to_be_visible()
        times["ask"].append(time.process_time() - start)
    page.context.close()
    app.close(verbose=False)
    assert all(min(x) < 1 for x in times.values()), times


def test_session(browser, tmp_path, monkeypatch):
    r"""What people do, from an empty folder to a model that knows what they said."""
    nx, faiss = pytest.importorskip("networkx"), pytest.importorskip("faiss")

    def torch_imf(*words):
        assert main([str(word) for word in words]) == 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # Of what the pages make.
    torch_imf("new", "my_graph")
    train = ["train", "my_graph", "--epochs", 3, "--hidden-channels", 16, "--threads", 1]
    torch_imf(*train, "--out", "runs/first")
    serve = ["serve", "runs/first", "--content", "my_graph", "--review", "--threads", "1"]
    command = [sys.executable, "-m", "torch_imf", *serve]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = next(line for line in server.stderr if line.startswith("Open http"))
            page = open_app(browser, said.split()[1], 1280)
            # A question, and an explanation:
            open_page(page, "Ask")
            tab_to(page, page.get_by_role("textbox", name="Entity", exact=True))
            page.keyboard.type("europ")
            found = page.get_by_role("radio", name="Europa", exact=True)
            sync_api.expect(found.locator("visible=true")).to_be_checked()
            tab_to(page, page.get_by_role("button", name="Ask", exact=True))
            page.keyboard.press("Enter")
            sync_api.expect(page.get_by_text("Answers to: Europa ").first).to_be_visible()
            tab_to(page, answer(page, 1))
            page.keyboard.press("Space")
            why = page.get_by_label("Why", exact=True)
            sync_api.expect(why).to_have_value(re.compile("Europa.*The model gives it", re.S))
            # Ten reviewed facts:
            find_facts(page, "ann")
            for number, key in enumerate("arauraaarr", start=1):
                sync_api.expect(asked(page, number)).to_be_visible()
                page.keyboard.press(key)
            sync_api.expect(asked(page, 11)).to_be_visible()
            page.context.close()
        finally:
            server.terminate()
    decisions = Decisions("runs/first/decisions.jsonl").entries()
    said = Counter(x["decision"] for x in decisions)
    assert said == {"accept": 5, "refuse": 4, "unsure": 1}

    # A model that learns from them, in the hands of other tools:
    torch_imf(*train, "--with", "runs/first/decisions.jsonl", "--out", "runs/second")
    torch_imf("export", "runs/second", "graph", "--to", "graphml")
    graph = nx.read_graphml("graph/graph.graphml", force_multigraph=True)
    facts = {(head, x["relation"], tail) for head, tail, x in graph.edges(data=True)}
    for x in decisions:
        known = (x["head"], x["relation"], x["tail"]) in facts
        assert known == (x["decision"] == "accept")
    torch_imf("export", "runs/second", "vectors", "--to", "faiss", "--views", "fused")
    index = faiss.read_index("vectors/entities-fused.faiss")
    assert index.ntotal == len(graph)
    assert index.search(index.reconstruct_n(0, 3), 1)[1].ravel().tolist() == [0, 1, 2]
