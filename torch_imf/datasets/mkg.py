from collections.abc import Iterable

from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.raw import OPENKE, Groups, raw_files
from torch_imf.io.tables import read_rows


class MKG(KGDataset):
    r"""The base class of the knowledge graphs that were made for the
    `"Relation-enhanced Negative Sampling for Multimodal Knowledge Graph
    Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper.
    """

    versions = ("mmrns",)
    modalities = ("text", "visual")

    def read_links(self) -> dict[str, str]:
        r"""Reads the URI of each entity in DBpedia."""
        return {node: uri for uri, node in read_rows(self.raw.path("MMRNS/ent_links"), 2)}

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return self.read_links().items()


def mkg_files(name: str) -> Groups:
    r"""Returns the raw files that MKG-W and MKG-Y have alike."""
    links = raw_files(f"{name}/MMRNS/ent_links")
    return {
        "mmrns": [[*raw_files(*(f"{name}/AdaMF-MAT/{file}.txt" for file in OPENKE)), *links]],
        "names": [links],
        "visual": [raw_files(f"{name}/derived/visual_mobilenetv2.npz")],
        "images": [raw_files(f"{name}/derived/entity2image.tsv")],
    }
