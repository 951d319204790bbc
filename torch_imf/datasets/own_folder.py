import os
import os.path as osp
import warnings
from collections.abc import Sequence

from torch_imf.datasets.descriptions import JSON
from torch_imf.datasets.lines import suffix
from torch_imf.datasets.tables import TABLES
from torch_imf.io.archive import ARCHIVES

FACTS = (*TABLES, ".nt")
SPLITS = (("train",), ("valid", "val", "validation", "dev"), ("test",))

# How files are called, and the formats of each. No suffix is that of a folder:
CONTENT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "triples": (("facts", "triples"), FACTS),
    "texts": (("texts", "descriptions"), (*TABLES, *JSON)),
    "images": (("images",), ("", ".tsv", ".txt", *ARCHIVES)),
    "numeric": (("numbers", "numeric"), TABLES),
}


def find_content(folder: str) -> tuple[str | list[str], str | None, str | None, str | None]:
    r"""Returns the files of a graph that a folder holds by their names: facts,
    texts, images and numbers, see :meth:`MultimodalKG.from_folder`.

    Raises:
        ValueError: If there are no facts, or two files for one thing.
    """
    if not osp.isdir(folder):
        raise ValueError(f"There is no folder '{folder}'")
    found = {key: find_named(folder, *entry) for key, entry in CONTENT.items()}
    ready = [file for names in SPLITS for file in find_named(folder, names, FACTS)]
    for key, files in {**found, "triples": found["triples"] + ready}.items():
        if len(files) > 1 and files != ready:
            raise ValueError(
                f"The folder '{folder}' holds several files that may be the '{key}': {files}. "
                f"Please leave one, or pass it to 'from_files'"
            )
    if not found["triples"] and not ready:
        raise ValueError(
            f"The folder '{folder}' holds no facts, as in 'facts.tsv', or in 'train.tsv', "
            f"'valid.tsv' and 'test.tsv' (got {sorted(os.listdir(folder))[:10]})"
        )
    for names, suffixes in CONTENT.values():
        others = set(find_named(folder, names)) - set(find_named(folder, names, suffixes))
        if others:
            warnings.warn(
                f"The folder '{folder}' holds {sorted(others)}, which cannot be read. Expected "
                f"one of {[x or 'a folder' for x in suffixes]}",
                stacklevel=3,
            )
    paths = {key: osp.join(folder, files[0]) for key, files in found.items() if files}
    triples = find_splits(folder) if ready else paths["triples"]
    return triples, paths.get("texts"), paths.get("images"), paths.get("numeric")


def find_splits(folder: str) -> list[str]:
    r"""Returns the files of training, validation and test facts in a folder.

    Raises:
        ValueError: If one of them is not there, or there are several.
    """
    out = []
    for names in SPLITS:
        files = find_named(folder, names, FACTS)
        if len(files) != 1:
            raise ValueError(
                f"The folder '{folder}' needs to hold one file of {names[0]} facts, as in "
                f"'{names[0]}.tsv' (got {files}). Otherwise, pass the files themselves"
            )
        out.append(osp.join(folder, files[0]))
    return out


def find_named(
    folder: str,
    names: Sequence[str],
    suffixes: Sequence[str] | None = None,
) -> list[str]:
    r"""Returns the files in a folder that go by one of some names, of some
    formats or any, gzipped or not.
    """
    return [
        file
        for file in sorted(os.listdir(folder))
        if file.split(".")[0].lower() in names
        and (suffixes is None or format_of(osp.join(folder, file)) in suffixes)
    ]


def format_of(path: str) -> str:
    r"""Returns the suffix of a file, which is that of an archive if it is one,
    and none for a folder.
    """
    if osp.isdir(path):
        return ""
    return next((x for x in ARCHIVES if path.lower().endswith(x)), suffix(path) or "none")
