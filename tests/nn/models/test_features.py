import copy

import pytest
import torch
from safetensors.torch import save_file
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data

from torch_imf import complete, evaluate, fit, from_pretrained, save_pretrained
from torch_imf.data import map_features, modalities
from torch_imf.evaluation import ranking
from torch_imf.io.mapped import is_mapped
from torch_imf.nn import IKRL, IMF, KGE, RSME, AdaMF, Sampled, StructuralEmbedding
from torch_imf.nn.models import features
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.registry import build_model, describe


def test_frozen_features():
    x, mask = torch.randn(6, 4), torch.tensor([1, 0, 1, 1, 0, 1]).bool()
    module = FrozenFeatures(x, mask, 3)
    assert str(module) == "FrozenFeatures(4, 3, coverage=4/6)"
    assert torch.equal(module.mask, mask)
    out = module()
    centred = x[mask] - x[mask].mean(0)
    assert torch.allclose(module.x, centred / centred.norm(dim=1).mean(), atol=1e-6)
    assert torch.allclose(out[mask], module.lin(module.x))
    assert torch.equal(out[~mask], module.missing.expand(2, 3))
    index = torch.tensor([[4, 0], [5, 1]])
    assert torch.allclose(module(index), out[index])
    out[:2].sum().backward()
    assert module.lin.weight.grad.abs().sum() > 0
    assert torch.equal(module.missing.grad, torch.ones(3))
    assert set(module.state_dict()) == {"lin.weight", "lin.bias", "missing"}  # No features.

    module = FrozenFeatures(x, torch.ones(6, dtype=torch.bool), 3)
    assert torch.allclose(module(), module.lin(module.x))
    assert torch.allclose(module(index), module()[index])
    other = FrozenFeatures(100 * x + 7, torch.ones(6, dtype=torch.bool), 3)
    assert torch.allclose(module.x, other.x, atol=1e-5)

    expected = module()[:1]
    module.select(torch.arange(0))  # What stands in for no entity is none.
    module.extend(x[:1], torch.tensor([True]))
    assert torch.allclose(module(), expected, atol=1e-6)


def test_frozen_features_are_cast_once():
    module = FrozenFeatures(torch.randn(5, 4), torch.ones(5, dtype=torch.bool), 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = module()
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, module.lin(module.x))
        low = module._cast()
        assert module._cast() is low
        module.x.mul_(2)
        assert torch.equal(module._cast(), module.x.bfloat16())  # Not what features were before.
        with torch.inference_mode():
            module.x.mul_(2)
            module()
        module().sum().backward()  # They may be needed in training later.
    assert torch.equal(module(), module.lin(module.x))  # Not in place of the features.
    assert set(module.state_dict()) == {"lin.weight", "lin.bias", "missing"}


def table(num_nodes, dropout=0.0):
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.randn(num_nodes, 16))
    module.forward = lambda: 2 * torch.dropout(module.weight, dropout, module.training)
    return module


@pytest.mark.parametrize("cls", [IMF, KGE, AdaMF, RSME])
@pytest.mark.parametrize("freeze", [False, True])
def test_embeddings_to_start_from(fake, build, cls, freeze):
    x = torch.randn(fake.num_nodes, 16)
    struct = StructuralEmbedding(x, freeze=True) if freeze else x
    model = build(cls, 16, struct=struct)
    assert torch.equal(model.embed()["struct"], x)
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    assert torch.equal(model.embed()["struct"], x) == freeze
    model.reset_parameters()
    assert torch.equal(model.embed()["struct"], x)
    assert not any(key.startswith("struct") for key in model.state_dict())
    assert len(model.objectives()[0].parameters) == sum(1 for _ in model.parameters()) - freeze


@pytest.mark.parametrize("cls", [IMF, AdaMF])
@pytest.mark.parametrize("freeze", [False, True])
def test_embeddings_from_a_module(fake, build, cls, freeze):
    module = table(fake.num_nodes)
    before = module.weight.clone()
    struct = StructuralEmbedding(module, freeze=True) if freeze else module
    model = build(cls, 16, struct=struct)
    index = torch.tensor([3, 1])
    assert torch.equal(model.embed()["struct"], 2 * before)
    assert torch.equal(model.embed(index)["struct"], 2 * before[index])
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    assert torch.equal(module.weight, before) == freeze
    assert torch.equal(model.embed()["struct"], 2 * before) == freeze
    assert not model.node_emb.weight.requires_grad


