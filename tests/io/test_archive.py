import io
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from torch_imf.io import archive, confined
from torch_imf.io.archive import unpack
from torch_imf.io.atomic import temporary_path

MODES = ["w", "w:gz", "w:bz2", "w:xz", "zip"]


def tree(folder):
    return sorted(str(x.relative_to(folder)) for x in folder.rglob("*"))


def add(archive, name, content=b"image", **fields):
    """Adds a member of any name and kind to an archive."""
    if isinstance(archive, zipfile.ZipFile):
        info = zipfile.ZipInfo(name)
        info.create_system, info.compress_type = 3, archive.compression
        info.external_attr = (stat.S_IFLNK if "linkname" in fields else stat.S_IFREG) << 16
        archive.writestr(info, content)
        return
    info = tarfile.TarInfo(name)
    for key, value in {"size": len(content), **fields}.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def write(path, members, mode="w"):
    """Writes an archive of members (name -> content)."""
    zipped = mode == "zip"
    out = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) if zipped else tarfile.open(path, mode)
    with out as archive:
        for name, content in members.items():
            add(archive, name, content)
    return str(path)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip", "ZIP"])
def test_unpack(tmp_path, suffix):
    path, root = tmp_path / f"FB.v2.{suffix}", tmp_path / "raw" / "unpacked"
    compression = {"tgz": "gz", "tar": ""}.get(suffix, suffix.removeprefix("tar."))
    mode = "zip" if suffix.lower() == "zip" else f"w:{compression}"
    write(path, {"images/m.06/1.jpg": b"one", "__MACOSX/images/m.06/._1.jpg": b""}, mode)
    out = unpack(str(path), str(root))
    assert os.path.basename(out).startswith("FB.v2-") and os.path.dirname(out) == str(root)
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o755
    image = os.path.join(out, "images", "m.06", "1.jpg")
    assert open(image, "rb").read() == b"one"
    os.remove(image)  # What is there is not unpacked again:
    assert unpack(str(path), str(root)) == out
    assert not os.path.exists(image)
    os.utime(path, ns=(0, 0))
    assert unpack(str(path), str(root)) != out
    with pytest.raises(ValueError, match=r"'images.rar' is no archive \(.tar, "):
        unpack("images.rar", str(tmp_path))


