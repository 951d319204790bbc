import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import TripletIndex
from torch_imf.nn import KGE, scorer
from torch_imf.nn.models.one_to_n import OneToNLoss


@pytest.mark.parametrize("loss", ["bce", "ce"])
@pytest.mark.parametrize("scorer", scorer.classes)
def test_loss_equals_naive(fake, loss, scorer):
    model = KGE(fake.num_nodes, fake.num_relations, 16, scorer, loss, label_smoothing=0.1)
    assert str(model.loss_fn) == f"OneToNLoss('{loss}')"
    index = TripletIndex.from_data(fake)
    head, rel = (x[:6] for x in index.queries())
    row, col = index(head, rel)
    target = torch.zeros(6, fake.num_nodes)
    target[row, col] = 1.0
    score = model.predict(head, rel)
    if loss == "bce":
        target = 0.9 * target + 0.1 / fake.num_nodes
        expected = F.binary_cross_entropy_with_logits(score, target) * fake.num_nodes
    else:
        expected = F.cross_entropy(score, target / target.sum(1, keepdim=True))
    out = model.loss(head, rel, torch.stack([row, col]))
    assert torch.allclose(out, expected, rtol=1e-4)
    out.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_errors():
    with pytest.raises(ValueError, match="Invalid 'loss' argument"):
        OneToNLoss("hinge")
    with pytest.raises(ValueError, match=r"'label_smoothing' needs to be in \[0, 1\)"):
        OneToNLoss("bce", label_smoothing=1.0)
