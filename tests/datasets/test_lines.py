import gzip
import random

import pytest

from torch_imf.datasets.lines import read_lines, suffix, where


def test_truncated_gzip(tmp_path):
    generator = random.Random(0)
    content = "".join(f"{generator.random()}\tr\tb\n" for _ in range(1000)).encode()
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(content)[:-100])
    with pytest.raises(ValueError, match=r"a\.tsv\.gz' is damaged after line \d{3}, .*fetch it"):
        list(read_lines(str(path)))
    path.write_bytes(b"a\tr\tb\n")
    with pytest.raises(ValueError, match="is damaged .*Not a gzipped file"):
        list(read_lines(str(path)))


def test_read_lines_streams(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\nsecond\n\xff\n")
    lines = read_lines(str(path))
    assert [next(lines), next(lines)] == ["first\n", "second\n"]  # The third is not read yet.
    with pytest.raises(ValueError, match="line 3: not valid UTF-8"):
        next(lines)


def test_suffix():
    assert suffix("a.b/c.NT.gz") == ".nt" and suffix("a.b/c") == ""


def test_where():
    assert where("a.tsv", 3) == "'a.tsv', line 3" and where("a.pq", 3) == "'a.pq', row 3"


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_lines_without_end(tmp_path, monkeypatch, name):
    monkeypatch.setattr("torch_imf.datasets.lines.LONGEST", 1000)
    path = tmp_path / name
    for size in (999, 1000):
        content = b"first\n" + size * b"x" + b"\nlast"
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        lines = read_lines(str(path))
        assert next(lines) == "first\n"
        if size == 999:
            assert list(map(len, lines)) == [1000, 4]
        else:
            with pytest.raises(ValueError, match=f"{name}', line 2: this line has more than 1,000"):
                next(lines)