def test_a_frozen_module_is_called_once(fake, build):
    module = table(fake.num_nodes, dropout=0.5)
    model = build(IMF, 16, struct=StructuralEmbedding(module, freeze=True)).train()
    assert torch.equal(model.encode()["struct"], 2 * module.weight)
    assert module.training and module.weight.requires_grad  # It is left as it was.


def test_relations_to_start_from(fake, build):
    rel_emb = torch.randn(2 * fake.num_relations, 16)
    model = build(IMF, 16, struct=StructuralEmbedding(rel_emb=rel_emb))
    assert torch.equal(model.rel_emb.weight, rel_emb) and model.node_emb.weight.requires_grad
    own = build(IMF, 16, struct=StructuralEmbedding(rel_emb=rel_emb), shared_relations=False)
    assert torch.equal(own.rel_emb["struct"].weight, rel_emb)
    assert not torch.equal(own.rel_emb["text"].weight, rel_emb)


@pytest.mark.parametrize("cls", [IMF, AdaMF])
def test_structure_that_is_left_out_is_not_trained(fake, build, facts, cls, tmp_path):
    model = build(cls, struct=False, loss="ce")
    assert "struct" not in model.views and "struct" not in model.fusion.in_channels
    before = model.node_emb.weight.clone()
    ((_, params, loss_fn),) = model.objectives()
    loss_fn(*facts(6)).backward()
    assert not any(p is model.node_emb.weight for p in params)
    settings = {"lr": 0.01, "checkpoint": tmp_path / "run.pt", "progress": False}
    fit(model, fake, 1, **settings)
    assert torch.equal(model.node_emb.weight, before)
    other = build(cls, struct=False, loss="ce")
    assert [entry["epoch"] for entry in fit(other, fake, 2, **settings)] == [1, 2]


def test_errors(fake, build, refuses):
    assert str(StructuralEmbedding()) == "StructuralEmbedding(freeze=False, dropout=0.0)"
    x, rel = torch.zeros(150, 8), StructuralEmbedding(rel_emb=torch.full((10, 8), torch.inf))
    refuses(
        (r"'init' need to be finite, of shape \[150, 16\]", lambda: build(IMF, 16, struct=x)),
        ("'rel_emb' need to be finite, of shape", lambda: build(KGE, struct=rel)),
        (
            "'struct' needs to be of type bool . Tensor . Module",
            lambda: build(KGE, struct=x.numpy()),
        ),
        ("'freeze' needs the embeddings", lambda: StructuralEmbedding(freeze=True)),
        ("'init' need to be floats", lambda: StructuralEmbedding(x.to(torch.complex64))),
        ("'rel_emb' need to be floats", lambda: StructuralEmbedding(rel_emb=x.long())),
        ("a 'Bilinear' does not take", lambda: build(KGE, struct=torch.nn.Bilinear(2, 2, 2))),
        (
            r"needs to give embeddings \[150, 16\] .got \[7, 16\]",
            build(KGE, 16, struct=table(7)).encode,
        ),
        ("'views' need to be distinct ones of", lambda: build(IMF, struct=False, views=["struct"])),
    )


@pytest.mark.parametrize("cls", [IMF, AdaMF, IKRL, RSME])
def test_dropout_of_structure(bare, build, cls):
    model = build(cls, data=bare, struct=StructuralEmbedding(dropout=0.4)).train()
    mask_dict = model.masks()
    has_others = torch.stack(list(mask_dict.values())).any(dim=0)
    kept, full = mask_dict | {"struct": has_others | True}, model.fusion(model.embed(), mask_dict)
    assert torch.equal(model.fusion(model.embed(), kept), full)
    none = model.fusion(model.embed(), mask_dict | {"struct": ~has_others})
    size = full.size(1)  # RSME has features beside.
    dropped = []
    for _ in range(20):
        out = model.encode()["fused"][:, :size]
        is_dropped = (out != full).any(dim=-1)
        assert torch.equal(out, none.where(is_dropped.unsqueeze(-1), full))
        dropped.append(is_dropped)
    share = torch.stack(dropped).float().mean(dim=0)
    assert (share[~has_others] == 0).all()  # Nothing else would be left of them.
    assert abs(share[has_others].mean() - 0.4) < 0.03 and share[has_others].std() > 0.05
    assert torch.equal(model.eval().encode()["fused"][:, :size], full)

    with torch.no_grad():  # What is dropped has no influence.
        model.node_emb.weight.normal_()
    changed = model.fusion(model.embed(), mask_dict | {"struct": ~has_others})
    assert torch.equal(changed[has_others], none[has_others])


