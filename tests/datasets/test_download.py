import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from torch_imf.datasets.download import download, mirror

CONTENT = b"head\trelation\ttail\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "Set/source/facts.txt"


class Handler(BaseHTTPRequestHandler):
    requests: list[str] = []

    def do_GET(self):
        self.requests.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        if "endless" not in self.path:
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        short = "truncated" in self.path or "endless" in self.path
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if short else CONTENT)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    Handler.requests.clear()


def test_download_upstream(server, tmp_path):
    path = download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path / "raw"))
    assert path == str(tmp_path / "raw" / "facts.txt")
    assert (tmp_path / "raw" / "facts.txt").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "raw") == ["facts.txt"]

    # A sound file is kept:
    download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path / "raw"))
    assert len(Handler.requests) == 1


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_download_mirror_folder(server, tmp_path, monkeypatch, scheme):
    source = tmp_path / "mi rror" / "Set" / "source"
    source.mkdir(parents=True)
    (source / "facts.txt").write_bytes(CONTENT)
    base = (tmp_path / "mi rror").as_uri() if scheme else str(tmp_path / "mi rror")
    monkeypatch.setenv("TORCH_IMF_MIRROR", base)

    path = download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path / "raw"))
    assert open(path, "rb").read() == CONTENT
    assert Handler.requests == []

    # What the mirror lacks or has wrong comes from upstream:
    (source / "facts.txt").write_bytes(CONTENT[:-1])
    os.remove(path)
    download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path / "raw"))
    (source / "facts.txt").unlink()
    os.remove(path)
    download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path / "raw"))
    assert open(path, "rb").read() == CONTENT
    assert len(Handler.requests) == 2


def test_download_mirror_url(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_IMF_MIRROR", f"{server}/base/")
    download(FILE, None, SHA256, str(tmp_path))
    assert Handler.requests == ["/base/Set/source/facts.txt"]


def test_mirror(monkeypatch):
    assert mirror("a") is None
    monkeypatch.setenv("TORCH_IMF_MIRROR", "")
    assert mirror("a") is None
    monkeypatch.setenv("TORCH_IMF_MIRROR", "/data/")
    assert mirror("a/b.txt") == "file:///data/a/b.txt"


def test_download_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "facts.txt").write_bytes(CONTENT[:7])
    with pytest.warns(UserWarning, match="facts.txt' is damaged .* fetched anew"):
        download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path))
    assert (tmp_path / "facts.txt").read_bytes() == CONTENT

    # Unless there is no other copy, and then it is left as it was:
    (tmp_path / "facts.txt").write_bytes(CONTENT[:7])
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="404"):
        download(FILE, f"{server}/missing", SHA256, str(tmp_path))
    assert (tmp_path / "facts.txt").read_bytes() == CONTENT[:7]
    assert os.listdir(tmp_path) == ["facts.txt"]


@pytest.mark.parametrize(
    "path, sha256, reason",
    [
        ("missing", SHA256, "404"),
        ("truncated", SHA256, "broke off after 950 of 1900 bytes|IncompleteRead"),
        ("endless", SHA256, "has the SHA-256"),
        ("facts.txt", "0" * 64, f"has the SHA-256 {SHA256} rather than 0000"),
    ],
)
def test_download_leaves_nothing_behind(server, tmp_path, path, sha256, reason):
    with pytest.raises(RuntimeError, match=reason) as error:
        download(FILE, f"{server}/{path}", sha256, str(tmp_path))
    assert (
        f"Dataset not found. Please download 'facts.txt' from '{server}/{path}' and move it to "
        f"'{tmp_path}'"
    ) in str(error.value)
    assert os.listdir(tmp_path) == []


def test_download_without_network(tmp_path):
    url = "http://127.0.0.1:9/facts.txt"  # Nobody listens there.
    with pytest.raises(RuntimeError, match=f"Please download 'facts.txt' from '{url}'"):
        download(FILE, url, SHA256, str(tmp_path))
    with pytest.raises(RuntimeError, match="TORCH_IMF_MIRROR is not set"):
        download(FILE, None, SHA256, str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_download_interrupted(server, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path))
    assert os.listdir(tmp_path) == []
    download(FILE, f"{server}/facts.txt", SHA256, str(tmp_path))
    assert os.listdir(tmp_path) == ["facts.txt"]
