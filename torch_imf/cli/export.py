r"""The command that hands a model and its graph to other tools."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import torch_imf
from torch_imf.cli.command import Output
from torch_imf.cli.inputs import Saved, empty_folder
from torch_imf.io.atomic import replacing

Vectors = Literal["npy", "word2vec", "parquet", "faiss", "tensorboard"]
Facts = Literal["pykeen", "neo4j", "graphml"]
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")  # In no XML.


def export(
    saved: Saved,
    out: Annotated[str, "the folder, which is not there yet, or empty"],
    *,
    to: Annotated[Vectors | Facts, "the format, of embeddings or of facts:"] = "npy",
    views: Annotated[Sequence[str] | None, "views of embeddings (default: all of them)"] = None,
    images: Annotated[str | None, "pictures of entities to show in TensorBoard"] = None,
) -> Output:
    r"""Writes embeddings, or the facts of the graph, for other tools.

    Embeddings are those of entities and relations in each view, and fused. Facts go to files that
    PyKEEN and most others read, to neo4j-admin, or to GraphML. What a graph misses is written by
    'torch-imf complete --out', as a table or as RDF.

    Examples:
      torch-imf export runs/first vectors/                      npy, and tables of names
      torch-imf export runs/first board/ --to tensorboard --images my_graph/images
      torch-imf export runs/first import/ --to neo4j
    """
    folder = empty_folder(out)
    if to in ("pykeen", "neo4j", "graphml"):
        if views or images:
            raise ValueError(f"'--views' and '--images' are of embeddings, and '{to}' has none")
        data = torch_imf.pretrained_graph(saved.folder)
        if to == "graphml":
            import networkx as nx

            from torch_imf.data.names import Lookup

            lookups = Lookup.of_entities(data), Lookup.of_relations(data)
            words = (word for x in lookups for word in (*x.ids, *x.names))
            if odd := next(filter(CONTROL.search, words), None):
                raise ValueError(f"{odd!r} holds a control character, which GraphML cannot")
            with replacing(folder / "graph.graphml") as file:
                nx.write_graphml(torch_imf.data.to_networkx(data), file)
        else:
            write = torch_imf.data.write_neo4j if to == "neo4j" else torch_imf.data.write_triples
            write(data, folder)
        files = sorted(map(str, folder.iterdir()))
    else:
        model, data = saved.load(features=False)
        files = torch_imf.answers.write_embeddings(model, data, folder, to, views, images)
    return Output("\n".join(files), {"files": files})
