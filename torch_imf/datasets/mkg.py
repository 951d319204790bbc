from collections.abc import Iterable

from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.io import read_text, split_rows
from torch_imf.datasets.sources import RawFile, raw_files
from torch_imf.datasets.triples import OPENKE


class MKG(KGDataset):
    r"""The base class of the knowledge graphs that were made for the
    `"Relation-enhanced Negative Sampling for Multimodal Knowledge Graph
    Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper.
    """

    versions = ("mmrns",)
    modalities = ("text", "visual")

    def read_links(self) -> dict[str, str]:
        r"""Reads the URI of each entity in DBpedia."""
        path = self.raw.path("MMRNS/ent_links")
        return {node: uri for uri, node in split_rows(read_text(path), path, columns=2)}

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return self.read_links().items()


def mkg_files(name: str) -> dict[str, list[list[RawFile]]]:
    r"""Returns the raw files that MKG-W and MKG-Y have alike."""
    links = raw_files(f"{name}/MMRNS/ent_links")
    return {
        "mmrns": [[*raw_files(*(f"{name}/AdaMF-MAT/{file}.txt" for file in OPENKE)), *links]],
        "names": [links],
        "visual": [raw_files(f"{name}/derived/visual_mobilenetv2.npz")],
        "images": [raw_files(f"{name}/derived/entity2image.tsv")],
    }
