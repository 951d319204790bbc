import pytest
import torch
from torch_geometric.nn.kge import TransE

from torch_imf import KGE, evaluate, fit
from torch_imf.data import TripletIndex, modalities
from torch_imf.nn import IKRL, AdaMF, Sampled
from torch_imf.registry import class_names, lookup
from torch_imf.sampler import CrossModalAttention


@pytest.fixture
def sampled(fake):
    """The loss with a sampler, by the name of its class."""

    def make(name):
        torch.manual_seed(1)
        x_dict, mask_dict = modalities(fake)
        sizes = fake.num_nodes, fake.num_relations
        mixed = {"modalities": list(x_dict), "mask_dict": mask_dict, "adaptive": True}
        kwargs = {
            "KBGANSampler": lambda: {"generator": KGE(*sizes, 8)},
            "MANSSampler": lambda: mixed,
            "MMRNSSampler": lambda: {"attention": CrossModalAttention(sizes[1], x_dict, mask_dict)},
        }.get(name, dict)()
        index = TripletIndex.from_data(fake, fake.train_mask)
        cls = lookup("sampler", name)
        return Sampled(sampler=cls(fake.num_nodes, index=index, num_negatives=8, **kwargs))

    return make


@pytest.mark.parametrize("cls", [AdaMF, IKRL])
@pytest.mark.parametrize("name", class_names("sampler"))
def test_every_sampler_trains(fake, build, sampled, name, cls):
    model = build(cls, 16, loss=sampled(name))
    learned = [p for other in model.other_objectives() for p in other.parameters]
    before = [p.clone() for p in learned]
    fit(model, fake, 20, 128, lr=0.02, eval_every=20, progress=False)
    assert evaluate(model, fake)["mrr"] > 0.15  # Chance is 0.04.
    # So does the sampler:
    assert bool(learned) == (name in {"KBGANSampler", "MMRNSSampler"})
    assert not any(torch.equal(x, y) for x, y in zip(before, learned, strict=True))
    if name == "KBGANSampler":
        assert model.sampler.baseline != 0
    if name == "MANSSampler":
        assert model.sampler.share not in (0.0, 0.5, 1.0)


@pytest.mark.parametrize("cls, adversary", [(KGE, False), (AdaMF, False), (AdaMF, True)])
@pytest.mark.parametrize("name", class_names("sampler"))
def test_objectives_share_the_parameters_out(build, facts, sampled, name, cls, adversary):
    model = build(cls, loss=sampled(name), **({"adversary": True} if adversary else {}))
    objectives = model.objectives()
    has_own = any(True for _ in model.sampler.parameters())
    expected = ["model", *["sampler"] * has_own, *["generator"] * adversary]
    assert [objective.name for objective in objectives] == expected
    ids = [id(p) for objective in objectives for p in objective.parameters]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}

    # Neither the model nor its sampler learns from the loss of the other:
    batch = next(iter(model.loader(*facts(), batch_size=64)))
    for own in objectives[: 1 + has_own]:
        model.zero_grad()
        own.loss(*batch).backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in own.parameters)
        others = [p for x in objectives if x is not own for p in x.parameters]
        assert all(p.grad is None for p in others)


def test_other_generators_and_frozen_samplers(fake, build, sampled):
    model = build(AdaMF, loss=sampled("KBGANSampler"), adversary=True)
    generator = model.sampler.generator = TransE(fake.num_nodes, 2 * fake.num_relations, 8)
    before = generator.node_emb.weight.clone()
    fit(model, fake, 1, 128, lr=0.01, progress=False)
    assert not torch.equal(generator.node_emb.weight, before)
    for name in ("KBGANSampler", "MMRNSSampler"):
        model = build(AdaMF, loss=sampled(name))
        model.sampler.requires_grad_(False)
        assert len(model.objectives()) == 1


@pytest.mark.parametrize("name", ["KBGANSampler", "MANSSampler", "MMRNSSampler"])
def test_resume_is_bit_exact(fake, build, sampled, tmp_path, name):
    settings = {"batch_size": 128, "lr": 0.02, "patience": None, "progress": False}
    whole, part, model = (build(AdaMF, 16, loss=sampled(name)) for _ in range(3))
    torch.manual_seed(1)
    history = fit(whole, fake, 8, **settings)
    torch.manual_seed(1)
    path = tmp_path / "checkpoint.pt"
    fit(part, fake, 4, checkpoint=path, **settings)
    torch.manual_seed(999)  # A new process starts elsewhere.
    model.reset_parameters()
    assert fit(model, fake, 8, checkpoint=path, **settings) == history
    for (key, x), y in zip(whole.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(x, y), key
    assert any(key.startswith("loss_fn.sampler.") for key in model.state_dict())