@pytest.mark.parametrize("cls, scorer", [(IMF, "complex"), (AdaMF, "complex"), (AdaMF, "rotate")])
def test_entities_that_are_new_to_a_model_with_dropout(bare, build, cls, scorer):
    # Other modalities speak for them, as they have learned to.
    struct = StructuralEmbedding(dropout=0.4)
    model = build(cls, data=bare, scorer=scorer, struct=struct).eval()
    full = model.encode()["fused"]
    has_others = torch.stack(list(model.masks().values())).any(dim=0)
    model.seen[:10] = False
    masks = model.masks() | {"struct": model.seen | ~has_others}
    out = model.encode()["fused"]
    assert torch.allclose(out, model.fusion(model.embed(), masks)) and not out[:10].equal(full[:10])
    assert torch.equal(out[10:], full[10:]) and torch.equal(
        model.encode(torch.arange(5, 15))["fused"], out[5:15]
    )


def test_dropout_of_structure_by_name(fake):
    settings = {"hidden_channels": 8, "struct.dropout": 0.25}
    for name in ("imf", "adamf", "rsme"):
        model = build_model(name, fake, **settings)
        assert str(model.struct) == "StructuralEmbedding(freeze=False, dropout=0.25)"
        assert describe(model)["struct"]["dropout"] == 0.25


@pytest.mark.parametrize("cls", [KGE, IMF, AdaMF, RSME])
def test_entities_without_a_training_fact(bare, build, cls, tmp_path):
    data, new = bare.clone(), torch.tensor([0, 3])  # The first one has no modality either.
    data.train_mask = data.train_mask & ~torch.isin(data.edge_index, new).any(dim=0)
    model = build(cls, data=data, **({"scorer": "complex"} if cls is AdaMF else {})).eval()
    head, rel = torch.tensor([5, 9]), torch.tensor([1, 6])
    assert model.seen.all() and torch.equal(model.embed()["struct"], model.node_emb.weight)

    fit(model, data, epochs=1, batch_size=64, progress=False)
    model.eval()
    is_new = torch.zeros(data.num_nodes).index_fill(0, new, 1).bool()
    assert torch.equal(model.seen, ~is_new)
    struct, weight = model.embed()["struct"], model.node_emb.weight
    assert torch.equal(struct[~is_new], weight[~is_new])
    assert torch.allclose(struct[is_new], weight[~is_new].mean(dim=0), atol=1e-6)
    index = torch.tensor([3, 9, 0])
    for view, x in model.encode().items():
        assert torch.allclose(model.encode(index)[view], x[index], atol=1e-6)

    score = model.predict(head, rel)
    with torch.no_grad():
        model.node_emb.weight[new] += 100
    assert torch.equal(model.predict(head, rel), score)  # Whatever these hold,
    save_pretrained(model, tmp_path)
    other = from_pretrained(tmp_path)
    assert torch.equal(other.seen, model.seen)
    assert torch.allclose(other.predict(head, rel), score, atol=1e-5)
    assert torch.equal(model.train().embed()["struct"], model.node_emb.weight)
    model.seen.fill_(True)
    old = model.predict(head, rel)
    assert torch.equal(old[:, ~is_new], score[:, ~is_new])  # and scores of others stay.
    assert not torch.isclose(old[:, is_new], score[:, is_new]).any()


def test_the_mean_is_not_neutral_for_distances(build):
    assert build(KGE, scorer="transe").seen is None and build(AdaMF).seen is None
    assert build(AdaMF, scorer="distmult").seen is not None


