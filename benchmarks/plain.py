"""IMF's training step written plainly, as its released code is: every query has a `[d, d]` matrix
of its own, scores of all candidates and their targets are stored, and all is in `float32`.

It reads the parameters of a model of the package, so that both compute the same loss and gradients
from the same weights (a test compares them), and can be trained alike.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf import IMF


def encode(model: IMF) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """The views of all entities, the latents that are fused (Eq. 4), and who has them."""
    z, masks = {"struct": model.node_emb.weight}, {}
    for name, module in model.features.items():
        masks[name] = module.mask
        has = module.mask.unsqueeze(-1)
        x = module.x[module.row.clamp(max=module.x.size(0) - 1)]
        z[name] = torch.where(has, x @ module.lin.weight.t() + module.lin.bias, module.missing)
    fusion = model.fusion
    latent = {name: torch.relu(lin(z[name])) for name, lin in fusion.lins.items()}
    fused = torch.ones((), device=z["struct"].device)
    for name, lin in fusion.out_lins.items():
        factor = lin(latent[name])
        fused = fused * (1 + factor * masks[name].unsqueeze(-1) if name in masks else 1 + factor)
    z["fused"] = (fused - 1).view(-1, fusion.rank, fusion.out_channels).sum(dim=1)
    return z, latent, masks


def contrastive(latent: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
    """Eq. 6 over all pairs of some entities, pair by pair of modalities."""
    losses, names = [], list(latent)
    for i, p in enumerate(names):
        for q in names[i + 1 :]:
            every = torch.ones(len(latent[p]), dtype=torch.bool, device=latent[p].device)
            has = masks.get(p, every) & masks.get(q, every)
            u, v = (x[has] for x in (latent[p], latent[q]))
            distance = -F.normalize(u, dim=-1) @ F.normalize(v, dim=-1).t()
            losses.append((distance.diag().unsqueeze(-1) - distance + 2).mean())
    return torch.stack(losses).mean()


def loss(model: IMF, head_index: Tensor, rel_type: Tensor, target: Tensor) -> Tensor:
    """The loss of queries with dense targets `[B, N]` (Eq. 6-10)."""
    z, latent, masks = encode(model)
    losses = []
    for view in model.views:
        scorer, rel = model.scorers[view], model.relation(view, rel_type)
        core = scorer.weight.view(scorer.rel_channels, scorer.channels, scorer.channels)
        context = torch.einsum("br,rhd->bhd", rel, core)  # [B, d, d]
        query = torch.bmm(z[view][head_index].unsqueeze(1), context).squeeze(1) + scorer.bias
        score = F.normalize(query, dim=-1) @ F.normalize(z[view], dim=-1).t()
        score = scorer.log_scale.exp() * score + scorer.logit_bias
        losses.append(score.size(1) * F.binary_cross_entropy_with_logits(score, target))
    s = model.decision.log_var
    out = (-s).exp() * (1 + torch.stack(losses)) + s
    index = head_index.unique()
    few = {name: x[index] for name, x in latent.items()}
    few_masks = {name: mask[index] for name, mask in masks.items()}
    weight = 0.0 if model.contrastive is None else model.contrastive.weight
    return out.sum() + weight * contrastive(few, few_masks)


def train(
    model: IMF,
    loader: Iterable[tuple[Tensor, Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Takes a step on each batch of a `QueryLoader`."""
    model.train()
    for head_index, rel_type, pos_index in loader:
        target = torch.zeros(head_index.numel(), model.num_nodes, device=head_index.device)
        target[pos_index[0], pos_index[1]] = 1.0
        optimizer.zero_grad()
        loss(model, head_index, rel_type, target).backward()
        optimizer.step()
