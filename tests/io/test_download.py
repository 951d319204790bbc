import hashlib
import os
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from torch_imf.io import download as module
from torch_imf.io.atomic import read_bytes, replacing
from torch_imf.io.download import RawFile, download, mirror, retrieve

CONTENT = b"head\trelation\ttail\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = hashlib.sha1(b"blob 1900\0" + CONTENT).hexdigest()
NAME = "Set/source/facts.txt"


class Handler(BaseHTTPRequestHandler):
    """Sends a file in the way that its address says."""

    requests: list[str] = []
    over = threading.Event()

    def do_GET(self):
        self.requests.append(self.path)
        kind = self.path.strip("/")
        if kind.isdigit():
            self.send_error(int(kind))
            return
        if kind == "silent":
            self.over.wait(20)
            return
        self.send_response(200)
        if kind not in ("endless", "stream", "slow"):
            length = 1 << 50 if kind == "huge" else len(CONTENT)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            while kind in ("stream", "slow") and not self.over.is_set():
                self.wfile.write(CONTENT if kind == "stream" else b"x")
                self.over.wait(0.0 if kind == "stream" else 0.05)
        except OSError:
            return
        broken = kind in ("short", "endless", "stalls")
        broken |= kind == "flaky" and len(self.requests) == 1
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if broken else CONTENT)
        if kind == "stalls":
            self.over.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
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
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    Handler.requests.clear()
    Handler.over.clear()
    yield
    Handler.over.set()


def raw_file(url=None, checksum=SHA256):
    return RawFile(NAME, checksum, url)


@pytest.mark.parametrize("checksum", [SHA256, GIT])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_download(server, tmp_path, capsys, checksum, place):
    folder = f"{tmp_path}/raw" if place == "disk" else f"memory://{uuid4().hex}/raw"
    file = raw_file(f"{server}/facts.txt", checksum)
    path = download(file, folder)
    assert path == f"{folder}/source/facts.txt" and read_bytes(path) == CONTENT
    assert capsys.readouterr() == ("", f"Downloading {server}/facts.txt\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert download(file, folder) == path  # A sound file is kept.
    assert len(Handler.requests) == 1

    # Another is replaced, unless there is no other copy:
    with replacing(path) as other:
        other.write(b"half")
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="404"):
        download(raw_file(f"{server}/404", checksum), folder)
    assert read_bytes(path) == b"half"
    with pytest.warns(UserWarning, match=f"'{path}' is damaged .* fetched anew"):
        download(file, folder)
    assert read_bytes(path) == CONTENT
    assert place == "memory" or os.listdir(tmp_path / "raw" / "source") == ["facts.txt"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_mirror_folder(server, tmp_path, monkeypatch, scheme):
    source = tmp_path / "mi rror" / "Set" / "source" / "facts.txt"
    source.parent.mkdir(parents=True)
    base = (tmp_path / "mi rror").as_uri() if scheme else str(tmp_path / "mi rror")
    monkeypatch.setenv("TORCH_IMF_MIRROR", base)
    # What the mirror lacks or has wrong comes from upstream:
    for i, (content, requests) in enumerate([(CONTENT, 0), (CONTENT[:-1], 1), (None, 2)]):
        source.unlink(missing_ok=True) if content is None else source.write_bytes(content)
        path = download(raw_file(f"{server}/facts.txt"), str(tmp_path / str(i)))
        assert read_bytes(path) == CONTENT and len(Handler.requests) == requests


def test_mirror(server, tmp_path, monkeypatch):
    for base, address in [
        (None, None),
        ("", None),
        ("/data/", "file:///data/a/b.txt"),
        ("https://host/data/", "https://host/data/a/b.txt"),
    ]:
        if base is not None:
            monkeypatch.setenv("TORCH_IMF_MIRROR", base)
        assert mirror("a/b.txt") == address
    monkeypatch.setenv("TORCH_IMF_MIRROR", f"{server}/base/")
    download(raw_file(), str(tmp_path))
    assert Handler.requests == ["/base/Set/source/facts.txt"]
    # As files may be called:
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path))
    for name in ["a b.png", "100%25.png", "C#?.png", "Côte_d'Ivoire.png"]:
        (tmp_path / name).write_bytes(name.encode())
        assert retrieve(mirror(name), checksum=None) == name.encode()


def test_a_folder_that_cannot_be_written_is_no_missing_source(server, tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(OSError, match="raw"):
        download(raw_file(f"{server}/facts.txt"), str(tmp_path / "raw"))


@pytest.mark.parametrize(
    "path, checksum, reason",
    [
        ("404", SHA256, "404 Client Error"),
        ("503", SHA256, "503 Server Error"),
        ("short", SHA256, "IncompleteRead|broken"),
        ("stalls", SHA256, "timed out"),
        ("silent", SHA256, "timed out"),
        ("stream", SHA256, "it sends more than 1,000,000 bytes, or too slowly"),
        ("slow", GIT, "it sends more than 1,000,000 bytes, or too slowly"),
        ("huge", SHA256, "it announces 1,125,899,906,842,624 bytes"),
        ("endless", SHA256, "does not match the known hash"),
        ("endless", GIT, "has the Git hash"),
        ("facts.txt", "0" * 64, f"expected 0000.* got {SHA256}"),
        ("facts.txt", "0" * 40, f"has the Git hash {GIT} rather than 0000"),
    ],
)
def test_download_leaves_nothing_behind(server, tmp_path, path, checksum, reason):
    with pytest.raises(RuntimeError, match=reason) as error:
        download(raw_file(f"{server}/{path}", checksum), str(tmp_path))
    assert (
        f"Dataset not found. Please download 'facts.txt' from '{server}/{path}' and move it to "
        f"'{tmp_path}/source'"
    ) in str(error.value)
    assert os.listdir(tmp_path) == []


def test_sources_are_named(server, tmp_path, monkeypatch):
    nobody = "http://127.0.0.1:9/facts.txt"  # Who listens there.
    for file, message in [
        (raw_file(nobody), f"Please download 'facts.txt' from '{nobody}'"),
        (raw_file(), rf"from '.TORCH_IMF_MIRROR/{NAME}' .*TORCH_IMF_MIRROR is not set"),
        (RawFile(NAME, SHA256, by_hand="the post"), "'facts.txt' from 'the post'"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            download(file, str(tmp_path))
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path))
    message = rf"\({tmp_path.as_uri()}/{NAME}: .*; {server}/404: 404 Client Error"
    with pytest.raises(RuntimeError, match=message):
        download(raw_file(f"{server}/404"), str(tmp_path / "raw"))
    assert os.listdir(tmp_path) == []


def test_another_try(server, tmp_path):
    download(raw_file(f"{server}/flaky"), str(tmp_path))
    assert Handler.requests == ["/flaky"] * 2
