import pytest
import torch

from torch_imf import evaluate, fit, train
from torch_imf.data import modalities
from torch_imf.nn import IMF, ContextualRelationalScorer, contrastive_loss, info_nce_loss


def test_imf_views(fake):
    x_dict, mask_dict = modalities(fake)
    size = (fake.num_nodes, fake.num_relations, 16)
    model = IMF(*size, x_dict, mask_dict)
    assert model.views == ["struct", *x_dict, "fused"]
    assert len(model.scorers) == len(model.views)
    assert model.rel_emb.weight.size() == (2 * fake.num_relations, 16)
    assert "decision" in str(dict(model.named_children()))

    model = IMF(*size, x_dict, mask_dict, views=["fused"])  # w/o DF
    assert model.decision is None and len(model.scorers) == 1
    model = IMF(*size, x_dict, mask_dict, views=["struct"])  # w/o MF
    assert model.fusion is None and len(model.features) == 0
    assert IMF(*size).views == ["struct"]
    model = IMF(*size, x_dict, mask_dict, shared_relations=False)
    assert set(model.rel_emb) == set(model.views)


def test_any_modality_without_touching_the_model(fake):
    data = fake.clone()
    data.x_audio = torch.randn(data.num_nodes, 5)
    model = IMF(data.num_nodes, data.num_relations, 16, *modalities(data))
    assert "audio" in model.views and "audio" in model.fusion.in_channels


def test_imf_loss_adds_its_parts(fake):
    x_dict, mask_dict = modalities(fake)
    args = (fake.num_nodes, fake.num_relations, 16, x_dict, mask_dict)
    weight = dict.fromkeys(IMF(*args).views, 1.0)
    model = IMF(*args, decision_weight=weight, contrastive_weight=0.5)
    head, rel = fake.edge_index[0, :8], fake.edge_type[:8]
    batch = (head, rel, torch.stack([torch.arange(8), fake.edge_index[1, :8]]))
    total = model.loss(*batch)

    z = model.encode()
    expected = model.view_loss(z, *batch)
    latent = model.fusion.latent({k: v for k, v in z.items() if k != "fused"})
    index = head.unique()
    args = (
        {name: x[index] for name, x in latent.items()},
        {name: mask[index] for name, mask in mask_dict.items()},
    )
    assert torch.allclose(total, expected + 0.5 * contrastive_loss(*args))

    model.contrastive_temperature = 0.1
    assert torch.allclose(model.loss(*batch), expected + 0.5 * info_nce_loss(*args))
    model.contrastive_weight = 0.0
    assert torch.allclose(model.loss(*batch), model.view_loss(z, *batch))


def test_checkpoint_carries_no_features(fake):
    x_dict, mask_dict = modalities(fake)
    model = IMF(fake.num_nodes, fake.num_relations, 16, x_dict, mask_dict)
    assert not any(key.endswith(("_mask", ".x", ".row")) for key in model.state_dict())
    other = IMF(fake.num_nodes, fake.num_relations, 16, x_dict, mask_dict)
    other.load_state_dict(model.state_dict())
    head, rel = fake.edge_index[0, :8], fake.edge_type[:8]
    assert torch.equal(model.eval().predict(head, rel), other.eval().predict(head, rel))


def test_scorer_modules_are_copied(fake):
    scorer = ContextualRelationalScorer(16, 8, similarity="dot", dropout=0.2)
    model = IMF(fake.num_nodes, fake.num_relations, 16, *modalities(fake), scorer=scorer)
    first, second = list(model.scorers.values())[:2]
    assert first.dropout == second.dropout == 0.2
    assert not torch.equal(first.weight, second.weight)
    assert model.rel_emb.weight.size(1) == 8


def test_modalities_answer_what_structure_cannot(fake):
    scores = {}
    for view in ("struct", "fused"):
        torch.manual_seed(1)
        args = (fake.num_nodes, fake.num_relations, 32, *modalities(fake))
        model = IMF(*args, views=[view], scorer="distmult", loss="ce")
        fit(model, fake, epochs=40, batch_size=64, lr=0.01, eval_every=5, patience=None)
        scores[view] = evaluate(model, fake, by=["relation"])["relation"]
    # Classes are drawn at random, and shown by one modality each.
    for name in ("has_colour", "has_topic", "has_size"):
        assert scores["fused"][name]["mrr"] > scores["struct"][name]["mrr"] + 0.2