@pytest.mark.parametrize("freeze", [False, True])
def test_embeddings_of_a_module_without_a_training_fact(fake, build, freeze):
    data, module = fake.clone(), table(fake.num_nodes)
    data.train_mask = data.train_mask & (data.edge_index != 3).all(dim=0)
    model = build(KGE, 16, struct=StructuralEmbedding(module, freeze=freeze))
    fit(model, data, epochs=1, batch_size=64, progress=False)
    own, x = module() if not freeze else model.node_emb.weight, model.eval().embed()["struct"]
    assert torch.equal(x[4:], own[4:])
    assert torch.equal(x[3], own[3]) == freeze  # What is given and not learned stays.


class Largest(TorchDispatchMode):
    """Keeps how many rows of so many features there were at once in memory."""

    rows = 0

    def __init__(self, size):
        super().__init__()
        self.size = size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in pytree.tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.size()[-1:] == (self.size,) and not is_mapped(x):
                self.rows = max(self.rows, x.numel() // self.size)
        return out


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.float])
def test_features_on_the_disk(tmp_path, monkeypatch, dtype):
    num_nodes, num_relations, size = 4000, 2, 67
    x, mask = torch.randn(num_nodes, size).to(dtype), torch.rand(num_nodes) < 0.7
    save_file({"x": x}, tmp_path / "x.safetensors")
    monkeypatch.setattr(features, "CHUNK", 128)
    monkeypatch.setattr(ranking, "CHUNK", 128)
    edge_index = torch.randint(num_nodes, (2, 300))
    split = torch.arange(300) % 30
    data = Data(edge_index=edge_index, edge_type=split % 2, num_nodes=num_nodes)
    data.num_relations, data.x_text, data.text_mask = num_relations, x.float(), mask
    data.train_mask, data.val_mask, data.test_mask = split > 1, split == 0, split == 1
    found = []
    for x_text in (x.float(), map_features(tmp_path / "x.safetensors")):
        torch.manual_seed(0)
        data.x_text = x_text
        with Largest(size) as largest:
            x_dict, mask_dict = modalities(data)
            model = AdaMF(num_nodes, num_relations, 4, x_dict, mask_dict, loss=Sampled(4))
            history = fit(model, data, epochs=2, batch_size=64, progress=False)
            save_pretrained(model, tmp_path / "saved", data)
            found.append((history, evaluate(model, data), complete(model, data, k=5)))
            copy.deepcopy(model)
    assert 128 <= largest.rows < num_nodes / 2
    assert str(model.features["text"]).endswith(f"coverage={int(mask.sum())}/{num_nodes})")
    assert found[1][0][-1]["loss"] == pytest.approx(found[0][0][-1]["loss"], rel=1e-4)
    assert found[1][1]["mr"] == pytest.approx(found[0][1]["mr"], rel=1e-3)
    saved = from_pretrained(tmp_path / "saved")
    head_index, rel_type = torch.arange(5), torch.zeros(5, dtype=torch.long)
    args = head_index, rel_type
    assert torch.allclose(model.predict(*args), saved.predict(*args), atol=1e-5)

    index = torch.arange(1, num_nodes, 3)
    part = model.part(index).features["text"]
    assert is_mapped(part.x) and part.num_rows == int(mask[index].sum())
    assert torch.allclose(part(), model.features["text"]()[index], atol=1e-6)
    lacking = (~mask).nonzero().view(-1)
    part = model.part(lacking).features["text"]
    assert torch.equal(part(lacking.argsort()), part.missing.expand(len(lacking), -1))

    module = model.features["text"]
    module.zero_grad()
    out = module()
    out.square().sum().backward()
    grad = module.lin.weight.grad
    other = FrozenFeatures(x.float(), mask, 4)
    other.load_state_dict(module.state_dict())
    other().square().sum().backward()
    assert torch.allclose(out, other(), atol=1e-5)
    assert torch.allclose(grad, other.lin.weight.grad, rtol=1e-4)
    module.extend(torch.randn(2, size), torch.tensor([True, False]))
    assert (
        torch.allclose(module()[:num_nodes], out, atol=1e-5)
        and module.has().numel() == num_nodes + 2
    )
    assert "x" in dict(module.named_buffers())  # As other features in memory.
