from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear

from torch_imf.data.distributed import mean
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses.regularizer import Facts
from torch_imf.registry import Recorded

if TYPE_CHECKING:
    from torch_imf.nn.models.joint import JointKGE

KINDS = ("head", "tail", "both")


class ModalityGenerator(torch.nn.Module):
    r"""The generator of synthetic modality embeddings of :class:`Adversary` (Eq. 9), with LeakyReLU
    as :math:`\delta`:

    .. math::
        G_m(\mathbf{e}_s, \mathbf{z}) = \mathbf{W}_2 \, \delta \left(
        \mathbf{W}_1 [\mathbf{e}_s ; \mathbf{z}] + \mathbf{b}_1 \right) +
        \mathbf{b}_2, \qquad \mathbf{z} \sim \mathcal{N}(0, \mathbf{I})

    Args:
        in_channels (int): Size of structural embeddings.
        out_channels (int): Size of the modality, and of the hidden layer.
        noise_channels (int, optional): Size of :math:`\mathbf{z}`. (default: :obj:`64`)
    """

    def __init__(self, in_channels: int, out_channels: int, noise_channels: int = 64) -> None:
        super().__init__()
        self.noise_channels = noise_channels
        self.lin1 = Linear(in_channels + noise_channels, out_channels)
        self.lin2 = Linear(out_channels, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        r"""Generates embeddings :obj:`[*, C_m]` from structural ones :obj:`[*, C]` and noise
        :obj:`[*, Z]`, which is drawn anew if it is not given.
        """
        if noise is None:
            noise = torch.randn(*x.size()[:-1], self.noise_channels, device=x.device, dtype=x.dtype)
        return self.lin2(F.leaky_relu(self.lin1(torch.cat([x, noise], dim=-1))))

    def __repr__(self) -> str:
        size = self.lin2.out_features
        return f"{self.__class__.__name__}({size}, noise_channels={self.noise_channels})"


class Adversary(Recorded, torch.nn.Module):
    r"""Modality adversarial training (MAT) from the `"Unleashing the Power of Imbalanced Modality
    Information for Multi-modal Knowledge Graph Completion" <https://arxiv.org/abs/2402.15444>`_
    paper (Eq. 9-11, Algorithm 1), for any model that joins embeddings of modalities.

    A :class:`ModalityGenerator` per modality turns structural embeddings and noise into synthetic
    ones. With them, a fact gives synthetic triples :math:`\mathcal{S} = \{ (h^{*}, r, t), (h, r,
    t^{*}), (h^{*}, r, t^{*}) \}`, :math:`L` groups of which the model (the discriminator) learns to
    tell from facts, while the generators learn to pass them off as facts:

    .. math::
        \mathcal{L}_{adv} = - \log \sigma(s(h, r, t)) - \frac{1}{|\mathcal{S}|}
        \sum_{\mathcal{S}} \log \sigma(- s(h^{*}, r, t^{*})), \qquad
        \mathcal{L}_{gen} = - \frac{1}{|\mathcal{S}|} \sum_{\mathcal{S}} \log
        \sigma(s(h^{*}, r, t^{*}))

    The generators minimise :math:`\mathcal{L}_{gen}` rather than maximise
    :math:`\mathcal{L}_{adv}`, as in the released code. Synthetic embeddings are constants to the
    discriminator, and its parameters are to the generators. An adversary belongs to one model.

    Args:
        weight (float, optional): The weight of :math:`\mathcal{L}_{adv}` in the loss of the model;
            zero is no adversary. (default: :obj:`0.1`)
        num_groups (int, optional): The groups :math:`L` per fact. (default: :obj:`1`)
        noise_channels (int, optional): Size of the noise. (default: :obj:`64`)
        kinds (list[str], optional): The synthetic triples: :obj:`"head"`, :obj:`"tail"`,
            :obj:`"both"`. (default: all of them)
    """

    def __init__(
        self,
        weight: float = 0.1,
        num_groups: int = 1,
        noise_channels: int = 64,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        super().__init__()
        if len(kinds) == 0 or not set(kinds) <= set(KINDS):
            raise ValueError(f"'kinds' need to be of {list(KINDS)} (got {list(kinds)})")
        self.weight = weight
        self.num_groups = num_groups
        self.noise_channels = noise_channels
        self.kinds = tuple(kinds)
        self.generators = torch.nn.ModuleDict()

    def build(self, channels: int, modalities: Sequence[str]) -> None:
        r"""Makes a generator of each modality, all of one size."""
        if len(modalities) == 0:
            raise ValueError("There is no modality to generate. Leave the adversary out")
        if len(self.generators) > 0:
            raise ValueError("This adversary belongs to another model. Make one for each model")
        for name in modalities:
            self.generators[name] = ModalityGenerator(channels, channels, self.noise_channels)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        generator: Any
        for generator in self.generators.values():
            generator.reset_parameters()

    def loss(
        self, model: "JointKGE", z: Tensors, facts: Facts, index: Tensor | None = None
    ) -> Tensor:
        r"""Computes :math:`\mathcal{L}_{adv}` (Eq. 10) of a batch of facts, of shape :obj:`[B]`
        each, given the joint embeddings of all entities, or of those of :obj:`index`, among which
        facts have positions.
        """
        assert model.struct is not None
        head_index, rel_type, tail_index = facts
        query = model.query(model.rows(z, head_index), rel_type)
        key = model.rows(z, tail_index)
        pos_score = model.pair_similarity(query, key)
        ends = [x if index is None else index[x] for x in (head_index, tail_index)]
        struct = model.struct
        found = [model.fetched(lambda i: {"": struct(model.node_emb, i)}, x) for x in ends]
        head, tail = (x[""] for x in found)
        with torch.no_grad():  # Structural embeddings are no constants: they learn from it, too.
            fakes = [(self.fake(head), self.fake(tail)) for _ in range(self.num_groups)]
        return log_loss(pos_score) + log_loss(-self._score(model, query, key, rel_type, fakes))

    def generator_loss(self, model: "JointKGE", facts: Facts) -> Tensor:
        r"""Computes :math:`\mathcal{L}_{gen}` of a batch of facts."""
        head_index, rel_type, tail_index = facts
        own = {id(p) for p in self.parameters()}
        params = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
        try:
            for param in params:
                param.requires_grad_(False)
            both = head, tail = model.embed(head_index), model.embed(tail_index)
            fakes = [[self.fake(e["struct"]) for e in both] for _ in range(self.num_groups)]
            # Of real entities, without modalities they lack:
            query = model.query(model.join(head, model.masks(head_index)), rel_type)
            key = model.join(tail, model.masks(tail_index))
            return log_loss(self._score(model, query, key, rel_type, fakes))
        finally:
            for param in params:
                param.requires_grad_(True)

    def fake(self, struct: Tensor) -> Tensors:
        r"""Returns structural embeddings, and modalities generated from them."""
        return {"struct": struct} | {name: g(struct) for name, g in self.generators.items()}

    def _score(
        self,
        model: "JointKGE",
        query: Tensors,
        key: Tensors,
        rel_type: Tensor,
        fakes: Sequence[Sequence[Tensors]],
    ) -> Tensor:
        # The scores of all synthetic triples, of shape [S, B].
        out = []
        for head, tail in fakes:
            fake_query, fake_key = model.query(model.join(head), rel_type), model.join(tail)
            both = fake_query, fake_key
            pairs = {"head": (fake_query, key), "tail": (query, fake_key), "both": both}
            out += [model.pair_similarity(*pairs[kind]) for kind in self.kinds]
        return torch.stack(out)

    def __repr__(self) -> str:
        sizes = f"weight={self.weight}, num_groups={self.num_groups}, kinds={list(self.kinds)}"
        return f"{self.__class__.__name__}({sizes})"


def log_loss(score: Tensor) -> Tensor:
    r"""The mean of :math:`- \log \sigma(s)`, in single precision at least."""
    loss = F.softplus(-(score if score.dtype.itemsize >= 4 else score.float())).mean()
    return mean(loss, score.numel())
