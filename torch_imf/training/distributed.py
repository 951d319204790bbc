from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from torch_imf.data.distributed import Shard, gathered, same_everywhere, summed, world
from torch_imf.io.hash import hash_content, hash_tensor
from torch_imf.nn.models import IMF, JointKGE, MultimodalKGE
from torch_imf.training.checkpoint import fingerprint

#: How many numbers of gradients to send at once.
BUCKET = 2**22
#: The losses that are means over a batch, or that know of other processes.
SHARED = {MultimodalKGE.loss, JointKGE.loss, IMF.loss}


def check_shared(model: Module) -> None:
    r"""Raises a :class:`ValueError` if a model cannot share its batches with other processes."""
    name = type(model).__name__
    if getattr(type(model), "loss", None) not in SHARED:
        raise ValueError(
            f"The loss of '{name}' is not a mean over the facts of a batch, of which several "
            f"processes could take a share each. Train it in one process, without 'torchrun'"
        )
    sampler: Any = model.sampler
    if sampler is not None and (sampler.state_dict() or sampler.objective(model.score)):  # type: ignore[operator]
        raise ValueError(
            f"'{type(sampler).__name__}' learns from whole batches, which several processes share. "
            f"Choose the sampler 'uniform' or 'shared', or train in one process"
        )


def shard(model: MultimodalKGE) -> MultimodalKGE:
    r"""Lets each process of a job hold a share of the entities of a model: their embeddings and
    features and, once it is trained, what optimizers know of them. Returns the model, which keeps
    its other parameters in every process.

    .. code-block:: python

        torch.manual_seed(0)
        model = shard(AdaMF(data.num_nodes, data.num_relations, 256, *modalities(data)))
        fit(model, data)  # With a checkpoint, in a file of each process.
        evaluate(model, data)

    It is trained and ranked as one process would, to rounding: a 1-N loss is reduced over shards by
    what is of the size of its queries, and rows of heads, tails and negatives are exchanged. All
    processes call whatever asks the model for entities at once.

    Raises:
        ValueError: If there are fewer entities than processes, these hold different models, or the
            model knows more of entities than tables of embeddings and features.
    """
    if world()[1] == 1:
        return model
    check_shared(model)
    struct: Any = model.struct
    problem = ""
    if any(x.dim() == 2 and len(x) == model.num_nodes for x in model.buffers(recurse=False)):
        problem = "keeps other tensors of all entities"
    elif struct is not None and struct.module is not None:
        problem = "has a module for all structural embeddings"
    elif struct is not None and struct.dropout > 0:
        problem = "draws which structural embeddings to drop ('dropout' of 'struct')"
    elif model.sampler is not None and hasattr(model.sampler, "mix"):
        problem = "mixes the modalities of its negatives"
    elif getattr(model.loss_fn, "seen_only", False):
        problem = "is compared with some entities ('seen_only')"
    elif model.blocks is not None:
        problem = "had entities added"
    if problem:
        raise ValueError(
            f"The entities of '{type(model).__name__}' cannot be shared between processes, as it "
            f"{problem}. Leave 'shard' out: processes then share its batches alone"
        )
    same_everywhere(_digests(model))
    model.whole = fingerprint(model)  # type: ignore[assignment]
    found = Shard(model.num_nodes)
    index = torch.arange(found.start, found.end, device=model.node_emb.weight.device)
    weight, learns = model.node_emb.weight, model.node_emb.weight.requires_grad
    own = torch.nn.Embedding(len(found), weight.size(1), _weight=weight.detach()[index])
    model.node_emb = own.requires_grad_(learns)
    for module in model.features.values():
        module.select(index)
    if struct is not None:
        struct.init = None
    model.shard = found
    return model


def agree(
    model: Module, settings: Mapping[str, Any], facts: Mapping[str, Tensor], batch_size: int
) -> None:
    r"""Raises a :class:`ValueError` if the processes of a job would not train the same model by the
    same facts and draws.
    """
    if world()[1] == 1:
        return
    if batch_size < world()[1]:
        raise ValueError(
            f"'batch_size' needs to be at least the number of processes (got {batch_size}, there "
            f"are {world()[1]})"
        )
    check_shared(model)
    packages = {name: version(name) for name in ("torch", "torch-geometric")}
    same_everywhere(
        {
            "versions": hash_content(repr(packages)),
            "settings": hash_content(repr(settings)),
            **{name: hash_tensor(x).split()[-1] for name, x in facts.items()},
            **_digests(model),
            "random state": hash_tensor(torch.get_rng_state()).split()[-1],
        }
    )


def _digests(model: Module) -> dict[str, str]:
    # Of what is the same in all processes.
    apart = ("node_emb.", "features.") if getattr(model, "shard", None) else ("-",)
    names = {"first parameters": model.named_parameters(), "features": model.named_buffers()}
    return {
        kind: hash_content(repr([(k, hash_tensor(x)) for k, x in found if not k.startswith(apart)]))
        for kind, found in names.items()
    }


def reduce_gradients(parameters: Sequence[Parameter], own: Sequence[Parameter] = ()) -> None:
    r"""Sums gradients over all processes, sparse ones by their rows, but for parameters of which
    each process has its :obj:`own`.
    """
    skipped = {id(p) for p in own}
    shared = [p for p in parameters if id(p) not in skipped]
    has = torch.tensor([p.grad is not None for p in shared], dtype=torch.long)
    has = summed(has.to(shared[0].device)) > 0 if shared else has
    shared = [p for p, is_there in zip(shared, has.tolist(), strict=True) if is_there]
    dense: dict[torch.dtype, list[Tensor]] = {}
    for p in shared:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = _reduced_rows(p.grad)
        else:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad.contiguous()
            dense.setdefault(p.dtype, []).append(p.grad.view(-1))
    for grads in dense.values():
        for bucket in _buckets(grads):
            whole = summed(bucket[0] if len(bucket) == 1 else torch.cat(bucket))
            for grad, part in zip(bucket, whole.split([x.numel() for x in bucket]), strict=True):
                grad.copy_(part)


def _reduced_rows(grad: Tensor) -> Tensor:
    index = grad._indices()[0]
    if bool((index[1:] > index[:-1]).all()):  # As of distinct entities, which need no sorting.
        grad._coalesced_(True)
    grad = grad.coalesce()
    index, value = gathered(grad.indices()[0]), gathered(grad.values())
    return torch.sparse_coo_tensor(index.unsqueeze(0), value, grad.size()).coalesce()


def _buckets(grads: list[Tensor]) -> list[list[Tensor]]:
    out: list[list[Tensor]] = [[]]
    for grad in grads:
        if out[-1] and sum(x.numel() for x in out[-1]) + grad.numel() > BUCKET:
            out.append([])
        out[-1].append(grad)
    return out
