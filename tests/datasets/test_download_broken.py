import hashlib
import multiprocessing
import os
import signal
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from torch_imf.datasets import KGDataset
from torch_imf.datasets import download as module
from torch_imf.datasets.download import download
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.sources import RawFile

CONTENT = b"head\trelation\ttail\n" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Sends half of a file, and then does what the address says."""

    def do_GET(self):
        self.server.requests.append(self.path)
        kind = self.path.strip("/")
        if kind.isdigit():
            self.send_error(int(kind))
            return
        if kind == "silent":
            self.server.over.wait(20)
            return
        self.send_response(200)
        if kind == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ff\r\n" + CONTENT[:100])
            return
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if kind == "whole" else CONTENT[:HALF])
        if kind == "stalls":
            self.server.over.wait(20)
        elif kind == "once" and not self.server.over.is_set():
            self.server.over.wait(20)
        elif kind == "once":
            self.wfile.write(CONTENT[HALF:])
        elif kind == "reset":  # Without a proper end of the connection.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None
    server.requests, server.over = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def raw_file(server, path):
    return RawFile("Set/source/facts.txt", SHA256, f"{server.url}/{path}")


@pytest.mark.parametrize(
    "path, reason",
    [
        ("stalls", r"has sent nothing for 0\.2 seconds, try again later"),
        ("silent", r"has sent nothing for 0\.2 seconds, try again later"),
        ("short", f"broke off after {HALF} of {len(CONTENT)} bytes, try again"),
        ("chunks", r"broke off after \d+ bytes, try again"),
        ("reset", "Connection reset by peer|broke off after"),
        ("404", "HTTP Error 404: Not Found"),
        ("503", "HTTP Error 503: Service Unavailable"),
    ],
)
def test_broken_transfers(server, tmp_path, monkeypatch, path, reason):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with pytest.raises(RuntimeError, match=reason) as error:
        download(raw_file(server, path), str(tmp_path))
    assert f"Please download 'facts.txt' from '{server.url}/{path}' and move it to '" in str(
        error.value
    )
    assert os.listdir(tmp_path) == []
    download(raw_file(server, "whole"), str(tmp_path))
    assert (tmp_path / "source" / "facts.txt").read_bytes() == CONTENT


class Set(KGDataset):
    """A graph whose file is fetched first."""

    modalities = ()

    def read(self):
        (path,) = self.raw.fetch("facts")
        assert os.path.getsize(path) == len(CONTENT)
        triples = [torch.tensor([[i], [0], [1 - i]]) for i in (0, 1, 0)]
        return build_graph(triples, ["a", "b"], ["a", "b"], ["r"])


def test_killed_downloads(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Set, "files", {"facts": [[raw_file(server, "once")]]})
    root = str(tmp_path / "data")
    process = multiprocessing.get_context("fork").Process(target=Set, args=(root,))
    process.start()
    end = time.monotonic() + 10
    while not server.requests and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.1)  # Half of it has been sent.
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert not os.path.exists(f"{root}/raw") and not os.path.exists(f"{root}/processed")

    server.over.set()
    Set(root)
    assert (tmp_path / "data" / "raw" / "source" / "facts.txt").read_bytes() == CONTENT
    assert server.requests == ["/once"] * 2
