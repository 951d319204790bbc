import os
import tarfile
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
import torch

from torch_imf.data.names import NameIndex
from torch_imf.io import TorchIMFWarning
from torch_imf.io.images import find_images, read_image, read_images, source_tag

NAMES = NameIndex(["/m/027rn", "/m/0xyz", "/m/06"], [("/m/06", "FBIMG00006"), ("/m/9", "FBIMG9")])


def place(folder, *files):
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return str(folder)


def relative(images, folder):
    return [image and [os.path.relpath(path, folder) for path in image] for image in images]


@pytest.mark.parametrize("end", ["", "/"])
def test_find_images_in_folder(tmp_path, end):
    folder = place(
        tmp_path / "images[1]",  # No pattern.
        *("m.027rn/2.PNG", "m.027rn/10.jpg", "m.027rn/more/deep/1.jpeg", "m.027rn.webp"),
        *("FBIMG00006.tiff", "m.06_12.gif", "FBIMG9.jpg"),
        *("m.0xyz.txt", "m.0xyz/page.html", "m.0xyz/.3.jpg", ".m.0xyz.jpg", ".cache/m.0xyz.jpg"),
    )
    os.symlink(place(tmp_path / "store", "m.06/a.jpg"), f"{folder}/m.06")  # Links are followed.
    os.symlink(tmp_path / "lost.jpg", f"{folder}/m.0xyz.jpg")
    message = r"3 of the 11 files in .*: 'm.0xyz.jpg', 'm.0xyz.txt', 'm.0xyz/page.html'$"
    with pytest.warns(TorchIMFWarning, match=message):
        images = find_images(folder + end, NAMES)
    assert relative(images, folder) == [
        ["m.027rn.webp", "m.027rn/10.jpg", "m.027rn/2.PNG", "m.027rn/more/deep/1.jpeg"],
        None,
        ["FBIMG00006.tiff", "m.06/m.06/a.jpg", "m.06_12.gif"],
    ]
    assert images == find_images(folder, NAMES, folder=str(tmp_path / "unpacked"))
    assert not (tmp_path / "unpacked").exists()


def test_find_images_by_name(tmp_path):
    title, wordnet = "<http://dbpedia.org/resource/{}>", ["n02084071", "n02084072"]
    titles = ["AC/DC", "100%25", "Franciaország", "Washington,_D.C.", "Toy_Story", "Toy_Story_2"]
    names = NameIndex([*map(title.format, titles), *wordnet])
    decomposed = unicodedata.normalize("NFD", "Franciaország.jpg")
    assert decomposed != "Franciaország.jpg"
    files = ["AC%2FDC.jpg", "100%25/1.jpg", decomposed, "Washington,_D.C..jpg"]
    files += ["Toy_Story_2.jpg", "Toy_Story_3.jpg", "n02084071_1.JPEG", "n02084071_20.JPEG"]
    folder = place(tmp_path, *files)
    assert relative(find_images(folder, names), folder) == [
        *([file] for file in files[:4]),
        None,  # The third part is none of its images.
        ["Toy_Story_2.jpg"],
        ["n02084071_1.JPEG", "n02084071_20.JPEG"],
        None,
    ]


def test_find_images_in_one_folder_around_all(tmp_path):
    folder = place(tmp_path / "outer", "FB15K/images/m.06/m.0xyz.jpg", "FB15K/README.md")
    assert relative(find_images(folder, NAMES), folder) == [
        None,
        None,
        ["FB15K/images/m.06/m.0xyz.jpg"],  # The outermost name counts.
    ]
    place(tmp_path / "outer", "FB15K/images/m.027rn.jpg", "FB15K/images/other/m.027rn.jpg")
    images = relative(find_images(folder, NAMES), folder)
    assert images[0] == ["FB15K/images/m.027rn.jpg"]  # Another folder is another entity.


