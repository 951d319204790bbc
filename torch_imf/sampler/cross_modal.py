import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Linear, ModuleDict


class CrossModalAttention(torch.nn.Module):
    r"""The relation-guided attention of the modalities of an entity :math:`t`
    over those of candidates :math:`c`, each over each:

    .. math::
        s_r(t, c) = \frac{1}{\tau} \sum_{p, q} \beta_{pq}(\mathbf{g}_r) \,
        \cos \left( (\mathbf{1} + \mathbf{g}_r) \odot \mathbf{W}_p
        \mathbf{x}_t^p, \, \mathbf{U}_q \mathbf{x}_c^q \right), \qquad
        \beta(\mathbf{g}_r) = \underset{p, q}{\mathrm{softmax}} \left(
        \mathbf{A} \, \mathbf{g}_r \right)

    It is the product of a query, what :math:`(r, t)` look for in each
    modality of a candidate, and a key, so all candidates of a batch are
    encoded once.

    Args:
        num_relations (int): The number of base relations.
        x_dict (dict[str, torch.Tensor]): The features of all entities per
            modality, of shape :obj:`[N, D_k]` each. They stay frozen, and are
            no part of the state dictionary.
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the
            modality, of shape :obj:`[N]` each. A missing one adds nothing.
            (default: :obj:`None`)
        hidden_channels (int, optional): Size of the common space.
            (default: :obj:`64`)
        temperature (float, optional): The temperature :math:`\tau`.
            (default: :obj:`0.1`)

    Shapes:
        - **input:** :obj:`rel_type, tail_index` :math:`(B)`,
          :obj:`key_index` :math:`(M)`
        - **output:** scores :math:`(B, M)`

    Raises:
        ValueError: If a size or the temperature is not positive, there is no
            modality, or features or masks are of different entities or wrong
            shapes.
    """

    def __init__(
        self,
        num_relations: int,
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
        hidden_channels: int = 64,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if min(num_relations, hidden_channels, temperature) <= 0:
            raise ValueError(
                f"'num_relations', 'hidden_channels' and 'temperature' need to be positive (got "
                f"{num_relations}, {hidden_channels} and {temperature})"
            )
        mask_dict = {} if mask_dict is None else mask_dict
        sizes = [list(x.size()) for x in (*x_dict.values(), *mask_dict.values())]
        if (
            len({size[0] for size in sizes}) != 1
            or [len(size) for size in sizes] != [2] * len(x_dict) + [1] * len(mask_dict)
            or not set(mask_dict) <= set(x_dict)
        ):
            raise ValueError(
                f"Expected features [N, D] of at least one modality, and masks [N] of these "
                f"(got shapes {sizes} of {[*x_dict, *mask_dict]})"
            )
        self.num_nodes = sizes[0][0]
        self.num_relations = num_relations
        self.in_channels = {name: x.size(1) for name, x in x_dict.items()}
        self.hidden_channels = hidden_channels
        self.temperature = temperature
        for name, x in x_dict.items():
            x = x.detach().float()
            if name in mask_dict:
                x = x.masked_fill(~mask_dict[name].unsqueeze(1), 0)  # Has a cosine of zero.
            self.register_buffer(f"x_{name}", x, persistent=False)
        self.query_lins = _linears(self.in_channels, hidden_channels)
        self.key_lins = _linears(self.in_channels, hidden_channels)
        self.rel_emb = Embedding(2 * num_relations, hidden_channels)
        self.att = Linear(hidden_channels, len(x_dict) ** 2, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.modules():
            if isinstance(module, Linear | Embedding):
                torch.nn.init.xavier_uniform_(module.weight)

    def forward(self, rel_type: Tensor, tail_index: Tensor, key_index: Tensor) -> Tensor:
        r"""Scores shared candidates, of shape :obj:`[M]`, for each of
        :obj:`[B]` entities, giving :obj:`[B, M]`.
        """
        return self.query(rel_type, tail_index) @ self.key(key_index).t()

    def query(self, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""What each entity looks for under a relation, of shape
        :obj:`[B, Q]`.
        """
        rel = self.rel_emb(rel_type)
        x = self._project(self.query_lins, tail_index)  # [B, P, C]
        x = F.normalize(x * (1 + rel).unsqueeze(1), dim=-1)
        alpha = self.att(rel).softmax(dim=-1).unflatten(1, (x.size(1), -1))  # [B, P, P]
        return (alpha.mT @ x).flatten(1) / self.temperature

    def key(self, index: Tensor) -> Tensor:
        r"""What each of the entities has to show, of shape :obj:`[M, Q]`."""
        return F.normalize(self._project(self.key_lins, index), dim=-1).flatten(1)

    def _project(self, lins: ModuleDict, index: Tensor) -> Tensor:
        return torch.stack(
            [lin(self.get_buffer(f"x_{name}")[index]) for name, lin in lins.items()], dim=1
        )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.num_relations}, {self.in_channels}, "
            f"hidden_channels={self.hidden_channels})"
        )


def _linears(in_channels: dict[str, int], out_channels: int) -> ModuleDict:
    return ModuleDict(
        {name: Linear(size, out_channels, bias=False) for name, size in in_channels.items()}
    )
