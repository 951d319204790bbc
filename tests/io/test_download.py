import hashlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
import torch

from torch_imf.datasets import KGDataset
from torch_imf.datasets.base import Record
from torch_imf.io import download as module
from torch_imf.io.atomic import read_bytes, replacing
from torch_imf.io.download import RawFile, download, mirror, mismatch, retrieve

CONTENT = b"head\trelation\ttail\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = hashlib.sha1(b"blob 1900\0" + CONTENT).hexdigest()
NAME = "Set/source/facts.txt"
HALF = len(CONTENT) // 2


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
        if kind != "endless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        broken = kind in ("short", "endless", "stalls")
        broken |= kind == "flaky" and len(self.requests) == 1
        once = kind == "once" and not self.over.is_set()
        self.wfile.write(CONTENT[:HALF] if broken or once else CONTENT)
        if kind == "stalls" or once:
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
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    Handler.requests.clear()
    Handler.over.clear()
    yield
    Handler.over.set()


def raw_file(url=None, checksum=SHA256):
    return RawFile(NAME, checksum, url)


@pytest.mark.parametrize("checksum", [SHA256, GIT])
def test_download_upstream(server, tmp_path, capsys, checksum):
    file = raw_file(f"{server}/facts.txt", checksum)
    path = download(file, str(tmp_path / "raw"))
    assert path == str(tmp_path / "raw" / "source" / "facts.txt")
    assert (tmp_path / "raw" / "source" / "facts.txt").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "raw" / "source") == ["facts.txt"]
    assert capsys.readouterr() == ("", f"Downloading {server}/facts.txt\n")

    # A sound file is kept:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert download(file, str(tmp_path / "raw")) == path
    assert len(Handler.requests) == 1


def test_download_to_memory(server):
    folder = f"memory://{uuid4().hex}/raw"
    file = raw_file(f"{server}/facts.txt")
    path = download(file, folder)
    assert path == f"{folder}/source/facts.txt"
    assert read_bytes(path) == CONTENT
    download(file, folder)
    assert len(Handler.requests) == 1

    with replacing(path) as other:
        other.write(b"half")
    with pytest.warns(UserWarning, match=f"'{path}' is damaged"):
        download(file, folder)
    assert read_bytes(path) == CONTENT


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_download_mirror_folder(server, tmp_path, monkeypatch, scheme):
    source = tmp_path / "mi rror" / "Set" / "source"
    source.mkdir(parents=True)
    (source / "facts.txt").write_bytes(CONTENT)
    base = (tmp_path / "mi rror").as_uri() if scheme else str(tmp_path / "mi rror")
    monkeypatch.setenv("TORCH_IMF_MIRROR", base)

    file, folder = raw_file(f"{server}/facts.txt"), str(tmp_path / "raw")
    path = download(file, folder)
    assert open(path, "rb").read() == CONTENT
    assert Handler.requests == []

    # What the mirror lacks or has wrong comes from upstream:
    (source / "facts.txt").write_bytes(CONTENT[:-1])
    os.remove(path)
    download(file, folder)
    (source / "facts.txt").unlink()
    os.remove(path)
    download(file, folder)
    assert open(path, "rb").read() == CONTENT
    assert len(Handler.requests) == 2


def test_download_mirror_url(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_IMF_MIRROR", f"{server}/base/")
    download(raw_file(), str(tmp_path))
    assert Handler.requests == ["/base/Set/source/facts.txt"]


def test_mirror(tmp_path, monkeypatch):
    assert mirror("a") is None
    monkeypatch.setenv("TORCH_IMF_MIRROR", "")
    assert mirror("a") is None
    monkeypatch.setenv("TORCH_IMF_MIRROR", "/data/")
    assert mirror("a/b.txt") == "file:///data/a/b.txt"
    monkeypatch.setenv("TORCH_IMF_MIRROR", "https://host/data/")
    assert mirror("a/b.txt") == "https://host/data/a/b.txt"

    # As files may be called:
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path))
    for name in ["a b.png", "100%25.png", "C#?.png", "Côte_d'Ivoire.png"]:
        (tmp_path / name).write_bytes(name.encode())
        assert retrieve(mirror(name), checksum=None) == name.encode()


