import pytest
import torch
import torch.nn.functional as F

from torch_imf import build_model, fit
from torch_imf.nn import KGE, MKBE


def test_score_is_that_of_structure(build, facts):
    model, kge = build(MKBE), build(KGE)
    kge.load_state_dict({k: x for k, x in model.state_dict().items() if k in kge.state_dict()})
    assert torch.equal(model(*facts(9)), kge(*facts(9)))


def test_values_loss_equals_the_equation_of_the_paper(bare, build):
    model, index = build(MKBE, data=bare), torch.tensor([0, 3, 5, 8, 13])
    expected = []
    for i, module in enumerate(model.features.values()):
        lin, r = module.lin, model.value_emb.weight[i].double()
        values = module.x.double() @ lin.weight.double().t() + lin.bias.double()
        losses = []
        for node in index[module.mask[index]]:
            score = values.tanh() @ (model.node_emb.weight[node].double() * r)  # DistMult.
            target = F.one_hot(module.row[node], len(values)).double()
            losses.append(F.binary_cross_entropy_with_logits(score, target, reduction="sum"))
        expected.append(torch.stack(losses).mean())
    assert torch.allclose(model.values_loss(index).double(), sum(expected), rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"scorer": "conve", "loss": "ce"}, {"loss": "sampled"}])
def test_objectives(fake, batch, settings):
    model = build_model("mkbe", fake, hidden_channels=12, **settings)
    names = [objective.name for objective in model.objectives()]
    assert names == ["model", "decoder"]
    params = [set(objective.parameters) for objective in model.objectives()]
    assert params[1] == set(model.decoder.parameters()) and not params[0] & params[1]
    assert params[0] | params[1] == set(model.parameters())
    model.decoder_loss(*batch).backward()  # Of what it decodes, nothing learns.
    assert {p for p in model.parameters() if p.grad is not None} == params[1]


def test_imputes(fake, build):
    model = build(MKBE, 16)
    index = model.features["visual"].mask.nonzero().squeeze(1)
    x = fake.x_visual[index]

    def error():
        return (model.impute(index)["visual"] - x).square().sum(dim=1).mean()

    fit(model, fake, 20, batch_size=128, lr=0.02, progress=False)
    assert error() < 0.9 * (x - x.mean(dim=0)).square().sum(dim=1).mean()
    everyone = model.impute()
    assert everyone["text"].size() == fake.x_text.size() and everyone["text"].isfinite().all()


def test_errors(build, refuses):
    refuses(
        ("needs structure .* and a modality", lambda: MKBE(5, 2, 4)),
        ("needs structure .* and a modality", lambda: build(MKBE, struct=False)),
        ("'weight' cannot be negative", lambda: build(MKBE, weight=-1.0)),
    )
