import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from torch_imf.cli import serve as command
from torch_imf.serve import Decisions, make_app
from torch_imf.serve.app import launch

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def address(explorer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(folder / "made"))
    app = make_app({"first": explorer}, Decisions(folder / "decisions.jsonl"))
    yield launch(app, "127.0.0.1", None)
    app.close(verbose=False)
    patch.undo()


def get(url: str, data: object = None) -> str:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def call(address: str, name: str, *values: object) -> object:
    url = f"{address}gradio_api/call/{name}"
    event = json.loads(get(url, {"data": values}))["event_id"]
    answer = get(f"{url}/{event}")
    kind, _, rest = answer.partition("\n")
    return kind, json.loads(rest.strip().removeprefix("data: "))


def test_api(address, explorer):
    kind, (found,) = call(address, "search", "parsi")
    assert kind == "event: complete" and found[:2] == ["Paris (node:5)", "Paris (node:6)"]
    kind, (answers,) = call(address, "predict", "Parma", "near", True, 3)
    assert [x["index"] for x in answers] == [x.index for x in explorer.ask(7, 2, k=3)]
    kind, (text,) = call(address, "explain", "Parma", "near", "Town 1")
    assert "Parma  near  Town 1" in text
    assert call(address, "predict", "Parm", "near", True, 3)[0] == "event: error"
    for name, values in (
        ("search", [5]),
        ("predict", [{"name": "X", "image": __file__}, "near", True, 3]),  # Which would be opened.
        ("predict", ["Parma", "near", True, "y"]),
        ("explain", ["Parma", ["near"], "Town 1"]),
    ):
        kind, told = call(address, name, *values)
        assert kind == "event: error" and "needs to be a" in str(told), (name, told)


def test_nothing_else_is_served(address, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for path in (secret, "/etc/passwd", "../../../../etc/passwd", "setup.cfg"):
        quoted = urllib.parse.quote(str(path), safe="")
        for route in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/"):
            with pytest.raises(urllib.error.HTTPError) as error:
                get(f"{address}{route}{quoted}")
            assert error.value.code in (403, 404, 405)


def test_no_path_of_a_request_is_opened(address, tmp_path):
    # Not even of one who makes requests by hand, in place of an uploaded picture:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    config = json.loads(get(f"{address}config"))
    images = {x["id"] for x in config["components"] if x["type"] == "image"}
    takes = [x for x in config["dependencies"] if images & {*x["inputs"]}]
    assert len(takes) == 1
    place = next(i for i, x in enumerate(takes[0]["inputs"]) if x in images)
    data: list[object] = [None] * len(takes[0]["inputs"])
    data[place] = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    join = {"data": data, "fn_index": takes[0]["id"], "session_hash": "abc"}
    get(f"{address}gradio_api/queue/join", join)
    events = get(f"{address}gradio_api/queue/data?session_hash=abc")
    assert '"success":false' in events.replace(" ", "") and "b'secret'" not in events


def test_uploads_are_limited(address):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body, kind = head + bytes(11 * 2**20) + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
    url = f"{address}gradio_api/upload"
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    assert error.value.code == 413


def test_auth(explorer, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    app = make_app({"first": explorer})
    address = launch(app, "127.0.0.1", None, ("ann", "secret"))
    for route, data in (("config", None), ("gradio_api/call/search", {"data": ["Paris"]})):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(f"{address}{route}", data)
        assert error.value.code == 401
    app.close(verbose=False)


def test_other_graphs_are_refused(explorer, refuses, saved_countries):
    models = {"first": explorer, "second": saved_countries}
    refuses(("'second' is of another graph than 'first'", lambda: make_app(models)))


@pytest.fixture(scope="module")
def saved_countries():
    from torch_imf import KGE, Predictor
    from torch_imf.datasets import Countries
    from torch_imf.serve import Explorer

    data = Countries(text=None, visual=None, numeric=None)[0]
    return Explorer(Predictor(KGE(data.num_nodes, data.num_relations, 4), data))


def test_flags(refuses):
    assert command.read_auth(None) is None and command.read_auth("a:b:c") == ("a", "b:c")
    refuses(("as in 'user:password'", lambda: command.read_auth("user")))
    assert all(map(command.is_local, ["127.0.0.1", "::1", "localhost"]))
    assert not any(map(command.is_local, ["0.0.0.0", "::", "192.168.0.2", "example.org"]))
