import torch

from torch_imf import fit
from torch_imf.nn import MoMoK
from torch_imf.nn.models.momok import InformationEstimator


def test_momok_equals_the_equations_of_the_paper(bare, build, facts, known):
    model = build(MoMoK, data=bare).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert 0 in torch.cat(facts(12)[::2])
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        e = []
        for node, temperature in ((h, model.gate.weight[r].sigmoid()), (t, 1.0)):
            x_dict, out = known(model, node), {}
            for view, experts in model.experts.items():
                x = x_dict.get(view)
                x = model.features[view].missing if x is None else x
                gate = (x @ experts.gate / temperature).softmax(dim=0)
                pairs = zip(gate, experts.weight, experts.bias, strict=True)
                out[view] = sum(g * ((x - b) @ w) for g, w, b in pairs)
            mask_dict = {view: torch.tensor(view in x_dict) for view in out}
            out["fused"] = model.fusion(dict(out), mask_dict)
            e.append(out)
        total = 0.0
        weight = model.decision.weight()
        for i, (view, scorer) in enumerate(model.scorers.items()):
            rel = model.rel_emb[view].weight[r][None]
            total += weight[i] * scorer(e[0][view][None], rel, e[1][view][None]).sigmoid()[0]
        assert torch.allclose(score, total)


def test_information_of_experts(fake, build, facts):
    model = build(MoMoK, disentangle=0.5)
    names = [objective.name for objective in model.objectives()]
    assert names == ["model", "estimator"] and len(model.experts) == 4
    model.estimator_loss(*facts(9)).backward()
    own = {id(p) for p in model.estimators.parameters()}
    for p in model.parameters():
        assert (p.grad is not None) == (id(p) in own)
    losses = []
    for weight in (0.5, 0.0):
        model.disentangle = weight
        torch.manual_seed(1)
        losses.append(model.loss(*facts(9)))
    assert losses[0] != losses[1]
    assert [x.name for x in build(MoMoK, disentangle=0.0).objectives()] == ["model"]
    assert len(build(MoMoK, num_experts=1).estimators) == 0
    fit(build(MoMoK), fake, 1, batch_size=256, lr={"model": 0.01, "estimator": 0.001})


def test_estimator_tells_what_depends_on_each_other():
    torch.manual_seed(0)
    x, noise = torch.randn(2, 256, 8)
    bounds = []
    for y in (x + 0.1 * noise, noise):
        estimator = InformationEstimator(8)
        optimizer = torch.optim.Adam(estimator.parameters(), lr=0.02)
        for _ in range(100):
            optimizer.zero_grad()
            estimator.loss(x, y).backward()
            optimizer.step()
        bounds.append(float(estimator(x, y).detach()))
    assert bounds[0] > 1 > 0.3 > abs(bounds[1])


def test_errors(build, refuses):
    refuses(
        ("'num_experts' needs to be positive", lambda: build(MoMoK, num_experts=0)),
        ("'disentangle' cannot be negative", lambda: build(MoMoK, disentangle=-1.0)),
    )