@pytest.mark.parametrize("mode", MODES)
def test_damaged_archives(tmp_path, mode):
    path = tmp_path / ("images.zip" if mode == "zip" else "images.tar")
    write(path, {f"m.06/{name}.jpg": os.urandom(2000) for name in "abc"}, mode)
    content = path.read_bytes()
    # Inside the content of a file, between files, inside of a header, and after all of them:
    ends = {len(content) // 3, 2 * len(content) // 3, 2560, 2560 + 512 - 1, 7680, 0}
    damaged = [content[:end] for end in ends]
    damaged.append(content[:2560] + b"garbage" + content[2567:])  # A header in the middle.
    if mode != "w":
        damaged.append(content[:-4])
        damaged = [case for case in damaged if case != content]
    for case in damaged:
        path.write_bytes(case)
        with pytest.raises(ValueError, match=r"images\.\w+' is damaged, please fetch it anew"):
            unpack(str(path), str(tmp_path / "out"))
        assert tree(tmp_path / "out") == []


ABSOLUTE = os.path.join(tempfile.gettempdir(), "torch_imf_x.jpg")
UNSAFE = {
    "../x.jpg": {},
    "m.06/../../x.jpg": {},
    ABSOLUTE: {},
    "..\\x.jpg": {},
    "link": {"type": tarfile.SYMTYPE, "linkname": "/etc"},
    "hard": {"type": tarfile.LNKTYPE, "linkname": "../images.tar"},
    "device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
}


@pytest.mark.parametrize(
    "suffix, name", [("tar", x) for x in UNSAFE] + [("zip", "../x.jpg"), ("zip", "link")]
)
def test_archives_that_lead_outside(tmp_path, suffix, name):
    path = str(tmp_path / f"images.{suffix}")
    with zipfile.ZipFile(path, "w") if suffix == "zip" else tarfile.open(path, "w") as archive:
        add(archive, "m.06/1.jpg")
        add(archive, name, b"" if UNSAFE[name] else b"image", **UNSAFE[name])
    with pytest.raises(ValueError) as error:
        unpack(path, str(tmp_path / "a" / "b"))
    assert f"'{path}' is refused, its member {name!r} " in str(error.value)
    assert tree(tmp_path) == ["a", "a/b", f"images.{suffix}"]
    assert not os.path.exists(ABSOLUTE)


@pytest.mark.parametrize("mode", ["w:gz", "zip", "holes"])
def test_bombs(tmp_path, mode):
    path = tmp_path / ("images.zip" if mode == "zip" else "images.tar")
    if mode == "holes":  # What is stored in a byte and is a terabyte when read.
        pax = {f"GNU.sparse.{x}": y for x, y in (("major", "1"), ("minor", "0"), ("name", "a.png"))}
        pax["GNU.sparse.realsize"] = str(1 << 40)
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            add(archive, "a.png", b"1\n0\n1\n".ljust(512, b"\0") + b"x", pax_headers=pax)
    else:
        write(path, {f"{i}.png": bytes(1 << 20) for i in range(65)}, mode)
    with pytest.raises(ValueError, match=r"images.\w+' is refused, as it is more than 300 times"):
        unpack(str(path), str(tmp_path / "out"))
    assert tree(tmp_path / "out") == []


def test_folders_without_end(tmp_path, monkeypatch):
    path = write(tmp_path / "images.tgz", {f"{i}/": b"" for i in range(99)}, "w:gz")
    monkeypatch.setattr(archive, "BLOCK", 1 << 20)  # So that it takes 65 rather than 16,385.
    (tmp_path / "out").mkdir()
    (reason,) = archive._extract_tar(path, str(tmp_path / "out"))
    assert reason == "as it is more than 300 times as large when unpacked"
    assert len(os.listdir(tmp_path / "out")) == 64


@pytest.mark.parametrize("mode", ["w:gz", "zip"])
def test_deep_folders(tmp_path, mode):
    path = tmp_path / ("images.zip" if mode == "zip" else "images.tgz")
    out = str(tmp_path / "out")
    write(path, {"a/" * 64 + "1.jpg": b"1", "1.jpg": b"1"}, mode)
    with pytest.raises(ValueError, match="is refused, its member 'a/a/a.* 64 folders deep. If you"):
        unpack(str(path), out)
    assert tree(tmp_path / "out") == []
    write(path, {"a/" * 63 + "1.jpg": b"1"}, mode)
    assert len(list(Path(unpack(str(path), out)).rglob("*"))) == 64


def test_a_folder_that_is_too_deep_is_removed(tmp_path):
    # As a version before this one has left it:
    path, root = write(tmp_path / "images.tar", {"1.jpg": b"1"}), tmp_path / "out"
    leftover = root / os.path.basename(temporary_path("images"))
    leftover.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as context:
        context.chdir(leftover)
        for _ in range(1100):
            os.mkdir("a")
            os.chdir("a")
    (leftover / "b").write_text("")
    (leftover / "link").symlink_to(path)
    os.utime(leftover, (0, 0))
    assert os.path.isdir(unpack(path, str(root)))
    assert not leftover.exists() and os.path.exists(path)


@pytest.mark.parametrize("fields", [{"mtime": "1e300"}, {"mtime": "nan"}, {"uid": "9" * 30}])
def test_headers_that_say_what_cannot_be(tmp_path, fields):
    path = str(tmp_path / "images.tar")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "a/1.jpg", pax_headers=fields)
    try:
        assert tree(Path(unpack(path, str(tmp_path / "out")))) == ["a", "a/1.jpg"]
    except ValueError as e:
        assert f"'{path}' is damaged" in str(e)


@pytest.mark.parametrize("mode", ["w", "zip"])
def test_permissions_are_those_of_new_files(tmp_path, mode):
    path = tmp_path / ("images.zip" if mode == "zip" else "images.tar")
    write(path, {"a/1.jpg": b"1"}, mode)
    before = os.umask(0o077)
    try:
        out = Path(unpack(str(path), str(tmp_path / "out")))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(x.stat().st_mode) for x in (out, out / "a", out / "a" / "1.jpg")]
    assert modes == [0o700, 0o700, 0o600]


def test_large_headers(tmp_path):
    path = str(tmp_path / "images.tar.gz")
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "1.jpg", pax_headers={"comment": "x" * (1 << 24)})
    with pytest.MonkeyPatch.context() as context:
        context.setattr(confined, "MEMORY", 1 << 23)
        with pytest.raises(ValueError, match="is refused, as it takes more memory or time than"):
            unpack(path, str(tmp_path / "out"))
    assert tree(tmp_path / "out") == []


def test_unpacking_starts_anew(tmp_path, monkeypatch):
    path, root = write(tmp_path / "images.tar", {"m.06/1.jpg": b"1"}), tmp_path / "out"
    leftover = root / os.path.basename(temporary_path("images"))  # Of a process that was killed.
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))  # It goes after a day.
    for error in [KeyboardInterrupt(), OSError(28, "No space left on device")]:
        with monkeypatch.context() as context, pytest.raises(type(error)):
            context.setattr(os, "rename", lambda *_, error=error: (_ for _ in ()).throw(error))
            unpack(path, str(root))
        assert tree(root) == []
    out = os.path.basename(unpack(path, str(root)))
    assert tree(root) == [out, f"{out}/m.06", f"{out}/m.06/1.jpg"]


def test_unpacking_at_the_same_time(tmp_path, monkeypatch):
    path, root = write(tmp_path / "images.tar", {"1.jpg": b"1"}), tmp_path / "out"
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        unpack(path, str(root))
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    out = os.path.basename(unpack(path, str(root)))
    assert tree(root) == [out, f"{out}/1.jpg"]
