import os.path as osp
from contextlib import AbstractContextManager

from torch_geometric.data.dataset import MISSING
from torch_geometric.io import fs

from torch_imf.datasets.download import download
from torch_imf.datasets.sources import RawFile
from torch_imf.io.atomic import cache_folder, locked


class RawFolder:
    r"""The folder of raw files of a dataset, which are grouped by what they
    are for. A group is a list of alternatives, of which the first that can be
    had is taken.

    Args:
        folder (str): The folder.
        groups (dict[str, list[list[RawFile]]]): The alternatives of each
            group.
        renew (bool, optional): Whether to look for better alternatives than
            those that are there. (default: :obj:`False`)
    """

    def __init__(
        self,
        folder: str,
        groups: dict[str, list[list[RawFile]]],
        renew: bool = False,
    ) -> None:
        self.folder = folder
        self.groups = groups
        self.renew = renew
        self.taken: dict[str, int] = {}

    def fetch(self, group: str) -> list[str]:
        r"""Brings the files of a group into the folder, and returns their
        paths. What is there is taken as it is, see :meth:`check`.

        Raises:
            RuntimeError: If none of the alternatives can be had.
        """
        alternatives = self.groups.get(group, [[]])
        if group not in self.taken:
            found = self._find(alternatives)
            if found is None:
                with self.lock():
                    found = self._find(alternatives)  # Another process may have fetched it.
                    self.taken[group] = self._download(alternatives) if found is None else found
            else:
                self.taken[group] = found
        return [osp.join(self.folder, file.path) for file in alternatives[self.taken[group]]]

    def check(self) -> None:
        r"""Compares the files that were taken with their checksums, and
        fetches damaged ones anew.
        """
        for group, i in self.taken.items():
            for file in self.groups.get(group, [[]])[i]:
                download(file, self.folder)

    def path(self, file: str) -> str:
        r"""Returns the path of a file by its name in the folder."""
        return osp.join(self.folder, file)

    def disk_path(self, file: str) -> str:
        r"""Returns a path on disk for what needs to be there, such as images:
        in the folder, or in the cache if the folder is on another file system
        or there is none.
        """
        if self.folder.startswith(MISSING) or not fs.isdisk(self.folder):
            return osp.join(cache_folder(), "images", file)
        return self.path(file)

    def has(self, group: str) -> bool:
        r"""Returns whether all files of a group are there."""
        return any(self._has(files) for files in self.groups.get(group, []))

    @property
    def files(self) -> list[str]:
        r"""The names of the files that were taken, in the folder."""
        names = [
            file.path for group, i in self.taken.items() for file in self.groups.get(group, [[]])[i]
        ]
        return list(dict.fromkeys(names))

    @property
    def second_choices(self) -> list[str]:
        r"""A name for each group of which the first choice was not to be had."""
        return [f"{group}.{i + 1}" for group, i in self.taken.items() if i > 0]

    def lock(self) -> AbstractContextManager[None]:
        r"""Returns a block that one process at a time may enter, see
        :meth:`~torch_imf.io.atomic.locked`. It is that of the whole dataset.
        """
        return locked(osp.dirname(self.folder))

    def _find(self, alternatives: list[list[RawFile]]) -> int | None:
        # Returns which alternative is to be taken as it is there.
        if self.renew and any(alternatives):
            return None
        return next((i for i, files in enumerate(alternatives) if self._has(files)), None)

    def _has(self, files: list[RawFile]) -> bool:
        return all(fs.exists(osp.join(self.folder, file.path)) for file in files)

    def _download(self, alternatives: list[list[RawFile]]) -> int:
        problems = []
        missing = [sum(not self._has([file]) for file in files) for files in alternatives]
        for i, files in enumerate(alternatives):
            for j, file in enumerate(files):
                try:
                    download(file, self.folder)
                except RuntimeError as e:
                    # The other files have the same fate, and are named rather than waited for:
                    more = [other for other in files[j + 1 :] if not self._has([other])]
                    names = ", ".join(f"'{other.path}' from '{other.origin}'" for other in more)
                    needed = f". Also needed: {names}" if more else ""
                    published = all(map(can_be_had, files))
                    problems.append((missing[i], not published, i, f"{e}{needed}"))
                    break
            else:
                return i
        # The least to do for a person, of what a person can do something about:
        raise RuntimeError(min(problems)[-1])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.folder}', {self.taken})"


def can_be_had(file: RawFile) -> bool:
    r"""Returns whether a file is published, rather than in a mirror only."""
    return file.url is not None or file.by_hand is not None