def test_find_images_warns(tmp_path):
    folder = place(tmp_path, "m.06.jpg", "FBIMG9.jpg", "FBIMG9/1.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_images(folder, NAMES)  # Those of another graph are known.
    place(tmp_path, "m.7.jpg", *(f"m.8/{i}.jpg" for i in range(12)))
    with pytest.warns(UserWarning) as record:
        find_images(folder, NAMES)
    assert f"13 of the 16 images in '{folder}' belong to no entity" in str(record[0].message)
    assert str(record[0].message).endswith(
        ": 'm.7.jpg', "
        + ", ".join(f"'m.8/{i}.jpg'" for i in (0, 1, 10, 11, 2, 3, 4, 5, 6))
        + " and 3 more"
    )
    assert len(record) == 1 and record[0].filename == __file__


@pytest.mark.parametrize("name", ["m.06.avif", "m.06.JFIF", "m.06.jp2", "m.06.jpx", "m.06.qoi"])
def test_find_images_of_all_formats_that_pillow_reads(tmp_path, name):
    from PIL import Image

    Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    (tmp_path / "m.0xyz.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.warns(UserWarning, match="1 of the 2 files in .* are no pictures .*: 'm.0xyz.svg'"):
        (image,) = find_images(str(tmp_path), NAMES)[2]
    assert read_image(image).float().mean(dim=(1, 2)).sub(torch.tensor([255, 0, 0])).abs().max() < 9


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG2000"])
def test_find_images_without_a_suffix(tmp_path, kind):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "m.06", format=kind)
    (tmp_path / "m.027rn").write_text("This is no picture, whatever it is called")
    with pytest.warns(UserWarning, match="1 of the 2 files in .* are no pictures .*: 'm.027rn'"):
        assert find_images(str(tmp_path), NAMES) == [None, None, [str(tmp_path / "m.06")]]


def test_find_images_by_names_as_people_write_them(tmp_path):
    names = NameIndex(["Toy_Story", "the shire", "Rivendell", "Bree", "BREE", "Café Müller"])
    files = ["toy story.png", "The_Shire.jpg", "RIVENDELL/1.png", "bree.png"]
    folder = place(tmp_path, *files, unicodedata.normalize("NFD", "café_m%C3%BCller.png"))
    with pytest.warns(UserWarning, match="1 of the 5 images in .* belong to no entity: 'bree.png'"):
        found = relative(find_images(folder, names), folder)
    assert found[:5] == [["toy story.png"], ["The_Shire.jpg"], ["RIVENDELL/1.png"], None, None]
    assert len(found[5]) == 1


def test_find_images_one_folder_deeper(tmp_path):
    folder = place(tmp_path / "a", "people/m.06.png", "places/m.027rn.png", "places/m.0xyz/1.png")
    with pytest.warns(UserWarning, match="The folders 'people', 'places' in .* are no entities"):
        found = relative(find_images(folder, NAMES), folder)
    assert found == [["places/m.027rn.png"], ["places/m.0xyz/1.png"], ["people/m.06.png"]]
    # Unless these are other entities, whose pictures have numbers, as some entities here:
    folder = place(tmp_path / "b", "x/1.png", "x/2.png", "y/1.png")
    with pytest.raises(ValueError, match="None of the 3 images in"):
        find_images(folder, NameIndex(["1", "2"]))


def test_links_in_a_circle_are_followed_once(tmp_path):
    folder = place(tmp_path / "images", "m.06/1.png", "m.027rn/2.png", "m.0xyz/3.png")
    os.symlink("../m.027rn", f"{folder}/m.06/other")
    os.symlink("../m.06", f"{folder}/m.027rn/other")
    for name in ("up", "again"):
        os.symlink(folder, f"{folder}/m.0xyz/{name}")
    assert relative(find_images(folder, NAMES), folder) == [
        ["m.027rn/2.png", "m.027rn/other/1.png"],
        ["m.0xyz/3.png"],
        ["m.06/1.png", "m.06/other/2.png"],
    ]


@pytest.mark.parametrize("kind", ["folder", "linked folder", "index", "archive"])
def test_source_tag_changes_with_what_is_in_the_files(tmp_path, kind):
    store = place(tmp_path / "store", "m.06.png", "m.027rn/1.png")
    source = store
    if kind == "linked folder":
        source = place(tmp_path / "links", "m.0xyz.png")
        os.symlink(store, f"{source}/m.06")
    elif kind == "index":
        source = str(tmp_path / "index.tsv")
        (tmp_path / "index.tsv").write_text("m.06\tstore/m.06.png\nm.027rn\tstore/m.027rn/1.png\n")
    elif kind == "archive":
        source = str(tmp_path / "a.tar")
        with tarfile.open(source, "w") as archive:
            archive.add(store, ".")
    tags = [source_tag(source), source_tag(source)]
    os.utime(source if kind == "archive" else f"{store}/m.027rn/1.png", ns=(1, 1))
    tags.append(source_tag(source))
    if kind.endswith("folder"):
        place(tmp_path / "store", "m.027rn/new.png")
        assert source_tag(source) not in tags
    assert tags[0] == tags[1] != tags[2]


def test_find_images_without_any(tmp_path):
    folder = place(tmp_path / "images", "IMG_1.jpg", "IMG_2.jpg", "FBIMG9.jpg")
    names = NameIndex(["http://dbpedia.org/resource/AC/DC"])
    with pytest.raises(ValueError) as error:
        find_images(folder, names)
    assert f"None of the 3 images in '{folder}' belongs to an entity" in str(error.value)
    assert "FBIMG9.jpg' is named 'FBIMG9'). Please name" in str(error.value)
    assert "as in 'AC%2FDC.jpg' or 'AC%2FDC/1.jpg'" in str(error.value)
    with pytest.raises(ValueError, match="None of the 3 images"):  # One of another graph.
        find_images(folder, NAMES)

    os.mkdir(tmp_path / "empty")
    with pytest.raises(ValueError, match="None of the 0 images in '.*empty' .* 'm.027rn.jpg'"):
        find_images(str(tmp_path / "empty"), NAMES)
    for missing in ["missing", "missing.tsv", "missing.zip", "~/missing", "empty.jpg"]:
        place(tmp_path, "empty.jpg")
        with pytest.raises(ValueError, match=r"There are no images at '.*\.tsv.*\.tar\.gz"):
            find_images(str(tmp_path / missing), NAMES, folder=str(tmp_path / "unpacked"))
    assert not (tmp_path / "unpacked").exists()


@pytest.mark.parametrize("header", ["", "entity\timage\n", "Entity\tPath\n"])
def test_find_images_in_index(tmp_path, header):
    folder = place(tmp_path, "a/1.jpg", "a/2", "b.jpg")
    index = tmp_path / "index.tsv"
    index.write_text(f"{header}/m/06\ta/2\r\nm.06\ta/1.jpg\n/m/06\ta/1.jpg\n/m/027rn\tb.jpg\n")
    images = find_images(str(index), NAMES)
    assert relative(images, folder) == [["b.jpg"], None, ["a/1.jpg", "a/2"]]

    other = tmp_path / "lists" / "index.TXT"
    other.parent.mkdir()
    os.rename(index, other)
    assert find_images(str(other), NAMES, base=folder) == images
    line = 2 if header else 1
    with pytest.raises(ValueError, match=rf"index.TXT', line {line}: .*a/2' \(4 of 4 images are"):
        find_images(str(other), NAMES)

    other.write_text(f"{header}/m/06\tb.jpg\n/m/06\tb.jpg\t1\n")
    with pytest.raises(ValueError, match=rf"line {line + 1}: expected 2 fields"):
        find_images(str(other), NAMES, base=folder)
    other.write_text(header)
    with pytest.raises(ValueError, match="None of the 0 images"):
        find_images(str(other), NAMES)


def test_locate_images_in_archive(tmp_path):
    files = ["images/m.06/1.jpg", "images/m.06/._1.jpg", "__MACOSX/images/m.06/._1.jpg"]
    folder, path = place(tmp_path / "source", *files), tmp_path / "FB.TGZ"  # As macOS does it.
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, ".")
    root = tmp_path / "raw" / "unpacked"
    for _ in range(2):
        (images,) = find_images(str(path), NAMES, folder=str(root))[2]
        (unpacked,) = os.listdir(root)
        assert os.path.relpath(images, root) == f"{unpacked}/images/m.06/1.jpg"


