import pytest
import torch
from torch_geometric.nn.kge import TransE

from torch_imf import KGE, evaluate, fit
from torch_imf import sampler as module
from torch_imf.data import NegativeLoader, TripletIndex, modalities
from torch_imf.nn import IKRL, AdaMF, Adversary, SampledLoss, self_adversarial_loss
from torch_imf.nn.models.sampled import shared_negatives
from torch_imf.registry import class_names, resolve
from torch_imf.sampler import BernoulliSampler, CrossModalAttention


def build(cls, data, name, seed=1, **kwargs):
    torch.manual_seed(seed)
    x_dict, mask_dict = modalities(data)
    sizes = data.num_nodes, data.num_relations
    arguments = {
        "KBGANSampler": lambda: {"generator": KGE(*sizes, 8)},
        "MANSSampler": lambda: {
            "modalities": list(x_dict),
            "mask_dict": mask_dict,
            "adaptive": True,
        },
        "MMRNSSampler": lambda: {"attention": CrossModalAttention(sizes[1], x_dict, mask_dict)},
    }.get(name, dict)()
    index = TripletIndex.from_data(data, data.train_mask)
    sampler = getattr(module, name)(data.num_nodes, index=index, num_negatives=8, **arguments)
    args = () if cls is KGE else (x_dict, mask_dict)
    return cls(*sizes, 16, *args, loss=SampledLoss(sampler=sampler), **kwargs)


def test_sampled_loss(fake):
    loss = SampledLoss(3, 0.5, "bernoulli")
    assert str(loss) == "SampledLoss(num_negatives=3, temperature=0.5, sampler='bernoulli')"
    model = KGE(fake.num_nodes, fake.num_relations, 8, "transe", loss=loss)
    facts = fake.edge_index[0], fake.edge_type, fake.edge_index[1]
    loader = model.loader(*facts, batch_size=64)
    assert isinstance(loader, NegativeLoader) and isinstance(loader.sampler, BernoulliSampler)
    head_index, rel_type, tail_index, neg_index = next(iter(loader))
    assert neg_index.size() == (64, 3)

    expand = (64, 3)
    pos_score = model(head_index, rel_type, tail_index)
    neg_score = model(
        head_index.view(-1, 1).expand(expand).reshape(-1),
        rel_type.view(-1, 1).expand(expand).reshape(-1),
        neg_index.clamp(min=0).view(-1),
    ).view(expand)
    expected = self_adversarial_loss(pos_score, neg_score, 0.5, neg_index >= 0)
    out = model.loss(head_index, rel_type, tail_index, neg_index)
    assert torch.allclose(out, expected, atol=1e-6)

    facts = loader.head_index, loader.rel_type, loader.tail_index
    batch = model.loss_fn.facts(head_index, rel_type, tail_index, neg_index)
    assert all(torch.equal(x, y[:64]) for x, y in zip(batch, facts, strict=True))

    for kwargs in ({"num_negatives": 0}, {"temperature": -1.0}):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            SampledLoss(**kwargs)


@pytest.mark.parametrize("scorer", ["rotate", "transe", "distmult"])
def test_kge_trains_on_samples(fake, scorer):
    torch.manual_seed(0)
    model = KGE(fake.num_nodes, fake.num_relations, 32, scorer, loss=SampledLoss(16))
    fit(model, fake, 30, 256, lr=0.05, eval_every=30, progress=False)
    assert evaluate(model, fake)["mrr"] > 0.15  # Chance is 0.04.


@pytest.mark.parametrize("cls", [AdaMF, IKRL])
@pytest.mark.parametrize("name", class_names("sampler"))
def test_every_sampler_trains(fake, name, cls):
    model = build(cls, fake, name)
    learned = model.other_objectives()
    before = [p.clone() for _, params, _ in learned for p in params]
    fit(model, fake, 20, 128, lr=0.02, eval_every=20, progress=False)
    assert evaluate(model, fake)["mrr"] > 0.15  # Chance is 0.04.
    # So does the sampler:
    assert bool(learned) == (name in {"KBGANSampler", "MMRNSSampler"})
    after = [p for _, params, _ in learned for p in params]
    assert not any(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    if name == "KBGANSampler":
        assert model.sampler.baseline != 0
    if name == "MANSSampler":
        assert model.sampler.share not in (0.0, 0.5, 1.0)


@pytest.mark.parametrize("cls, adversary", [(KGE, False), (AdaMF, False), (AdaMF, True)])
@pytest.mark.parametrize("name", class_names("sampler"))
def test_objectives_share_the_parameters_out(fake, name, cls, adversary):
    model = build(cls, fake, name, **({"adversary": Adversary()} if adversary else {}))
    objectives = model.objectives()
    has_own = any(True for _ in model.sampler.parameters())
    others = ["sampler"] * has_own + ["generator"] * adversary
    assert [name for name, *_ in objectives] == ["model", *others]
    ids = [id(p) for _, params, _ in objectives for p in params]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}

    # Neither the model nor its sampler learns from the loss of the other:
    loader = model.loader(fake.edge_index[0], fake.edge_type, fake.edge_index[1], batch_size=64)
    batch = next(iter(loader))
    for i, (_, params, loss) in enumerate(objectives[: 1 + has_own]):
        model.zero_grad()
        loss(*batch).backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in params)
        for j, (_, others, _) in enumerate(objectives):
            assert i == j or all(p.grad is None for p in others)


