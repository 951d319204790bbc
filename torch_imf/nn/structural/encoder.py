import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, ModuleList

from torch_imf.nn.structural.graph_attention import GraphAttention, Neighbors
from torch_imf.nn.structural.translation import TranslationalEncoder


class StructuralEncoder(TranslationalEncoder):
    r"""The structural encoder from the `"IMF: Interactive Multimodal Fusion
    Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: a
    graph attention network over the training facts in both directions. The
    vectors :math:`\mathbf{h}, \mathbf{t}` that it yields take part in the
    energy

    .. math::
        E(h, r, t) = \| \mathbf{h} + \mathbf{r} - \mathbf{t} \|_1

    and the hinge loss (Eq. 1), here averaged over facts and negatives:

    .. math::
        \mathcal{L}_{GAT} = \frac{1}{K |\mathcal{T}|} \sum_{(h, r, t) \in
        \mathcal{T}} \sum_{k=1}^{K} \max \{ 0, \gamma + E(h, r, t) -
        E(h, r, t^{\prime}_k) \}

    The inverse of :math:`r` is :math:`-\mathbf{r}`, so that :math:`E(t,
    r^{-1}, h) = E(h, r, t)`: with facts in both directions, replacing tails
    is replacing heads, too (Eq. 2). A negative is never a training fact
    (:class:`~torch_imf.sampler.UniformSampler`).

    It is trained by :meth:`torch_imf.fit`. The paper trains it first, and
    then uses its vectors as they are:

    .. code-block:: python

        encoder = StructuralEncoder(data.num_nodes, data.num_relations, 64)
        fit(encoder, data, epochs=60, batch_size=512, lr=0.01)
        x = encoder.encode(data)  # [N, 64], without gradients

    To train it within another model, give it the graph by
    :meth:`register_graph` and call it without arguments.

    .. note::
        The form of the paper is :obj:`normalize=False, residual=False`.
        There, the loss can go to zero by vectors that grow, and entities with
        similar neighbors become hard to tell apart. On
        :class:`~torch_imf.datasets.Countries`, trained as above, the mean test
        MRR of three seeds is 0.19 in this form and 0.45 by default
        (:obj:`examples/structural_encoder.py`, with and without
        :obj:`--paper`).

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size :math:`C` of all embeddings, a multiple of
            :obj:`heads`. The heads of every layer are concatenated.
        num_layers (int, optional): The number of layers. (default: :obj:`2`)
        heads (int, optional): The number of attention heads.
            (default: :obj:`4`)
        dropout (float, optional): Dropout of the inputs and of the attention
            coefficients of each layer. (default: :obj:`0.`)
        margin (float, optional): The margin :math:`\gamma`. If :obj:`None`,
            :math:`\sqrt{C} / 2`, about half of the mean distance of random
            directions. (default: :obj:`None`)
        num_negatives (int, optional): The number :math:`K` of negatives per
            fact and direction. (default: :obj:`4`)
        num_neighbors (list[int], optional): The number of neighbors to sample
            per entity in each layer while training (:obj:`-1` for all), for
            graphs that are too large for messages on all edges at each step;
            needs :obj:`pyg-lib` or :obj:`torch-sparse`. If :obj:`None`, all
            edges are used. (default: :obj:`None`)
        edge_attention (bool, optional): If set to :obj:`True`, attention
            depends on the embedding of the relation of each edge as well,
            which it does not in the paper. (default: :obj:`False`)
        normalize (bool, optional): If set to :obj:`True`, scales the vectors
            of entities to unit length. (default: :obj:`True`)
        residual (bool, optional): If set to :obj:`True`, adds the input of
            each layer to its output. (default: :obj:`True`)

    Raises:
        ValueError: If a size, :obj:`heads`, :obj:`dropout` or
            :obj:`num_neighbors` is invalid.
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        num_layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        margin: float | None = None,
        num_negatives: int = 4,
        num_neighbors: list[int] | None = None,
        edge_attention: bool = False,
        normalize: bool = True,
        residual: bool = True,
    ) -> None:
        margin = hidden_channels**0.5 / 2 if margin is None else margin
        super().__init__(
            num_nodes, num_relations, hidden_channels, margin, num_negatives, num_neighbors
        )
        if min(num_layers, heads) < 1 or hidden_channels % heads != 0:
            raise ValueError(
                f"'num_layers' and 'heads' need to be positive, and 'hidden_channels' a multiple "
                f"of 'heads' (got {num_layers}, {heads} and {hidden_channels})"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"'dropout' needs to be in [0, 1) (got {dropout})")
        if num_neighbors is not None and len(num_neighbors) != num_layers:
            raise ValueError(
                f"'num_neighbors' needs one number for each of {num_layers} layers "
                f"(got {num_neighbors})"
            )
        self.heads = heads
        self.dropout = dropout
        self.edge_attention = edge_attention
        self.normalize = normalize
        self.residual = residual

        self._registered: tuple[Tensor, Neighbors] | None = None  # A graph, and what is sorted.
        self.node_emb = Embedding(num_nodes, hidden_channels)
        self.convs = ModuleList(
            GraphAttention(
                hidden_channels,
                hidden_channels // heads,
                heads,
                dropout=dropout,
                edge_dim=hidden_channels if edge_attention else None,
            )
            for _ in range(num_layers)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.xavier_uniform_(self.node_emb.weight)
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        edge_index: Tensor | None = None,
        edge_type: Tensor | None = None,
        n_id: Tensor | None = None,
    ) -> Tensor:
        if edge_index is None:
            edge_index, edge_type = self.edge_index, self.edge_type
        if edge_index is None or edge_type is None:
            raise ValueError("There is no graph to encode. Call 'register_graph(data)' first")
        if edge_type.dim() != 1 or edge_index.size() != (2, edge_type.numel()):
            raise ValueError(
                f"'edge_index' and 'edge_type' need to be of shape [2, E] and [E] (got "
                f"{list(edge_index.size())} and {list(edge_type.size())})"
            )
        x = self.node_emb.weight if n_id is None else self.node_emb(n_id)
        neighbors = self._neighbors(edge_index, edge_type, x.size(0))
        type_emb = self.rel_embedding() if self.edge_attention else None
        for i, conv in enumerate(self.convs):
            x = x if i == 0 else F.elu(x)
            out = conv(F.dropout(x, self.dropout, self.training), neighbors, type_emb)
            x = x + out if self.residual else out
        return F.normalize(x, dim=-1) if self.normalize else x

    def _neighbors(self, edge_index: Tensor, edge_type: Tensor, num_nodes: int) -> Neighbors:
        whole = num_nodes == self.num_nodes and edge_type is self.edge_type
        if not whole or edge_index is not self.edge_index:
            return Neighbors.of(edge_index, edge_type, num_nodes)
        if self._registered is None or self._registered[0] is not edge_index:
            with torch.inference_mode(False):  # It may be needed in training later.
                self._registered = edge_index, Neighbors.of(edge_index, edge_type, num_nodes)
        return self._registered[1]

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_nodes}, num_relations={self.num_relations}, "
            f"hidden_channels={self.hidden_channels}, num_layers={len(self.convs)}, "
            f"heads={self.heads})"
        )
