import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import torch_imf

SOURCE = Path(__file__).parent.parent / "docs" / "source"


def exported() -> list[object]:
    rooms = ("data", "datasets", "encoders", "nn", "sampler", "serve", "transforms")
    rooms += ("visualize",)
    parts = ("functional", "fusion", "losses", "models", "scorer", "structural", "views")
    names = [*rooms, *(f"nn.{name}" for name in parts)]
    packages = [torch_imf, *(importlib.import_module(f"torch_imf.{name}") for name in names)]
    objects = [getattr(package, name) for package in packages for name in package.__all__]
    return [x for x in objects if inspect.isclass(x) or inspect.isroutine(x)]


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    # One build for all tests of this file; warnings, such as broken references, are errors.
    pytest.importorskip("sphinx_rtd_theme")
    out = tmp_path_factory.mktemp("html")
    args = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-d", str(out / "trees")]
    command = [sys.executable, "-W", "ignore", "-m", "sphinx", *args, str(SOURCE), str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out


def test_html(html):
    for folder in ("tutorial", "api"):
        pages = {path.stem for path in (SOURCE / folder).glob("*.rst")}
        assert pages == {path.stem for path in (html / folder).glob("*.html")}
    changelog = (html / "changelog.html").read_text()
    assert "<h1>Changelog" in changelog and "**" not in changelog


def test_every_public_name_has_a_page(html):
    pages = {path.stem for path in (html / "generated").glob("*.html")}
    objects = set()
    for page in pages:
        package, name = page.rsplit(".", 1)
        objects.add(getattr(importlib.import_module(package), name))
        # On its own page with a signature, and in a table of the API:
        assert f'id="{page}"' in (html / "generated" / f"{page}.html").read_text()
    missing = [x for x in exported() if x not in objects]
    assert not missing, f"{missing} are exported, but on no page of docs/source/api"
    tables = "".join(path.read_text() for path in (html / "api").glob("*.html"))
    assert all(f"generated/{page}.html" in tables for page in pages)


def test_pages_need_no_network(html):
    for path in html.rglob("*.html"):
        used = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]+)"', path.read_text()
        )
        assert not used, f"{path.name} fetches {used}"
    page = (html / "generated" / "torch_imf.nn.IMFFusion.html").read_text()
    assert page.count("<math") > 5 and "\\mathbf" not in page


@pytest.mark.parametrize("words", ["gpu", "several gpus", "new entities"])
def test_search(html, words):
    # Titles are what a search looks into first.
    index = json.loads((html / "searchindex.js").read_text().partition("(")[2].rstrip(")"))
    titles = [title.lower() for title in index["alltitles"]]
    assert any(words in title for title in titles), titles


def test_local_links(html):
    # Every link within the pages leads somewhere, anchors included.
    for path in html.rglob("*.html"):
        if "_modules" in path.parts:
            continue
        for link in set(re.findall(r'<a [^>]*href="([^"]+)"', path.read_text())):
            if re.match(r"\w+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path.name} links to {link}"
            if anchor and target.suffix == ".html":
                assert f'id="{anchor}"' in target.read_text(), f"{path.name} links to {link}"