def test_structure_from_embeddings(fake):
    size = (fake.num_nodes, fake.num_relations, 16)
    x_dict, mask_dict = modalities(fake)
    struct, rel_emb = torch.randn(size[0], 16), torch.randn(2 * size[1], 16)
    model = IMF(*size, x_dict, mask_dict, struct=struct, rel_emb=rel_emb)
    assert torch.equal(model.encode()["struct"], struct)
    assert torch.equal(model.rel_emb.weight, rel_emb)
    fit(model, fake, epochs=1, batch_size=64)
    assert not torch.equal(model.encode()["struct"], struct)
    model.reset_parameters()
    assert torch.equal(model.encode()["struct"], struct)
    assert not any(key.startswith("init_") for key in model.state_dict())

    frozen = IMF(*size, x_dict, mask_dict, struct=struct, freeze_struct=True)
    fit(frozen, fake, epochs=1, batch_size=64)
    assert torch.equal(frozen.encode()["struct"], struct)
    own = IMF(*size, x_dict, mask_dict, rel_emb=rel_emb, shared_relations=False)
    assert torch.equal(own.rel_emb["struct"].weight, rel_emb)
    assert not torch.equal(own.rel_emb["text"].weight, rel_emb)


def test_structure_from_a_module(fake):
    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(fake.num_nodes, 16))

        def forward(self):
            return 2 * self.weight

    size = (fake.num_nodes, fake.num_relations, 16)
    for freeze in (False, True):
        module = Table()
        before = module.weight.clone()
        model = IMF(*size, *modalities(fake), struct=module, freeze_struct=freeze)
        assert torch.equal(model.encode()["struct"], 2 * before)
        index = torch.tensor([3, 1])
        assert torch.equal(model.encode(index)["struct"], 2 * before[index])
        fit(model, fake, epochs=1, batch_size=64)
        assert torch.equal(module.weight, before) == freeze
        assert torch.equal(model.encode()["struct"], 2 * before) == freeze
        assert not model.node_emb.weight.requires_grad


def test_a_frozen_module_is_called_once(fake):
    class Noisy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(fake.num_nodes, 16))

        def forward(self):
            return torch.nn.functional.dropout(self.weight, 0.5, self.training)

    module = Noisy()
    args = (fake.num_nodes, fake.num_relations, 16, *modalities(fake))
    model = IMF(*args, struct=module, freeze_struct=True).train()
    assert torch.equal(model.encode()["struct"], module.weight)
    assert module.training and module.weight.requires_grad  # It is left as it was.
    assert not model.node_emb.weight.requires_grad


@pytest.mark.parametrize("fusion", ["imf", "mutan"])
def test_the_contrastive_loss_compares_modalities(fake, fusion):
    model = IMF(fake.num_nodes, fake.num_relations, 16, *modalities(fake), fusion=fusion)
    assert list(model._encode()[1]) == ["struct", *modalities(fake)[0]]


def test_contrastive_pairs(fake):
    size = (fake.num_nodes, fake.num_relations, 16)
    args = (*size, *modalities(fake))
    pairs = [("struct", "text")]
    model = IMF(*args, contrastive_pairs=pairs)
    head, rel = fake.edge_index[0, :8], fake.edge_type[:8]
    batch = (head, rel, fake.edge_index[1, :8])
    z = model.encode()
    expected = model.view_loss(z, *batch)
    index = head.unique()
    latent = model.fusion.latent({k: v for k, v in z.items() if k != "fused"})
    latent = {name: x[index] for name, x in latent.items()}
    mask_dict = {name: mask[index] for name, mask in modalities(fake)[1].items()}
    expected = expected + contrastive_loss(latent, mask_dict, pairs)
    assert torch.allclose(model.loss(*batch), expected)
    with pytest.raises(ValueError, match="'contrastive_pairs' need to be two of"):
        IMF(*args, contrastive_pairs=[("struct", "smell")])


def test_one_weight_for_all_views(fake):
    args = (fake.num_nodes, fake.num_relations, 16, *modalities(fake))
    model = IMF(*args, decision_weight=1.0)
    weights = model.view_weights()
    assert weights == pytest.approx(dict.fromkeys(model.views, 0.2))
    assert not model.decision.log_var.requires_grad
    assert not IMF(*args, decision_weight=1).decision.learned


