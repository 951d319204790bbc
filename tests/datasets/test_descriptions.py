import json

import pytest

from torch_imf.datasets.descriptions import read_descriptions

EXPECTED = [("a", "A", "The first."), ("b c", "", "Second"), ("d", "D", "")]
OBJECTS = [
    {"id": "a", "label": "A", "description": "The first.", "year": 3},
    {"id": "b c", "text": " Second "},
    {"id": "d", "label": "D", "description": None},
]
BY_NAME = {
    "a": {"name": "A", "text": "The first."},
    "b c": "Second",
    "d": {"name": "D", "text": None},
}
JSONL = "\ufeff\r\n" + "\r\n".join(map(json.dumps, OBJECTS))


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    return list(read_descriptions(str(path)))


@pytest.mark.parametrize(
    "name,content",
    [
        ("a.tsv", "id\tname\ttext\na\tA\tThe first.\nb c\t\tSecond\nd\tD\t\n"),
        ("a.csv", "abstract,entity,label\nThe first.,a,A\nSecond,b c,\n,d,D\n"),
        ("a.json", json.dumps(BY_NAME)),
        ("a.json", json.dumps(OBJECTS)),
        ("a.jsonl", JSONL),
        ("a.ndjson", JSONL),
    ],
)
def test_read_descriptions(tmp_path, name, content):
    assert [entry[:3] for entry in read(tmp_path, name, content)] == EXPECTED


def test_read_descriptions_without_names(tmp_path):
    rows = read(tmp_path, "a.tsv", "a\tThe first.\n")
    assert [row[:3] for row in rows] == [("a", "", "The first.")]
    assert rows[0][3].endswith("a.tsv', line 1")
    # A name stands for the entity where there is nothing else to go by:
    rows = read(tmp_path, "a.tsv", "name\ttext\nA\tThe first.\n")
    assert [row[:3] for row in rows] == [("A", "A", "The first.")]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.json", '{"a": "x",\n "b": }', "line 2: this is no JSON"),
        ("a.json", '{"a": "x", "a": "y"}', "line 1: the key 'a' occurs twice"),
        ("a.json", '{"a": 3}', "entry 'a': the text is no string"),
        ("a.json", '{"a": {"name": "A"}}', "entry 'a': there is no text"),
        ("a.json", "3", "expected an object of entities and texts"),
        ("a.json", "[3]", "entry 1: expected an object"),
        ("a.json", "[" * 100_000, "line 1: this JSON is nested too deeply"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n\n{"id": "b"', "line 3: this is no JSON"),
        ("a.jsonl", '{"text": "x"}', "line 1: there is no entity"),
        ("a.jsonl", '{"id": " ", "text": "x"}', "line 1: there is no entity"),
        ("a.jsonl", '["a", "x"]', "line 1: expected an object of 'entity' and 'text'"),
        ("a.jsonl", r'{"id": "a", "text": "\ud800"}', "line 1: the text holds half a character"),
        ("a.tsv", "a\tb\nc\n", "line 2: expected 2 fields separated by tabs"),
        ("a.yaml", "a: b", "holds no texts, expected one of"),
    ],
)
def test_read_descriptions_refuses(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=rf"{name}'.*{message}"):
        read(tmp_path, name, content)


def test_long_texts_and_large_files(tmp_path, monkeypatch):
    text = "x" * 200_000  # More than the csv module allows by default.
    assert read(tmp_path, "a.csv", f'a,"{text}"')[0][2] == text
    content = json.dumps({"a": "x" * 50}, indent=1)
    monkeypatch.setattr("torch_imf.datasets.descriptions.LARGEST", len(content) - 1)
    with pytest.raises(ValueError, match=r"a.json', line 3: this JSON has more than .* as JSONL"):
        read(tmp_path, "a.json", content)
    monkeypatch.setattr("torch_imf.datasets.descriptions.LARGEST", len(content))
    assert len(read(tmp_path, "a.json", content)) == 1


def test_huge_integers(tmp_path):
    digits = "1" * 5000  # More than Python turns into an integer by default.
    rows = read(tmp_path, "a.jsonl", f'{{"id": "a", "text": "x", "size": {digits}}}')
    assert rows[0][:3] == ("a", "", "x")
    with pytest.raises(ValueError, match="a.jsonl', line 1: the text is no string"):
        read(tmp_path, "a.jsonl", f'{{"id": "a", "text": -{digits}}}')
