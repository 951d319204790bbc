import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Linear, ModuleDict

from torch_imf.data import TripletIndex
from torch_imf.data.graph import check_features
from torch_imf.sampler.base import Objective, Sampler, Score, check_batch


class CrossModalAttention(torch.nn.Module):
    r"""The relation-guided attention of the modalities of an entity :math:`t` over those of
    candidates :math:`c`, each over each, as a product of a query and a key:

    .. math::
        s_r(t, c) = \frac{1}{\tau} \sum_{p, q} \beta_{pq}(\mathbf{g}_r) \, \cos \left( (\mathbf{1} +
        \mathbf{g}_r) \odot \mathbf{W}_p \mathbf{x}_t^p, \, \mathbf{U}_q \mathbf{x}_c^q \right),
        \qquad \beta(\mathbf{g}_r) = \underset{p, q}{\mathrm{softmax}} \left( \mathbf{A} \,
        \mathbf{g}_r \right)

    Args:
        num_relations (int): The number of base relations.
        x_dict (dict[str, torch.Tensor]): The features :obj:`[N, D_k]` per modality. They stay
            frozen, and are no part of the state dictionary.
        mask_dict (dict[str, torch.Tensor], optional): Which entities :obj:`[N]` have a modality. A
            missing one adds nothing. (default: :obj:`None`)
        hidden_channels (int, optional): Size of the common space. (default: :obj:`64`)
        temperature (float, optional): The temperature :math:`\tau`. (default: :obj:`0.1`)
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
        if temperature <= 0:
            raise ValueError(f"'temperature' needs to be positive (got {temperature})")
        if len(x_dict) == 0:
            raise ValueError("The attention needs the features of at least one modality")
        mask_dict = {} if mask_dict is None else mask_dict
        self.num_nodes = next(iter(x_dict.values())).size(0)
        check_features(x_dict, mask_dict, self.num_nodes)
        self.num_relations = num_relations
        self.in_channels = {name: x.size(1) for name, x in x_dict.items()}
        self.hidden_channels = hidden_channels
        self.temperature = temperature
        for name, x in x_dict.items():
            x = x.detach().float()
            if name in mask_dict:
                x = x.masked_fill(~mask_dict[name].unsqueeze(1), 0)  # Has a cosine of zero.
            self.register_buffer(f"x_{name}", x, persistent=False)
        sizes = self.in_channels.items()
        self.query_lins, self.key_lins = (
            ModuleDict({name: Linear(size, hidden_channels, bias=False) for name, size in sizes})
            for _ in range(2)
        )
        self.rel_emb = Embedding(2 * num_relations, hidden_channels)
        self.att = Linear(hidden_channels, len(x_dict) ** 2, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.modules():
            if isinstance(module, Linear | Embedding):
                torch.nn.init.xavier_uniform_(module.weight)

    def forward(self, rel_type: Tensor, tail_index: Tensor, key_index: Tensor) -> Tensor:
        r"""Scores shared candidates :obj:`[M]` for each of :obj:`[B]` entities, giving :obj:`[B,
        M]`.
        """
        return self.query(rel_type, tail_index) @ self.key(key_index).t()

    def query(self, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""What each entity looks for under a relation, of shape :obj:`[B, Q]`."""
        rel = self.rel_emb(rel_type)
        x = self._project(self.query_lins, tail_index)  # [B, P, C]
        x = F.normalize(x * (1 + rel).unsqueeze(1), dim=-1)
        alpha = self.att(rel).softmax(dim=-1).unflatten(1, (x.size(1), -1))  # [B, P, P]
        return (alpha.mT @ x).flatten(1) / self.temperature

    def key(self, index: Tensor) -> Tensor:
        r"""What each of the entities has to show, of shape :obj:`[M, Q]`."""
        return F.normalize(self._project(self.key_lins, index), dim=-1).flatten(1)

    def _project(self, lins: ModuleDict, index: Tensor) -> Tensor:
        parts = [lin(self.get_buffer(f"x_{name}")[index]) for name, lin in lins.items()]
        return torch.stack(parts, dim=1)

    def __repr__(self) -> str:
        sizes = f"{self.num_relations}, {self.in_channels}, hidden_channels={self.hidden_channels}"
        return f"{self.__class__.__name__}({sizes})"


