import dataclasses
import gzip
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest


class Sources:
    r"""Tiny files in place of the raw files of a dataset: some are in a mirror,
    others can be fetched upstream, and the rest is nowhere to be had.
    """

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.upstream = {}
        self.requests = []
        monkeypatch.setattr("torch_imf.io.download._fetch", self.fetch)
        monkeypatch.setenv("TORCH_IMF_MIRROR", str(folder))

    def fetch(self, url, checksum):
        self.requests.append(url)
        if url not in self.upstream:
            raise OSError("no network")
        return self.upstream[url]

    def put(self, cls, files, upstream=False):
        r"""Replaces the files of a dataset by others, in the mirror or
        upstream. Their names are those in a mirror.
        """
        content = {name: encode(name, value) for name, value in files.items()}
        found = set()

        def replace(file):
            if file.name not in content:
                return file
            found.add(file.name)
            if upstream:
                self.upstream[file.url] = content[file.name]
            else:
                self.write(file.name, content[file.name])
            digest = hashlib.sha256(content[file.name]).hexdigest()
            return dataclasses.replace(file, checksum=digest)

        groups = {
            group: [[replace(file) for file in option] for option in options]
            for group, options in cls.files.items()
        }
        assert found == set(files)
        self.monkeypatch.setattr(cls, "files", groups)

    def write(self, name, content):
        r"""Writes a file into the mirror, whatever its checksum is."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, name):
        r"""Takes a file out of the mirror."""
        (self.folder / name).unlink()


def encode(name, value):
    r"""Returns the bytes of a file, in the format that its name tells."""
    buffer = io.BytesIO()
    if isinstance(value, bytes):
        return value
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for member, text in value.items():
                info = tarfile.TarInfo(member)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    elif name.endswith(".npz"):
        feature = np.array(list(value.values()), dtype=np.float16)
        np.savez(buffer, entity=list(value), feature=feature)
    elif name.endswith(".json"):
        return json.dumps(value, ensure_ascii=False).encode()
    elif name.endswith(".gz"):
        return gzip.compress(value.encode(), mtime=0)
    else:
        return value.encode()
    return buffer.getvalue()


@pytest.fixture
def small(tmp_path, monkeypatch):
    return Sources(tmp_path / "mirror", monkeypatch)


@pytest.fixture
def root(tmp_path):
    r"""The folder of a dataset."""
    return str(tmp_path / "data")


@pytest.fixture
def write_h5(tmp_path):
    r"""Writes a file of features by name as MMKB and MMRNS do."""
    h5py = pytest.importorskip("h5py")

    def write(name, features):
        path = str(tmp_path / name)
        with h5py.File(path, "w") as file:
            for key, value in features.items():
                file[key] = np.array(value, dtype=np.float32)
        return path

    return write