def test_a_folder_that_cannot_be_written_is_no_missing_source(server, tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(OSError, match="raw"):
        download(raw_file(f"{server}/facts.txt"), str(tmp_path / "raw"))


@pytest.mark.parametrize("checksum", [SHA256, GIT])
def test_download_damaged_file_is_replaced(server, tmp_path, checksum):
    path = tmp_path / "source" / "facts.txt"
    path.parent.mkdir()
    path.write_bytes(CONTENT[:7])
    with pytest.warns(UserWarning, match="facts.txt' is damaged .* fetched anew"):
        download(raw_file(f"{server}/facts.txt", checksum), str(tmp_path))
    assert path.read_bytes() == CONTENT

    # Unless there is no other copy, and then it is left as it was:
    path.write_bytes(CONTENT[:7])
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="404"):
        download(raw_file(f"{server}/404", checksum), str(tmp_path))
    assert path.read_bytes() == CONTENT[:7]
    assert os.listdir(path.parent) == ["facts.txt"]


@pytest.mark.parametrize(
    "path, checksum, reason",
    [
        ("404", SHA256, "404 Client Error"),
        ("503", SHA256, "503 Server Error"),
        ("short", SHA256, "IncompleteRead|broken"),
        ("stalls", SHA256, "timed out"),
        ("silent", SHA256, "timed out"),
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


def test_download_without_network(tmp_path):
    url = "http://127.0.0.1:9/facts.txt"  # Nobody listens there.
    with pytest.raises(RuntimeError, match=f"Please download 'facts.txt' from '{url}'"):
        download(raw_file(url), str(tmp_path))
    with pytest.raises(RuntimeError, match="TORCH_IMF_MIRROR is not set") as error:
        download(raw_file(), str(tmp_path))
    assert f"from '$TORCH_IMF_MIRROR/{NAME}'" in str(error.value)
    with pytest.raises(RuntimeError, match="'facts.txt' from 'the archive of somebody'"):
        download(RawFile(NAME, SHA256, by_hand="the archive of somebody"), str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_download_names_all_sources(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path))
    with pytest.raises(RuntimeError) as error:
        download(raw_file(f"{server}/404"), str(tmp_path / "raw"))
    assert f"({tmp_path.as_uri()}/{NAME}: " in str(error.value)
    assert f"; {server}/404: 404 Client Error" in str(error.value)


def test_mismatch():
    assert mismatch(CONTENT, SHA256) is None
    assert mismatch(CONTENT, GIT) is None
    # What `git hash-object` says of an empty file and of one line:
    assert mismatch(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391") is None
    assert mismatch(b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37") is None
    assert mismatch(b"", SHA256).startswith("has the SHA-256 e3b0c44298fc1c14")
    assert mismatch(CONTENT[1:], GIT).endswith(f" rather than {GIT}")


def test_another_try(server, tmp_path):
    download(raw_file(f"{server}/flaky"), str(tmp_path))
    assert Handler.requests == ["/flaky"] * 2


class Set(KGDataset):
    """A graph whose file is fetched first."""

    modalities = ()

    def read(self):
        (path,) = self.raw.fetch("facts")
        assert os.path.getsize(path) == len(CONTENT)
        triples = [torch.tensor([[i], [0], [1 - i]]) for i in (0, 1, 0)]
        return Record(triples, ["a", "b"], ["r"])


def test_killed_downloads(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 20)
    monkeypatch.setattr(Set, "files", {"facts": [[raw_file(f"{server}/once")]]})
    root = str(tmp_path / "data")
    process = multiprocessing.get_context("fork").Process(target=Set, args=(root,))
    process.start()
    end = time.monotonic() + 20
    while not Handler.requests and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert not os.path.exists(f"{root}/raw") and not os.path.exists(f"{root}/processed")

    Handler.over.set()
    Set(root)
    assert (tmp_path / "data" / "raw" / "source" / "facts.txt").read_bytes() == CONTENT
