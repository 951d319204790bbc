import pytest
import torch

from torch_imf.data import NegativeLoader, QueryLoader
from torch_imf.nn import KGE


@pytest.mark.parametrize("loss, cls", [("ce", QueryLoader), ("sampled", NegativeLoader)])
def test_facts_of_a_batch(build, facts, loss, cls):
    model = build(KGE, loss=loss)
    loader = model.loader(*facts(), batch_size=100, shuffle=False)
    assert isinstance(loader, cls) and loader.batch_size == 100
    found = torch.cat([torch.stack(model.loss_fn.facts(*batch)) for batch in loader], dim=1)
    expected = torch.stack(facts())
    assert loss == "sampled" or found.size(1) == expected.unique(dim=1).size(1)  # Each once.
    assert torch.equal(found.unique(dim=1), expected.unique(dim=1))
    # One tail per query:
    pairs = zip(model.loss_fn.facts(*facts()), facts(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
