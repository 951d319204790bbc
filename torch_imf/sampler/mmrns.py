import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.sampler.base import Objective, Sampler, Score, check_batch
from torch_imf.sampler.cross_modal import CrossModalAttention
from torch_imf.sampler.gumbel import gumbel_top_k


class MMRNSSampler(Sampler):
    r"""Corrupts tails into entities whose modalities look alike under the
    relation, after the `"Relation-enhanced Negative Sampling for Multimodal
    Knowledge Graph Completion" <https://doi.org/10.1145/3503161.3548388>`_
    paper (MMRNS). Known answers :math:`\mathcal{A}(h, r)` are masked, and
    :math:`K` candidates are drawn without replacement, the first with

    .. math::
        p(t^{\prime} \mid h, r, t) = \frac{\exp s_r(t, t^{\prime})}{\sum_{c
        \notin \mathcal{A}(h, r) \cup \{ t \}} \exp s_r(t, c)}

    where :math:`s_r` is the :class:`CrossModalAttention` of the tail over
    candidates. A Gumbel top-:math:`K` draws them and lets gradients through
    (:meth:`sample`). The contrastive loss (:meth:`loss`) draws together the
    answers of a query and parts them from entities that are none. It is what
    trains the attention beside a model whose loss holds the sampler
    (:meth:`objective`).

    .. note::
        The paper attends over several regions of an image and sentences of a
        text; here a modality is one vector per entity. The equations are
        ours, of the parts that the paper names: a knowledge-guided cross-modal
        attention, a contrastive semantic sampler and a masked Gumbel-softmax.

    Args:
        num_nodes (int): The number of entities.
        attention (CrossModalAttention): The attention over candidates.
        index (TripletIndex, optional): The known facts, *i.e.*, the training
            facts in both directions. If :obj:`None`, only the tail itself is
            masked. (default: :obj:`None`)
        num_negatives (int, optional): The number :math:`K` of negatives per
            fact. (default: :obj:`1`)
        num_candidates (int, optional): How many entities, drawn anew without
            replacement and shared by the batch, to choose from. If
            :obj:`None`, all of them. (default: :obj:`None`)
        temperature (float, optional): The temperature of the relaxed draw of
            which gradients are taken. (default: :obj:`1.`)

    Shapes:
        - **input:** :obj:`head_index, rel_type, tail_index` :math:`(B)`, on
          the device of the index and the attention
        - **output:** :obj:`neg_index` :math:`(B, K)`, with entries of
          :obj:`-1` in the end where the candidates of a batch hold fewer than
          :math:`K` that are no known answers

    Raises:
        ValueError: If :obj:`num_negatives` is larger than the number of
            candidates, or than that of the entities that are no answer of
            some known query: so many cannot be drawn without replacement.
            Also if there are fewer than two entities or one negative, more
            candidates than entities, :obj:`temperature` is not positive, the
            index or the features are of other entities, or a batch has a wrong
            shape.
    """

    def __init__(
        self,
        num_nodes: int,
        attention: CrossModalAttention,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        num_candidates: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        num_candidates = num_nodes if num_candidates is None else num_candidates
        if temperature <= 0:
            raise ValueError(f"'temperature' needs to be positive (got {temperature})")
        if num_candidates > num_nodes:
            raise ValueError(
                f"'num_candidates' needs to be at most {num_nodes}, the number of entities (got "
                f"{num_candidates})"
            )
        if attention.num_nodes != num_nodes:
            raise ValueError(
                f"The attention holds features of {attention.num_nodes} entities (expected "
                f"{num_nodes})"
            )
        num_known = 1 if index is None or len(index) == 0 else int(index.ptr.diff().max())
        most = min(num_candidates, num_nodes - num_known)
        if num_negatives > most:
            raise ValueError(
                f"Cannot draw {num_negatives} negatives without replacement: there are "
                f"{num_candidates} candidates, and {num_nodes - num_known} entities that are no "
                f"answer of the query with most answers"
            )
        self.attention = attention
        self.num_candidates = num_candidates
        self.temperature = temperature

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.attention.reset_parameters()

    @torch.no_grad()
    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return self.sample(head_index, rel_type, tail_index)[0]

    def sample(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Draws negatives as :meth:`forward`, and returns their weights too:
        one in value (zero where there is no negative), with the gradient of
        the relaxed draw of :meth:`gumbel_top_k` (*straight-through*). A loss
        that multiplies the term of each negative by its weight trains the
        attention, towards negatives that lower this loss.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`.
            tail_index (torch.Tensor): The tail indices, of shape :obj:`[B]`.

        Returns:
            Two tensors of shape :obj:`[B, K]`.
        """
        logits, key_index, mask = self._logits(head_index, rel_type, tail_index)
        slot, weight = gumbel_top_k(logits, self.num_negatives, self.temperature, mask)
        is_known = mask.gather(1, slot)
        return key_index[slot].masked_fill(is_known, -1), weight.masked_fill(is_known, 0)

    def loss(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, *others: Tensor
    ) -> Tensor:
        r"""The contrastive loss of a batch of facts, of shape :obj:`[B]` each:

        .. math::
            \mathcal{L} = - \log \frac{\exp s_r(t, t^{+})}{\exp s_r(t, t^{+}) +
            \sum_{c \notin \mathcal{A}(h, r) \cup \{ t \}} \exp s_r(t, c)}

        with a known answer :math:`t^{+}` of the query :math:`(h, r)` drawn
        with equal probability: the tail itself if it is the only one, whose
        modalities are then aligned with each other.
        """
        logits, _, mask = self._logits(head_index, rel_type, tail_index)
        query = self.attention.query(rel_type, tail_index)
        key = self.attention.key(self._answer(head_index, rel_type, tail_index))
        pos = (query * key).sum(dim=-1, keepdim=True)
        score = torch.cat([pos, logits.masked_fill(mask, -torch.inf)], dim=1)
        return F.cross_entropy(score, torch.zeros_like(tail_index))

    def objective(self, score: Score | None = None) -> Objective | None:
        r"""The pair of the attention's parameters and the contrastive loss, to
        which scores of the model do not matter, or :obj:`None` for a frozen
        attention.
        """

        def sampler_loss(*batch: Tensor) -> Tensor:
            return self.loss(*batch)

        params = [p for p in self.parameters() if p.requires_grad]
        return Objective("sampler", params, sampler_loss) if params else None

    def _logits(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # Shared candidates, their attention, and which are known answers.
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
        return answer.where(found, tail_index)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, attention={self.attention}, "
            f"num_candidates={self.num_candidates}"
        )
