import torch

from torch_imf import fit
from torch_imf.nn import OTKGE, transport_plan


def test_otkge_equals_the_equation_of_the_paper(bare, build, facts, known):
    model = build(OTKGE, data=bare, weight={"struct": 1, "numeric": 2, "text": 3, "visual": 4})
    before = model.eval()(*facts(12))
    model.transport()
    assert not torch.allclose(model(*facts(12)), before)
    for module in model.features.values():
        index = module.mask.nonzero()[:10, 0]
        plan = transport_plan(module.x[module.row[index]], model.node_emb.weight[index])
        assert torch.allclose(module.plan, 8 * plan.t().float())
    assert 0 in torch.cat(facts(12)[::2])
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        e = []
        for node in (h, t):
            x_dict = known(model, node)  # With the plan.
            weight = {name: model.fusion.weight[name] for name in x_dict}
            x = sum(w * x_dict[name] for name, w in weight.items()) / sum(weight.values())
            e.append(torch.complex(*x.chunk(2)))
        rel = torch.complex(*model.rel_emb.weight[r].double().chunk(2))
        expected = (e[0] * rel * e[1].conj()).sum().real
        assert torch.allclose(score.double(), expected, atol=1e-5)


def test_plans_are_of_training(fake, build, facts, tmp_path):
    model = build(OTKGE, every=2)
    plans = []
    for _ in range(3):
        model.loss(*facts(5))
        plans.append(model.features["text"].plan)
        torch.nn.init.normal_(model.node_emb.weight)
    assert torch.equal(plans[0], plans[1]) and not torch.equal(plans[1], plans[2])
    model.eval().loss(*facts(5))
    assert model.num_steps == 3
    # Training goes on with the plans that it had:
    settings = {"batch_size": 64, "lr": 0.01, "progress": False}
    whole = build(OTKGE, every=7)
    fit(whole, fake, 3, **settings)
    settings["checkpoint"] = tmp_path / "run.pt"
    for epochs in (2, 3):
        part = build(OTKGE, every=7)
        fit(part, fake, epochs, **settings)
    for (name, x), y in zip(whole.state_dict().items(), part.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def test_errors(build, refuses):
    refuses(
        ("OTKGE moves features to structural", lambda: build(OTKGE, struct=False)),
        ("'every' needs to be positive", lambda: build(OTKGE, every=0)),
        ("'weight' needs a positive number", lambda: build(OTKGE, weight={"text": 1.0})),
    )