def test_an_entity_without_any_modality(fake):
    # It has its structural embedding, and a vector per view that such entities share:
    data = fake.clone()
    for name in modalities(data)[0]:
        data[f"{name}_mask"] = data[f"{name}_mask"].clone()
        data[f"{name}_mask"][:2] = False
    model = IMF(data.num_nodes, data.num_relations, 16, *modalities(data))
    fit(model, data, epochs=2, batch_size=64)
    z = model.eval().encode()
    for name in modalities(data)[0]:
        assert torch.equal(z[name][0], z[name][1])
    assert not torch.equal(z["fused"][0], z["fused"][1])
    score = model.predict(torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert score.isfinite().all()


@pytest.mark.parametrize("temperature", [None, 0.1])
@pytest.mark.parametrize("scorer", ["contextual", "conve"])
def test_single_facts(fake, scorer, temperature):
    # Of entities with and without each modality.
    args = (fake.num_nodes, fake.num_relations, 12, *modalities(fake))
    model = IMF(*args, scorer=scorer, contrastive_temperature=temperature)
    facts = fake.edge_index[0, :10], fake.edge_type[:10], fake.edge_index[1, :10]
    loader = model.loader(*facts, batch_size=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [train(model, loader, [optimizer]) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_relation_unseen_in_training(fake):
    data = fake.clone()
    data.num_relations += 1
    data.rel_names = [*data.rel_names, "new"]
    data.edge_type = data.edge_type.clone()
    data.edge_type[data.test_mask.nonzero()[:3, 0]] = data.num_relations - 1
    model = IMF(data.num_nodes, data.num_relations, 16, *modalities(data))
    fit(model, data, epochs=2, batch_size=64)
    out = evaluate(model, data, by=["relation"])
    assert 0 < out["relation"]["new"]["mrr"] < 0.5


def test_errors(fake):
    x_dict, mask_dict = modalities(fake)
    size = (fake.num_nodes, fake.num_relations, 16)
    with pytest.raises(ValueError, match="'views' need to be distinct ones of .*'fused'"):
        IMF(*size, x_dict, mask_dict, views=["struct", "smell"])
    with pytest.raises(ValueError, match="'views' need to be distinct"):
        IMF(*size, views=["fused"])
    with pytest.raises(ValueError, match=r"'node_emb' need to be finite and of shape \[\d+, 16\]"):
        IMF(*size, struct=torch.zeros(fake.num_nodes, 8))
    with pytest.raises(ValueError, match="'rel_emb' need to be finite and of shape"):
        IMF(*size, rel_emb=torch.full((2 * fake.num_relations, 16), float("inf")))
    with pytest.raises(ValueError, match="'struct' needs to be a tensor or a module"):
        IMF(*size, struct=torch.zeros(fake.num_nodes, 16).numpy())
    with pytest.raises(ValueError, match="'freeze_struct' needs the embeddings"):
        IMF(*size, freeze_struct=True)
    with pytest.raises(ValueError, match="'regularization' cannot be negative"):
        IMF(*size, regularization=-1.0)
    with pytest.raises(ValueError, match="'weight' needs a positive number"):
        IMF(*size, x_dict, mask_dict, decision_weight=0.0)
    with pytest.raises(ValueError, match="hold NaN or infinite values"):
        IMF(*size, {"text": torch.full((fake.num_nodes, 3), float("nan"))})
    with pytest.raises(ValueError, match=r"need to be floats of shape"):
        IMF(*size, {"text": torch.zeros(3, 3)})
    with pytest.raises(ValueError, match="cannot be called 'struct'. Rename 'x_struct'"):
        IMF(*size, {"struct": torch.zeros(fake.num_nodes, 3)})
    with pytest.raises(ValueError, match="cannot be called 'values'"):
        IMF(*size, {"values": torch.zeros(fake.num_nodes, 3)})
    with pytest.raises(ValueError, match="'contrastive_temperature' needs to be positive"):
        IMF(*size, contrastive_temperature=0.0)
    with pytest.raises(ValueError, match="missing for every entity"):
        name = next(iter(x_dict))
        IMF(*size, x_dict, {name: torch.zeros(fake.num_nodes, dtype=torch.bool)})
    with pytest.raises(ValueError, match="Could not resolve 'nope'"):
        IMF(*size, x_dict, mask_dict, scorer="nope")
    with pytest.raises(ValueError, match="Could not resolve 'nope'"):
        IMF(*size, x_dict, mask_dict, fusion="nope")
    with pytest.raises(ValueError, match=r"need to equal .* \(got \(8, 8\) and \(16, 8\)\)"):
        IMF(*size, scorer=ContextualRelationalScorer(8))
    with pytest.raises(ValueError, match=r"\(got \(16, 8\) and \(16, 4\)\)"):
        IMF(*size, rel_channels=4, scorer=ContextualRelationalScorer(16, 8))
