import pytest
import torch

from torch_imf.data import NegativeLoader, modalities
from torch_imf.nn import IMF, KGE, AdaMF, MarginRanking, Sampled, self_adversarial_loss
from torch_imf.nn.losses.sampled import shared_negatives
from torch_imf.registry import resolve
from torch_imf.sampler import BernoulliSampler, MANSSampler, SharedSampler, UniformSampler


@pytest.mark.parametrize("sampler", ["bernoulli", BernoulliSampler])
def test_sampled(build, facts, sampler):
    loss = Sampled(3, 0.5, sampler)
    assert str(loss) == f"Sampled(num_negatives=3, temperature=0.5, sampler={sampler!r})"
    model = build(KGE, scorer="transe", loss=loss)
    loader = model.loader(*facts(), batch_size=64)
    assert isinstance(loader.sampler, BernoulliSampler)
    head_index, rel_type, tail_index, neg_index = next(iter(loader))
    assert neg_index.size() == (64, 3)

    pos_score = model(head_index, rel_type, tail_index)
    query = (x.repeat_interleave(3) for x in (head_index, rel_type))
    neg_score = model(*query, neg_index.clamp(min=0).view(-1)).view(64, 3)
    expected = self_adversarial_loss(pos_score, neg_score, 0.5, neg_index >= 0)
    out = model.loss(head_index, rel_type, tail_index, neg_index)
    assert torch.allclose(out, expected, atol=1e-6)


def test_margin_ranking_by_a_loop(build, batch):
    loss = resolve("loss", "margin", num_negatives=5, margin=0.7)
    assert str(loss) == "MarginRanking(num_negatives=5, margin=0.7, sampler='uniform')"
    model = build(KGE, scorer="transe", loss=loss)
    hinges = []
    for h, r, t, negatives in zip(*batch, strict=True):
        pair = h[None], r[None]
        pos, *neg = (model(*pair, k.clamp(min=0)[None]).item() for k in (t, *negatives))
        terms = [max(0.0, 0.7 - pos + s) for s, k in zip(neg, negatives, strict=True) if k >= 0]
        hinges.append(sum(terms) / len(terms))
    assert 0 < model.loss(*batch).item() == pytest.approx(sum(hinges) / 6, rel=1e-4)
    assert isinstance(model.loss_fn, MarginRanking)
    batch[3].fill_(-1)
    assert model.loss(*batch) == 0


def test_soft_margin():
    assert resolve("loss", "soft_margin").temperature == 0.0


def test_errors(refuses, facts):
    def load(sampler):
        return KGE(151, 5, 8, loss=Sampled(sampler=sampler)).loader(*facts())

    refuses(
        ("'num_negatives' needs to be positive", lambda: Sampled(0)),
        ("'margin' needs to be positive", lambda: MarginRanking(margin=0.0)),
        ("'temperature' cannot be negative", lambda: Sampled(temperature=-1.0)),
        ("needs to be an object .got 'mans'.", lambda: load("mans")),
        ("needs to be an object .got 'kbgan'.", lambda: load("kbgan")),
        ("draws of 150 entities .expected 151", lambda: load(UniformSampler(150))),
    )


@pytest.mark.parametrize("name", ["transe", "rotate", "distmult", "conve"])
def test_facts_that_share_negatives(name):
    # The last chunk is a part, and some negatives are none for a fact, or for all of a chunk.
    torch.manual_seed(0)
    scorer = resolve("scorer", name, 8).eval()
    x, rel = torch.randn(30, 8), torch.randn(10, scorer.rel_channels)
    neg_index = torch.randint(30, (3, 5)).repeat_interleave(4, dim=0)[:10]
    neg_index = neg_index.masked_fill(torch.rand(10, 5) < 0.3, -1)
    neg_index[:4, 2] = -1
    tail_index = torch.randint(30, (10,))
    perm = torch.tensor([0, 4, 8, 1, 5, 9, 2, 6, 3, 7])  # Where neighbors share none.
    assert shared_negatives(neg_index)[1] == 4 and shared_negatives(neg_index[perm]) is None

    outs = []
    for i in (torch.arange(10), perm):
        node = x.clone().requires_grad_()
        query, key = scorer.query(node[:10][i], rel[i]), scorer.key(node)
        loss = Sampled(5)(scorer, query, key, tail_index[i], neg_index[i])
        outs.append((loss, *torch.autograd.grad(loss, node)))
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(*outs, strict=True))
    neg_index[5, 0], neg_index[6, 0] = 3, 4
    assert shared_negatives(neg_index) is None  # Not shared after all: scored one by one.


def test_two_loaders_of_one_loss(fake, build, facts):
    # Whatever the loaders sample, and whichever came last, a batch tells what it shares.
    model = build(KGE, scorer="transe", loss=Sampled(4))
    own = model.loader(*facts(), batch_size=20)
    before = dict(model.loss_fn.__dict__)
    shared = Sampled(4, sampler="shared").loader(facts(), fake.num_nodes).sampler
    samplers = (SharedSampler(fake.num_nodes, None, 6, chunk_size=4), own.sampler, shared)
    for sampler, size in zip(samplers, (4, None, 20), strict=True):
        *fact, neg_index = next(iter(NegativeLoader(*facts(), sampler, batch_size=20)))
        shared = shared_negatives(neg_index)
        assert (None if shared is None else shared[1]) == size
        score = model.score(*fact[:2], neg_index.clamp(min=0))
        expected = self_adversarial_loss(model(*fact), score, 1.0, neg_index >= 0)
        assert torch.allclose(model.loss(*fact, neg_index), expected, atol=1e-6)
    assert model.loss_fn.__dict__ == before


@pytest.mark.parametrize(
    "cls, is_mixed", [(KGE, False), (IMF, False), (AdaMF, False), (AdaMF, True)]
)
def test_only_what_a_batch_touches_is_encoded(fake, build, batch, monkeypatch, cls, is_mixed):
    mask_dict = {"text": modalities(fake)[1]["text"]}
    extra = {KGE: {}, IMF: {"contrastive": True}, AdaMF: {"adversary": True}}[cls]

    def run():
        sampler = "uniform"
        if is_mixed:
            sampler = MANSSampler(fake.num_nodes, None, 5, ["text"], mask_dict)
        model = build(cls, scorer="distmult", loss=Sampled(5, sampler=sampler), **extra).eval()
        embed, seen = model.embed, []
        monkeypatch.setattr(model, "embed", lambda index: seen.append(index) or embed(index))
        torch.manual_seed(1)
        out = model.loss(*batch)
        out.backward()
        return seen, [out, *(p.grad for p in model.parameters() if p.grad is not None)]

    seen, part = run()
    assert len(seen) == 1 + is_mixed and all(x.numel() < fake.num_nodes / 2 for x in seen)
    monkeypatch.setattr(Sampled, "touched", staticmethod(lambda _, *index: (None, index)))
    seen, whole = run()
    assert len(seen) == 1 + is_mixed and all(x is None for x in seen)
    for x, y in zip(part, whole, strict=True):
        assert torch.allclose(x, y, atol=1e-5)
