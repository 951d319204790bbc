import pytest
import torch

from torch_imf.nn import IKRL, IMF, RSME, AdaMF, Sampled, self_adversarial_loss
from torch_imf.nn.models import joint
from torch_imf.nn.models.stacked import unit_features
from torch_imf.sampler import MANSSampler


def mans(data, names=("visual", "text"), **kwargs):
    mask_dict = {name: data[f"{name}_mask"] for name in names}
    return MANSSampler(data.num_nodes, None, 5, names, mask_dict, **kwargs)


def loss(sampler="uniform"):
    return Sampled(5, 0.5, sampler)


def grads(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("cls", [AdaMF, IKRL, RSME])
def test_ordinary_negatives_only(fake, build, batch, cls):
    plain, model = build(cls, loss=loss()), build(cls, loss=loss(mans(fake, share=0.0)))
    losses = [x.loss(*batch) for x in (model, plain)]
    assert torch.allclose(*losses, atol=1e-5)
    for x in losses:
        x.backward()
    assert list(grads(model)) == list(grads(plain))
    pairs = zip(grads(model).values(), grads(plain).values(), strict=True)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in pairs)


@pytest.mark.parametrize("chunk_size", [1, 2**22])
@pytest.mark.parametrize("cls, struct", [(AdaMF, True), (AdaMF, False), (IKRL, True), (RSME, True)])
def test_modality_negatives(fake, build, batch, monkeypatch, cls, chunk_size, struct):
    monkeypatch.setattr(joint, "CHUNK", chunk_size)
    sampler = mans(fake, share=0.7)
    model = build(cls, loss=loss(sampler), struct=struct)
    head_index, rel_type, tail_index, neg_index = batch
    torch.manual_seed(1)
    out = model.loss(*batch)
    torch.manual_seed(1)
    index_dict = sampler.mix(tail_index, neg_index)
    is_mixed = index_dict["struct"] == tail_index.unsqueeze(1)
    assert is_mixed.any() and (~is_mixed & (neg_index >= 0)).any()

    # Entity by entity, of tables in which the tail has the modality of another entity:
    neg_score = torch.zeros(neg_index.size())
    for b, k in (neg_index >= 0).nonzero().tolist():
        other = build(cls, loss=loss(), struct=struct)
        t, c = int(tail_index[b]), int(neg_index[b, k])
        for name in ("visual", "text"):
            if is_mixed[b, k] and index_dict[name][b, k] == c:
                assert fake[f"{name}_mask"][t] and fake[f"{name}_mask"][c]
                features = other.features[name]
                features.x[features.row[t]] = features.x[features.row[c]]
        for name, x in unit_features(other.features).items() if cls is RSME else ():
            setattr(other, f"x_{name}", x)
        # What the head is like does not change:
        query = model.query(model.encode(head_index[b : b + 1]), rel_type[b : b + 1])
        tail = other.encode(torch.tensor([t if is_mixed[b, k] else c]))
        neg_score[b, k] = model.pair_similarity(query, tail)
    score = model(head_index, rel_type, tail_index)
    expected = self_adversarial_loss(score, neg_score, 0.5, neg_index >= 0)
    assert torch.allclose(out, expected, atol=1e-5)
    out.backward()
    assert all(x.isfinite().all() for x in grads(model).values())
    assert grads(model)["features.visual.lin.weight"].abs().sum() > 0


def test_share_adapts(fake, build, batch):
    for adaptive in (False, True):
        model = build(AdaMF, loss=loss(mans(fake, adaptive=adaptive)))
        model.eval().loss(*batch)
        assert model.sampler.share == 0.5 and model.sampler.num_steps == 0
        torch.manual_seed(1)
        model.train().loss(*batch)
        assert model.sampler.num_steps == 1
        assert adaptive or model.sampler.share == 0.5
    torch.manual_seed(1)
    other = mans(fake)
    index_dict = other.mix(*batch[2:])
    index_dict["numeric"] = index_dict["struct"]
    index_dict = {name: x.clamp(min=0) for name, x in index_dict.items()}
    key = model.key(model.mixed(model.embed(), index_dict))
    neg_score = model.similarity(model.query(model.encode(batch[0]), batch[1]), key)
    other.adapt(model(*batch[:3]), neg_score, index_dict["struct"] == batch[2].unsqueeze(1))
    assert model.sampler.share == other.share != 0.5


def test_modalities_that_cannot_be_replaced(fake, build, refuses):
    text, audio = (loss(MANSSampler(150, None, 5, [name])) for name in ("text", "audio"))
    refuses(
        ("Some lack 'text'. Give the sampler", lambda: build(AdaMF, loss=text)),
        (r"replaces \['audio'\], but .* \['numeric',", lambda: build(AdaMF, loss=audio)),
        ("scores each modality apart", lambda: build(IMF, loss=loss(mans(fake)))),
    )
