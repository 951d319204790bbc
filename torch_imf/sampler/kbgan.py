from typing import Any

import torch
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.sampler.base import Objective, Sampler, Score
from torch_imf.sampler.uniform import UniformSampler


class KBGANSampler(Sampler):
    r"""Lets a knowledge graph embedding model, the generator :math:`G`, choose negatives that
    another one, the discriminator :math:`D`, finds hard, from the `"KBGAN: Adversarial Learning for
    Knowledge Graph Embeddings" <https://arxiv.org/abs/1711.04071>`_ paper. Among :math:`K^{\prime}`
    candidates of the :class:`UniformSampler`, it draws

    :math:`t^{\prime}` with probabilities :math:`p_G` proportional to :math:`\exp \psi_G(h, r,
    t^{\prime})`. The generator maximises the expected score :math:`\psi_D` of its choices by the
    policy gradient (REINFORCE) with a baseline :math:`b`:

    .. math::
        \nabla_G \, \mathbb{E} \left[ \psi_D \right] = \mathbb{E}_{t^{\prime} \sim p_G} \left[
        \left( \psi_D(h, r, t^{\prime}) - b \right) \nabla_G \log p_G(t^{\prime} \mid h, r) \right]

    In the paper :math:`K = 1`, and :math:`b` is the mean reward of the last epoch; here it is an
    exponential moving average, from zero. Negatives are drawn with replacement. A model whose loss
    holds the sampler is the discriminator, and trains both in turn:

    .. code-block:: python

        generator = KGE(num_nodes, num_relations, 32, scorer="distmult")
        sampler = KBGANSampler(num_nodes, generator, index, num_negatives=16)
        model = AdaMF(..., loss=Sampled(sampler=sampler))
        fit(model, data, lr={"model": 1e-2, "sampler": 1e-3})

    Args:
        num_nodes (int): The number of entities.
        generator (torch.nn.Module): The generator, which may be pre-trained: a model of this
            package, or any :class:`~torch_geometric.nn.kge.KGEModel` of relations and inverses.
        index, num_negatives: See :class:`Sampler`.
        num_candidates (int, optional): The number :math:`K^{\prime}` of candidates per fact.
            (default: :obj:`20`)
        momentum (float, optional): The share of the old baseline in the new. (default: :obj:`0.9`)
    """

    baseline: Tensor

    def __init__(
        self,
        num_nodes: int,
        generator: torch.nn.Module,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        num_candidates: int = 20,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        if not 0 <= momentum <= 1:
            raise ValueError(f"'momentum' needs to be in [0, 1] (got {momentum})")
        self.num_candidates = num_candidates
        self.momentum = momentum
        self.candidates = UniformSampler(num_nodes, index, num_candidates)
        self.generator = generator
        self.register_buffer("baseline", torch.zeros(()))
        # No reset: the generator may be pre-trained, as in the paper.

    def reset_parameters(self) -> None:
        r"""Resets the generator and the baseline."""
        self.generator.reset_parameters()  # type: ignore[operator]
        self.baseline.zero_()

    @torch.no_grad()
    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return self.sample(head_index, rel_type, tail_index)[0]

    def sample(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Draws negatives, and returns the logarithms of their probabilities, too."""
        key_index = self.candidates(head_index, rel_type, tail_index)  # [B, K']
        score = self._score(head_index, rel_type, key_index.clamp(min=0))
        # Finite, so that a row without any candidate has no NaN:
        score = score.masked_fill(key_index < 0, torch.finfo(score.dtype).min)
        log_prob = score.log_softmax(dim=-1)
        slot = log_prob.detach().exp().multinomial(self.num_negatives, replacement=True)
        return key_index.gather(1, slot), log_prob.gather(1, slot)

    def loss(self, log_prob: Tensor, reward: Tensor) -> Tensor:
        r"""The loss of the generator for what :meth:`sample` has drawn, given its scores by the
        discriminator: minus the policy gradient is its gradient. Updates the baseline.
        """
        reward = reward.detach()
        loss = -((reward - self.baseline) * log_prob).mean()
        self.baseline.lerp_(reward.mean().to(self.baseline.dtype), 1 - self.momentum)
        return loss

    def objective(self, score: Score) -> Objective | None:
        r"""The parameters of the generator, unless it is frozen, and its loss."""

        def sampler_loss(
            head_index: Tensor, rel_type: Tensor, tail_index: Tensor, *others: Tensor
        ) -> Tensor:
            neg_index, log_prob = self.sample(head_index, rel_type, tail_index)
            with torch.no_grad():
                reward = score(head_index, rel_type, neg_index.clamp(min=0))
            # The baseline is a reward that teaches nothing, where there is no negative:
            return self.loss(log_prob, reward.where(neg_index >= 0, self.baseline))

        params = [p for p in self.generator.parameters() if p.requires_grad]
        return Objective("sampler", params, sampler_loss) if params else None

    def _score(self, head_index: Tensor, rel_type: Tensor, key_index: Tensor) -> Tensor:
        model: Any = self.generator
        if hasattr(model, "score"):
            return model.score(head_index, rel_type, key_index)
        query = (x.repeat_interleave(key_index.size(1)) for x in (head_index, rel_type))
        return model(*query, key_index.flatten()).view(key_index.size())

    def extra_repr(self) -> str:
        generator = f"generator={self.generator}, num_candidates={self.num_candidates}"
        return f"{super().extra_repr()}, {generator}"
