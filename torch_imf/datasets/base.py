import os
import os.path as osp
import pickle
import tempfile
from collections.abc import Callable, Sequence

from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.dataset import MISSING

from torch_imf.datasets.download import download
from torch_imf.datasets.encoder import Encoder, check_encoder, run_encoder, tag
from torch_imf.datasets.graph import validate


class KGDataset(InMemoryDataset):
    r"""The base class of multimodal knowledge graphs.

    A dataset is one :class:`~torch_geometric.data.Data` object that holds all
    facts, and the masks :obj:`train_mask`, :obj:`val_mask` and
    :obj:`test_mask` over its edges. The only graph a model may see during
    training is :obj:`data.edge_subgraph(data.train_mask)`.

    =================================  ========================================
    :obj:`edge_index`                  head and tail of each fact, \
                                       :math:`(2, |\mathcal{E}|)`
    :obj:`edge_type`                   its relation, :math:`(|\mathcal{E}|)`
    :obj:`num_nodes`                   the number of entities
    :obj:`num_relations`               the number of relations, no inverses
    :obj:`node_ids`                    the identifier of each entity
    :obj:`node_names`                  its name for people, not unique
    :obj:`rel_names`                   the name of each relation
    :obj:`x_text`, :obj:`x_visual`, \
    :obj:`x_numeric`                   the features of each modality, \
                                       :math:`(|\mathcal{V}|, D)`, where there\
                                       are any
    :obj:`text_mask`, \
    :obj:`visual_mask`, \
    :obj:`numeric_mask`                whether an entity has this modality, \
                                       :math:`(|\mathcal{V}|)`; rows of those\
                                       without are zero
    :obj:`encoders`                    the encoder of each modality in words, \
                                       with the versions of its packages
    =================================  ========================================

    A subclass sets :attr:`files` and implements :meth:`read`. The encoders are
    part of the name of the processed file, so that features of two encoders
    never mix; a change of the raw data by hand needs :obj:`force_reload`.

    Args:
        root (str, optional): The folder to keep the dataset in. If it is
            :obj:`None`, the dataset is built in memory, which only datasets
            without raw files can do. (default: :obj:`None`)
        text (callable, optional): The encoder of the texts, a callable
            :obj:`list[str | None] -> Tensor[N, D]`, or :obj:`None` to leave
            them out. It may also return a mask, as in :obj:`(Tensor[N, D],
            Tensor[N])`, that is :obj:`False` for entities that turned out to
            have none. Its :obj:`repr` needs to tell all settings that shape
            the features. (default: :obj:`None`)
        visual (callable, optional): The encoder of the images, a callable
            :obj:`list[path | Tensor | None] -> Tensor[N, D]`, as above.
            (default: :obj:`None`)
        numeric (callable, optional): The encoder of the numeric literals, a
            callable :obj:`(index, attributes, values, num_nodes) ->
            Tensor[N, D]`, as above. (default: :obj:`None`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to process the raw files again.
            (default: :obj:`False`)

    Raises:
        ValueError: If an encoder cannot be told apart by its :obj:`repr`, or
            the data is not sound.
        RuntimeError: If a file cannot be fetched or the processed file is
            damaged.
    """

    files: dict[str, tuple[str | None, str]] = {}
    """The raw files: path in a mirror -> (address upstream, SHA-256)."""

    split: str = "original"
    """The name of the split, part of the name of the processed file."""

    def __init__(
        self,
        root: str | None = None,
        text: Encoder | None = None,
        visual: Encoder | None = None,
        numeric: Encoder | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        self.encoders = {"text": text, "visual": visual, "numeric": numeric}
        for modality, encoder in self.encoders.items():
            check_encoder(modality, encoder)

        if root is None and len(self.files) > 0:
            raise ValueError(f"'{self.__class__.__name__}' needs a 'root' to keep its files in")

        super().__init__(root, transform, pre_transform, force_reload=force_reload)

        if root is None:
            self.data, self.slices = self.collate([self.build()])
            return
        try:
            self.load(self.processed_paths[0])
        except (pickle.UnpicklingError, RuntimeError, EOFError, AssertionError) as e:
            raise RuntimeError(
                f"'{self.processed_paths[0]}' is damaged, pass 'force_reload=True' to process "
                f"the dataset again ({e})"
            ) from e

    @property
    def raw_file_names(self) -> list[str]:
        return [osp.basename(file) for file in self.files]

    @property
    def processed_file_names(self) -> str:
        tags = [f"{modality}={tag(encoder)}" for modality, encoder in self.encoders.items()]
        return "_".join(["data", self.split, *tags]) + ".pt"

    @property
    def has_download(self) -> bool:
        return len(self.files) > 0

    @property
    def has_process(self) -> bool:
        return self.root != MISSING

    @property
    def num_relations(self) -> int:
        r"""The number of relations, without inverses."""
        return self._data.num_relations

    @property
    def node_names(self) -> list[str]:
        r"""The name of each entity, for people; names are not unique."""
        return self._data.node_names

    @property
    def rel_names(self) -> list[str]:
        r"""The name of each relation."""
        return self._data.rel_names

    def download(self) -> None:
        for file, (url, sha256) in self.files.items():
            download(file, url, sha256, self.raw_dir)

    def read(self) -> Data:
        r"""Reads the raw files and runs the encoders. To be implemented."""
        raise NotImplementedError

    def build(self) -> Data:
        r"""Returns the graph as it is saved: read, checked, transformed."""
        data = self.read()
        validate(data)
        return data if self.pre_transform is None else self.pre_transform(data)

    def process(self) -> None:
        self.download()  # Checks files that were put in place by hand.
        data = self.build()
        path = self.processed_paths[0]
        handle, temporary = tempfile.mkstemp(prefix=".process-", dir=self.processed_dir)
        os.close(handle)
        try:
            self.save([data], temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            if osp.exists(temporary):
                os.remove(temporary)

    def encode(self, data: Data, modality: str, *inputs: object, mask: Sequence[bool]) -> None:
        r"""Runs the encoder of a modality and adds its features to
        :obj:`data`, if there is an encoder.

        Args:
            data (Data): The graph to add :obj:`x_<modality>`,
                :obj:`<modality>_mask` and :obj:`encoders[<modality>]` to.
            modality (str): :obj:`"text"`, :obj:`"visual"` or
                :obj:`"numeric"`.
            *inputs: What the encoder is called with.
            mask (list[bool]): Which entities have this modality.

        Raises:
            ValueError: If the features do not have one finite row per entity,
                or no entity is left that has this modality.
        """
        encoder = self.encoders[modality]
        if encoder is None:
            return

        x, keep = run_encoder(modality, encoder, inputs, mask)
        data[f"x_{modality}"] = x
        data[f"{modality}_mask"] = keep
        data.encoders = {**data.get("encoders", {}), modality: repr(encoder)}

    def __repr__(self) -> str:
        encoders = [
            f"{key}={encoder}" for key, encoder in self.encoders.items() if encoder is not None
        ]
        sizes = [str(self._data.num_nodes), f"num_relations={self.num_relations}"]
        return f"{self.__class__.__name__}({', '.join([*sizes, *encoders])})"