class MMRNSSampler(Sampler):
    r"""Corrupts tails into entities whose modalities look alike under the relation, after the
    `"Relation-enhanced Negative Sampling for Multimodal Knowledge Graph Completion"
    <https://doi.org/10.1145/3503161.3548388>`_ paper (MMRNS). Known answers :math:`\mathcal{A}(h,
    r)` are masked, and :math:`K` candidates are drawn without replacement (:meth:`gumbel_top_k`),
    with probabilities proportional to :math:`\exp s_r(t, t^{\prime})`, where :math:`s_r` is the
    :class:`CrossModalAttention` of the tail over candidates. Rows end with entries of :obj:`-1`
    where the candidates of a batch hold fewer that are no known answers. What trains the attention
    is the contrastive :meth:`loss`, beside a model whose loss holds the sampler.

    The paper attends over several regions of an image and sentences of a text; here a modality is
    one vector per entity. The equations are ours, of the parts that the paper names.

    Args:
        num_nodes (int): The number of entities.
        attention (CrossModalAttention): The attention over candidates.
        index, num_negatives: See :class:`Sampler`.
        num_candidates (int, optional): How many entities, drawn anew and shared by the batch, to
            choose from, by default all of them. (default: :obj:`None`)

    Raises:
        ValueError: As :class:`Sampler`, or if there are too few to draw without replacement.
    """

    def __init__(
        self,
        num_nodes: int,
        attention: CrossModalAttention,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        num_candidates: int | None = None,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        num_candidates = min(num_candidates or num_nodes, num_nodes)
        if attention.num_nodes != num_nodes:
            got = attention.num_nodes
            raise ValueError(f"The attention has features of {got} entities (expected {num_nodes})")
        num_known = 1 if index is None or len(index) == 0 else int(index.ptr.diff().max())
        if num_negatives > min(num_candidates, num_nodes - num_known):
            raise ValueError(
                f"Cannot draw {num_negatives} negatives without replacement from {num_candidates} "
                f"candidates, if {num_known} of {num_nodes} entities are answers of a query"
            )
        self.attention = attention
        self.num_candidates = num_candidates

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.attention.reset_parameters()

    @torch.no_grad()
    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        logits, key_index, mask = self._logits(head_index, rel_type, tail_index)
        slot = gumbel_top_k(logits, self.num_negatives, mask)
        return key_index[slot].masked_fill(mask.gather(1, slot), -1)

    def loss(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, *others: Tensor
    ) -> Tensor:
        r"""The contrastive loss of a batch of facts:

        .. math::
            \mathcal{L} = - \log \frac{\exp s_r(t, t^{+})}{\exp s_r(t, t^{+}) +
            \sum_{c \notin \mathcal{A}(h, r) \cup \{ t \}} \exp s_r(t, c)}

        with a known answer :math:`t^{+}` of the query :math:`(h, r)` drawn with equal probability.
        """
        logits, _, mask = self._logits(head_index, rel_type, tail_index)
        query = self.attention.query(rel_type, tail_index)
        key = self.attention.key(self._answer(head_index, rel_type, tail_index))
        pos = (query * key).sum(dim=-1, keepdim=True)
        score = torch.cat([pos, logits.masked_fill(mask, -torch.inf)], dim=1)
        return F.cross_entropy(score, torch.zeros_like(tail_index))

    def objective(self, score: Score | None = None) -> Objective | None:
        r"""The parameters of the attention, unless it is frozen, and :meth:`loss`."""
        params = [p for p in self.parameters() if p.requires_grad]
        return Objective("sampler", params, self.loss) if params else None

    def _logits(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # The attention over shared candidates, these, and which are known answers.
        check_batch(head_index, rel_type, tail_index)
        size, device = self.num_candidates, tail_index.device
        key_index = torch.randperm(self.num_nodes, device=device)[:size]
        slot = torch.full((self.num_nodes,), size, device=device)
        slot[key_index] = torch.arange(size, device=device)
        # One more column takes the known answers that are no candidates:
        mask = torch.zeros(tail_index.numel(), size + 1, dtype=torch.bool, device=device)
        mask.scatter_(1, slot[tail_index].unsqueeze(1), True)
        if self.index is not None:
            pos_index = self.index(head_index, rel_type)
            mask[pos_index[0], slot[pos_index[1]]] = True
        logits = self.attention(rel_type, tail_index, key_index)
        return logits.float(), key_index, mask[:, :size]

    def _answer(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        # A known answer of each query, or the given tail where there is none.
        draw = torch.randint(2**62, tail_index.size(), device=tail_index.device)
        if self.index is None or len(self.index) == 0:
            return tail_index
        pos, found = self.index.find(head_index, rel_type)
        start = self.index.ptr[pos]
        answer = self.index.tail_index[start + draw % (self.index.ptr[pos + 1] - start)]
        return answer.where(found, tail_index).long()

    def extra_repr(self) -> str:
        attention = f"attention={self.attention}, num_candidates={self.num_candidates}"
        return f"{super().extra_repr()}, {attention}"


def gumbel_top_k(logits: Tensor, k: int, mask: Tensor | None = None) -> Tensor:
    r"""Draws :math:`K` of :math:`N` candidates without replacement, with probabilities
    :math:`\mathrm{softmax}(\ell)` renormalised after each draw, as those of largest perturbed
    logits :math:`\ell_c + g_c` with :math:`g_c \sim \mathrm{Gumbel}(0, 1)`, from the
    `"Stochastic Beams and Where to Find Them" <https://arxiv.org/abs/1903.06059>`_ paper.

    From logits :obj:`[*, N]`, it returns the positions of the draws :obj:`[*, K]`. Those that a
    mask of the same shape holds are drawn after all others.
    """
    value = logits - torch.empty_like(logits).exponential_().log()
    value = value if mask is None else value.masked_fill(mask, -torch.inf)
    return value.topk(k, dim=-1).indices
