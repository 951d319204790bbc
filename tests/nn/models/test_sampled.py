import pytest
import torch

from torch_imf import KGE, evaluate, fit
from torch_imf.nn import SampledLoss, self_adversarial_loss
from torch_imf.sampler import BernoulliSampler, NegativeLoader


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