def test_frozen_samplers_have_no_objective(fake):
    for name in ("KBGANSampler", "MMRNSSampler"):
        model = build(AdaMF, fake, name)
        model.sampler.requires_grad_(False)
        fit(model, fake, 1, lr={"model": 0.01}, progress=False)
        assert len(model.objectives()) == 1


def test_kbgan_is_one_objective_with_any_generator(fake):
    model = build(AdaMF, fake, "KBGANSampler", adversary=Adversary())
    model.sampler.generator = TransE(fake.num_nodes, 2 * fake.num_relations, 8)
    own, before = model.node_emb.weight.clone(), model.sampler.generator.node_emb.weight.clone()
    fit(
        model,
        fake,
        1,
        128,
        lr={"model": 0.0, "sampler": 0.01, "generator": 0.0},
        weight_decay=0.0,
        progress=False,
    )
    assert torch.equal(model.node_emb.weight, own)
    assert not torch.equal(model.sampler.generator.node_emb.weight, before)
    with pytest.raises(ValueError, match="'lr' needs a rate for each of the objectives"):
        fit(model, fake, 1, lr={"model": 0.1, "generator": 0.1})


@pytest.mark.parametrize("name", ["KBGANSampler", "MANSSampler", "MMRNSSampler"])
def test_resume_is_bit_exact(fake, tmp_path, name):
    settings = {"batch_size": 128, "lr": 0.02, "patience": None, "progress": False}
    whole = build(AdaMF, fake, name)
    history = fit(whole, fake, 8, **settings)
    path = tmp_path / "checkpoint.pt"
    fit(build(AdaMF, fake, name), fake, 4, checkpoint=path, **settings)
    model = build(AdaMF, fake, name, seed=999)  # A new process starts elsewhere.
    assert fit(model, fake, 8, checkpoint=path, **settings) == history
    for (key, x), y in zip(whole.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(x, y), key
    keys = {
        "KBGANSampler": {"baseline", "generator.node_emb.weight"},
        "MANSSampler": {"share", "num_steps"},
        "MMRNSSampler": {"attention.rel_emb.weight"},
    }[name]
    assert {f"loss_fn.sampler.{key}" for key in keys} <= set(model.state_dict())


def test_samplers_of_a_loader(fake):
    facts = fake.edge_index[0], fake.edge_type, fake.edge_index[1]
    with pytest.raises(ValueError, match="needs to be an object .got 'mans'."):
        KGE(fake.num_nodes, 5, 8, loss=SampledLoss(sampler="mans")).loader(*facts)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'generator'"):
        KGE(fake.num_nodes, 5, 8, loss=SampledLoss(sampler="kbgan")).loader(*facts)
    model = KGE(fake.num_nodes + 1, 5, 8, loss=build(KGE, fake, "UniformSampler").loss_fn)
    with pytest.raises(ValueError, match="draws of 150 entities .expected 151"):
        model.loader(*facts)


@pytest.mark.parametrize("name", ["transe", "rotate", "distmult", "conve"])
def test_facts_that_share_negatives(name):
    # The last chunk is a part, and some negatives are none for a fact, or for all of a chunk.
    torch.manual_seed(0)
    scorer = resolve("scorer", name, 8).eval()
    x, rel = torch.randn(30, 8), torch.randn(10, scorer.rel_channels)
    shared = torch.randint(30, (3, 5))
    neg_index = shared.repeat_interleave(4, dim=0)[:10]
    neg_index = neg_index.masked_fill(torch.rand(10, 5) < 0.3, -1)
    neg_index[:4, 2] = -1
    tail_index = torch.randint(30, (10,))
    outs = []
    for chunk_size in (1, 4):
        loss_fn = SampledLoss(5)
        loss_fn.chunk_size = chunk_size
        node = x.clone().requires_grad_()
        query, key = scorer.query(node[:10], rel), scorer.key(node)
        loss = loss_fn(scorer, query, key, tail_index, neg_index)
        outs.append((loss, *torch.autograd.grad(loss, node)))
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(*outs, strict=True))
    assert shared_negatives(neg_index, 4) is not None
    neg_index[:2, 0] = torch.tensor([3, 4])
    assert shared_negatives(neg_index, 4) is None  # Not shared after all: scored one by one.


def test_the_loader_tells_what_is_shared():
    facts = [torch.randint(9, (20,)), torch.randint(2, (20,)), torch.randint(9, (20,))]
    for sampler, size in (("shared", 128), ("uniform", 1)):
        loss_fn = SampledLoss(4, sampler=sampler)
        loader = loss_fn.loader(*facts, num_nodes=9, batch_size=20)
        assert loss_fn.chunk_size == size
        assert (shared_negatives(next(iter(loader))[-1], size) is not None) == (size > 1)