@pytest.mark.parametrize(
    "mode, color, suffix, expected",
    [
        ("RGB", (10, 20, 30), "png", [10, 20, 30]),
        ("RGBA", (255, 0, 0, 0), "png", [255, 255, 255]),
        ("LA", (100, 255), "png", [100, 100, 100]),
        ("L", 100, "jpg", [100, 100, 100]),
        ("1", 1, "png", [255, 255, 255]),
        ("P", 0, "gif", [0, 0, 0]),
        ("CMYK", (0, 255, 255, 0), "jpg", [255, 0, 0]),
        ("CMYK", (0, 255, 255, 0), "tif", [255, 0, 0]),
        ("I;16", 257 * 100, "png", [100, 100, 100]),
        ("I", 65535, "tif", [255, 255, 255]),
        ("I", 120, "tif", [120, 120, 120]),
        ("I", 1 << 20, "tif", [255, 255, 255]),
        ("I;16", 60, "png", [60, 60, 60]),  # What has 8 bits in more.
        ("F", 0.2, "tif", [51, 51, 51]),
        ("F", 51.0, "tif", [51, 51, 51]),
        ("F", 1.1, "tif", [255, 255, 255]),
    ],
)
def test_read_image(tmp_path, mode, color, suffix, expected):
    from PIL import Image

    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (3, 2), color).save(path)
    image = read_image(path)
    assert image.size() == (3, 2, 3)
    assert image.dtype == torch.uint8
    difference = image.int() - torch.tensor(expected).view(3, 1, 1)
    assert difference.abs().max() <= 2  # JPEG is not exact.


