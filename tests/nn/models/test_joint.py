import pytest
import torch

from torch_imf.data import modalities
from torch_imf.nn import IKRL, IMF, RSME, AdaMF, SampledLoss, self_adversarial_loss
from torch_imf.nn.models import joint
from torch_imf.nn.models.rsme import unit_features
from torch_imf.sampler import MANSSampler


def build(cls, data, sampler="uniform", **kwargs):
    torch.manual_seed(0)
    args = data.num_nodes, data.num_relations, 8, *modalities(data)
    return cls(*args, loss=SampledLoss(5, 0.5, sampler), **kwargs)


def mans(data, names=("visual", "text"), **kwargs):
    mask_dict = {name: data[f"{name}_mask"] for name in names}
    return MANSSampler(data.num_nodes, None, 5, names, mask_dict, **kwargs)


def batch(data, size=6, num_negatives=5):
    facts = [data.edge_index[0, :size], data.edge_type[:size], data.edge_index[1, :size]]
    neg_index = (facts[2].unsqueeze(1) + 1 + torch.randperm(100)[:num_negatives]) % data.num_nodes
    neg_index[0, 1:3] = -1
    return [*facts, neg_index]


def grads(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("cls", [AdaMF, IKRL, RSME])
def test_ordinary_negatives_only(fake, cls):
    plain, model = build(cls, fake), build(cls, fake, mans(fake, share=0.0))
    args = batch(fake)
    loss, expected = model.loss(*args), plain.loss(*args)
    assert torch.allclose(loss, expected, atol=1e-5)
    loss.backward()
    expected.backward()
    assert list(grads(model)) == list(grads(plain))
    for name, grad in grads(plain).items():
        assert torch.allclose(grads(model)[name], grad, atol=1e-5), name


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 2**22])
@pytest.mark.parametrize("cls", [AdaMF, IKRL, RSME])
def test_modality_negatives(fake, monkeypatch, cls, chunk_size, struct):
    if not struct and cls is not AdaMF:
        return
    monkeypatch.setattr(joint, "CHUNK", chunk_size)
    sampler = mans(fake, share=0.7)
    model = build(cls, fake, sampler, **({} if struct else {"struct": False}))
    head_index, rel_type, tail_index, neg_index = args = batch(fake)
    torch.manual_seed(1)
    loss = model.loss(*args)
    torch.manual_seed(1)
    index_dict = sampler.mix(tail_index, neg_index)
    is_mixed = index_dict["struct"] == tail_index.unsqueeze(1)
    assert is_mixed.any() and (~is_mixed & (neg_index >= 0)).any()

    # Entity by entity, of tables in which the tail has the modality of another entity:
    neg_score = torch.zeros(neg_index.size())
    for b, k in (neg_index >= 0).nonzero().tolist():
        other = build(cls, fake, **({} if struct else {"struct": False}))
        t, c = int(tail_index[b]), int(neg_index[b, k])
        for name in ("visual", "text"):
            if is_mixed[b, k] and index_dict[name][b, k] == c:
                assert fake[f"{name}_mask"][t] and fake[f"{name}_mask"][c]
                features = other.features[name]
                features.x[features.row[t]] = features.x[features.row[c]]
                if cls is RSME:
                    for modality, x in unit_features(other.features).items():
                        setattr(other, f"x_{modality}", x)
        tail = t if is_mixed[b, k] else c
        # What the head is like does not change:
        query = model.query(model.encode(head_index[b : b + 1]), rel_type[b : b + 1])
        key = other.key({v: x.unsqueeze(1) for v, x in other.encode(torch.tensor([tail])).items()})
        neg_score[b, k] = model.similarity(query, key)
    score = model(head_index, rel_type, tail_index)
    expected = self_adversarial_loss(score, neg_score, 0.5, neg_index >= 0)
    assert torch.allclose(loss, expected, atol=1e-5)
    loss.backward()
    assert all(x.isfinite().all() for x in grads(model).values())
    assert grads(model)["features.visual.lin.weight"].abs().sum() > 0


def test_parts_of_a_batch_have_the_same_gradient(fake, monkeypatch):
    args, found = batch(fake), []
    for chunk_size in (1, 200, 2**22):
        monkeypatch.setattr(joint, "CHUNK", chunk_size)
        model = build(AdaMF, fake, mans(fake))
        torch.manual_seed(1)
        model.loss(*args).backward()
        found.append(grads(model))
    for name, grad in found[0].items():
        assert all(torch.allclose(x[name], grad, atol=1e-6) for x in found), name


def test_share_adapts(fake):
    args = batch(fake)
    for adaptive in (False, True):
        model = build(AdaMF, fake, mans(fake, adaptive=adaptive))
        model.eval().loss(*args)
        assert model.sampler.share == 0.5 and model.sampler.num_steps == 0
        torch.manual_seed(1)
        model.train().loss(*args)
        assert model.sampler.num_steps == 1
        if not adaptive:
            assert model.sampler.share == 0.5
            continue
        torch.manual_seed(1)
        other = mans(fake)
        index_dict = other.mix(*args[2:])
        e_dict = model.embed()
        index_dict["numeric"] = index_dict["struct"]
        index_dict = {name: x.clamp(min=0) for name, x in index_dict.items()}
        key = model.key(model.mixed(e_dict, index_dict))
        neg_score = model.similarity(model.query(model.encode(args[0]), args[1]), key)
        other.adapt(model(*args[:3]), neg_score, index_dict["struct"] == args[2].unsqueeze(1))
        assert model.sampler.share == other.share != 0.5
    assert str(model.sampler).endswith("warmup=0, adaptive=True)")


def test_modalities_that_cannot_be_replaced(fake):
    sampler = MANSSampler(fake.num_nodes, modalities=["text"])
    with pytest.raises(ValueError, match="Some entities lack modality 'text'. MANSSampler needs"):
        build(AdaMF, fake, sampler)
    sampler = MANSSampler(fake.num_nodes, modalities=["audio"])
    with pytest.raises(ValueError, match=r"replaces \['audio'\] .*joins \['numeric',"):
        build(AdaMF, fake, sampler)
    with pytest.raises(ValueError, match="replaces .* in joint embeddings"):
        build(IMF, fake, mans(fake))  # Which scores each view apart.
