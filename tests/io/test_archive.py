import io
import multiprocessing
import os
import signal
import stat
import tarfile
import zipfile

import pytest

from torch_imf.io.archive import unpack


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def add(archive, name, content=b"image", **fields):
    """Adds a member of any name and kind to a tar archive."""
    info = tarfile.TarInfo(name)
    for key, value in {"size": len(content), **fields}.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def write_tar(path, *names, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name in names:
            add(archive, name, os.urandom(2000))
    return str(path)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip", "ZIP"])
def test_unpack(tmp_path, suffix):
    path = tmp_path / f"FB.v2.{suffix}"
    if suffix.lower() == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images/m.06/1.jpg", b"one")
            archive.writestr("__MACOSX/images/m.06/._1.jpg", b"")
    else:
        compression = {"tgz": "gz", "tar": ""}.get(suffix, suffix.removeprefix("tar."))
        with tarfile.open(path, f"w:{compression}") as archive:
            add(archive, "./images", b"", type=tarfile.DIRTYPE, mode=0o755)
            add(archive, "./images/m.06/1.jpg", b"one")
            link = {"type": tarfile.LNKTYPE, "linkname": "images/m.06/1.jpg"}
            add(archive, "images/m.0xyz.jpg", b"", **link)

    root = tmp_path / "raw" / "unpacked"
    out = unpack(str(path), str(root))
    assert os.listdir(root) == [os.path.basename(out)]
    assert os.path.basename(out).startswith("FB.v2-")
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o755
    image = os.path.join(out, "images", "m.06", "1.jpg")
    assert open(image, "rb").read() == b"one"
    linked = os.path.join(out, "images", "m.0xyz.jpg")
    assert os.path.isfile(linked) == (suffix.lower() != "zip")

    os.remove(image)  # What is there is not unpacked again:
    assert unpack(str(path), str(root)) == out
    assert not os.path.exists(image)
    os.utime(path, ns=(0, 0))
    assert unpack(str(path), str(root)) != out


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_unpack_damaged(tmp_path, mode):
    path = str(tmp_path / ("images.zip" if mode == "zip" else "images.tar"))
    if mode == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in "abc":
                archive.writestr(f"m.06/{name}.jpg", os.urandom(2000))
    else:
        write_tar(path, "m.06/a.jpg", "m.06/b.jpg", "m.06/c.jpg", mode=mode)
    content = open(path, "rb").read()
    # Inside the content of a file, between files, inside of a header, and after all of them:
    ends = {len(content) // 3, 2 * len(content) // 3, 2560, 2560 + 512 - 1, 7680, 0}
    damaged = [content[:end] for end in ends]
    damaged.append(content[:2560] + b"garbage" + content[2567:])  # A header in the middle.
    if mode != "w":
        damaged.append(content[:-4])
        damaged = [case for case in damaged if case != content]
    for case in damaged:
        open(path, "wb").write(case)
        with pytest.raises(ValueError, match=r"images\.\w+' is damaged, please fetch it anew"):
            unpack(path, str(tmp_path / "unpacked"))
        assert os.listdir(tmp_path / "unpacked") == []


UNSAFE = {
    "../x.jpg": {},
    "m.06/../../x.jpg": {},
    "/tmp/torch_imf_x.jpg": {},
    "..\\x.jpg": {},
    "link": {"type": tarfile.SYMTYPE, "linkname": "../.."},
    "m.06/link": {"type": tarfile.SYMTYPE, "linkname": "/etc"},
    "hard": {"type": tarfile.LNKTYPE, "linkname": "../images.tar"},
    "absolute": {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
    "device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    "pipe": {"type": tarfile.FIFOTYPE},
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unpack_refuses_tar(tmp_path, name):
    path = str(tmp_path / "images.tar")
    with tarfile.open(path, "w") as archive:
        add(archive, "m.06/1.jpg")
        add(archive, name, b"" if UNSAFE[name] else b"image", **UNSAFE[name])
    with pytest.raises(ValueError) as error:
        unpack(path, str(tmp_path / "a" / "b"))
    assert f"'{path}' is refused, its member {name!r} " in str(error.value)
    assert tree(tmp_path) == ["a", "a/b", "images.tar"]
    assert not os.path.exists("/tmp/torch_imf_x.jpg")


@pytest.mark.parametrize("name", ["../x.jpg", "m.06/../../x.jpg", "/tmp/x.jpg", "link"])
def test_unpack_refuses_zip(tmp_path, name):
    path = str(tmp_path / "images.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.06/1.jpg", b"image")
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK if name == "link" else stat.S_IFREG) << 16
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(ValueError, match="'.*images.zip' is refused, its member '"):
        unpack(path, str(tmp_path / "a" / "b"))
    assert tree(tmp_path) == ["a", "a/b", "images.zip"]


def test_unpack_interrupted(tmp_path, monkeypatch):
    path, root = write_tar(tmp_path / "images.tar", "m.06/1.jpg", "m.06/2.jpg"), tmp_path / "out"
    extract = tarfile.TarFile.extract

    def interrupt(error):
        def run(self, member, *args, **kwargs):
            extract(self, member, *args, **kwargs)
            raise error

        monkeypatch.setattr(tarfile.TarFile, "extract", run)

    for error in [KeyboardInterrupt(), OSError(28, "No space left on device")]:
        interrupt(error)
        with pytest.raises(type(error)):
            unpack(path, str(root))
        assert tree(root) == []
    monkeypatch.setattr(tarfile.TarFile, "extract", extract)
    assert tree(root / os.path.basename(unpack(path, str(root)))) == [
        *("m.06", "m.06/1.jpg", "m.06/2.jpg")
    ]


def die_while_unpacking(path, folder):
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    os.rename = die  # All is extracted, and the folder not yet in its place.
    unpack(path, folder)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_unpack_killed(tmp_path):
    path, root = write_tar(tmp_path / "images.tar", "m.06/1.jpg"), tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(
        target=die_while_unpacking, args=(path, str(root))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [name.split("/", 1)[1:] for name in tree(root)] == [[], ["m.06"], ["m.06/1.jpg"]]
    assert os.listdir(root)[0].endswith(".tmp")
    out = unpack(path, str(root))
    assert os.listdir(root) == [os.path.basename(out)]


def test_unpack_at_the_same_time(tmp_path, monkeypatch):
    path, root = write_tar(tmp_path / "images.tar", "m.06/1.jpg"), str(tmp_path / "out")
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        unpack(path, root)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    out = unpack(path, root)
    assert tree(tmp_path / "out") == [
        os.path.basename(out) + end for end in ["", "/m.06", "/m.06/1.jpg"]
    ]


def test_unpack_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"'images.rar' is no archive \(.tar, "):
        unpack("images.rar", str(tmp_path))


ZEROS = bytes(1 << 20)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "zip"])
def test_unpack_refuses_bombs(tmp_path, mode):
    path = tmp_path / ("images.zip" if mode == "zip" else "images.tar")
    if mode == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(65):
                archive.writestr(f"{i}.png", ZEROS)
    else:
        with tarfile.open(path, mode) as archive:
            for i in range(65):
                add(archive, f"{i}.png", ZEROS)
    with pytest.raises(ValueError, match=r"images.\w+' is refused, as it is more than 300 times"):
        unpack(str(path), str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == []


def test_unpack_tells_what_the_names_of_members_cause(tmp_path):
    path, out = str(tmp_path / "images.zip"), str(tmp_path / "out")
    for names in (["a", "a/b.png"], ["x" * 300]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"image")
        with pytest.raises(ValueError, match=r"images\.zip' is damaged"):
            unpack(path, out)
        assert os.listdir(out) == []


def test_unpack_tells_of_links_to_nothing(tmp_path):
    path = str(tmp_path / "images.tar")
    with tarfile.open(path, "w") as archive:
        add(archive, "a.jpg", b"", type=tarfile.LNKTYPE, linkname="b.jpg")
    with pytest.raises(ValueError, match=r"is damaged, .*'b.jpg' not found"):
        unpack(path, str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == []


def test_unpack_needs_no_password(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"image")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # The flag of an encrypted member...
    content[6] |= 1  # ... in both of its places.
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"images\.zip' cannot be unpacked .*password"):
        unpack(str(path), str(tmp_path / "out"))


def test_unpack_refuses_holes(tmp_path):
    # What is stored in a byte and is a terabyte when read:
    path = str(tmp_path / "images.tar")
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        content = b"1\n0\n1\n".ljust(512, b"\0") + b"x"
        add(archive, "a.png", content, pax_headers={**pax, "GNU.sparse.name": "a.png"})
    with pytest.raises(ValueError, match="is refused, as it is more than 300 times"):
        unpack(path, str(tmp_path / "out"))