def test_read_image_transparent_palette(tmp_path):
    from PIL import Image

    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", transparency=0)
    pixels = read_image(str(tmp_path / "image.png"))
    assert pixels.permute(1, 2, 0).tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_images_that_are_no_pictures(tmp_path):
    # PostScript, which Pillow would have drawn by Ghostscript, and a pickle:
    path, marker = tmp_path / "a.png", tmp_path / "marker"
    code = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({marker}) (w) file\n"
    for content in (code, f"cos\nsystem\n(S'touch {marker}'\ntR."):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"Cannot read the image '{path}'.*cannot identify"):
            read_image(path)
    assert not marker.exists()


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix, mode", [("jpg", "RGB"), ("png", "P"), ("webp", "RGB")])
def test_images_are_upright(tmp_path, tag, suffix, mode):
    from PIL import Image

    undo = [Image.Transpose(i) for i in (0, 3, 1, 5, 4, 6, 2)]  # As the tags 2 to 8 are shown.
    image = Image.new("RGB", (32, 16), "lime")
    image.paste("red", (0, 0, 16, 8))
    shown, exif = read_pixels(image), Image.Exif()
    exif[0x0112] = tag
    back = {5: 5, 6: 2, 7: 6, 8: 4}.get(tag, undo[tag - 2] if tag > 1 else None)
    stored = image if back is None else image.transpose(Image.Transpose(back))
    path = tmp_path / f"a.{suffix}"
    stored.convert(mode).save(path, exif=exif, **{"lossless": True} if suffix == "webp" else {})
    found = read_image(path)
    assert found.size() == shown.size()
    assert (found.int() - shown.int()).abs().float().mean() < 8


def read_pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_the_first_frame(tmp_path, suffix):
    from PIL import Image

    frames = [Image.new("RGB", (4, 4), color) for color in ("blue", "red")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / f"a.{suffix}")[2].float().mean()) > 240


def test_large_images_are_reduced(tmp_path):
    from PIL import Image

    for size, expected in [((5000, 10), (4, 2048)), ((1, 30_000), (2048, 1)), ((50, 40), (40, 50))]:
        Image.new("RGB", size, "red").save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        assert image.size()[1:] == expected and (image[0] == 255).all()


def lying_png(width, height):
    """An image of some bytes that says it is large."""

    def chunk(name, content):
        check = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 6, 0, 0, 0])
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_bombs_are_left_out(tmp_path):
    from PIL import Image

    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for i in (0, 2, 4):
        Image.new("RGB", (3, 2), (i, 0, 0)).save(paths[i])
    (tmp_path / "1.png").write_bytes(lying_png(40_000, 40_000))
    os.mkfifo(paths[3])
    found = list(read_images(paths))
    assert [int(found[i][0, 0, 0]) for i in (0, 2, 4)] == [0, 2, 4]
    assert f"'{paths[1]}': it takes more memory than is due to its size, which is" in found[1]
    assert "is no file but a pipe or device" in found[3]
