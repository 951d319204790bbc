import pytest
import torch

from torch_imf.nn import TuckER


def normalize(x, norm):
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def random_scorer():
    scorer = TuckER(4, 3)
    for norm in scorer.norms:
        for x in (norm.running_mean, norm.bias.data):
            torch.nn.init.normal_(x)
        for x in (norm.running_var, norm.weight.data):
            torch.nn.init.uniform_(x, 0.5, 2.0)
    return scorer


def test_tucker_equals_the_core_tensor_product():
    scorer = random_scorer().eval()
    assert str(scorer) == "TuckER(4, rel_channels=3)"
    head, rel, tail = torch.randn(5, 4), torch.randn(5, 3), torch.randn(7, 4)
    core = scorer.weight.view(3, 4, 4).transpose(0, 1)  # W[i, r, j]
    query = torch.einsum("irj,bi,br->bj", core, normalize(head, scorer.norms[0]), rel)
    expected = torch.einsum("bj,nj->bn", normalize(query, scorer.norms[1]), tail)

    score = scorer.similarity(scorer.query(head, rel), scorer.key(tail))
    assert torch.allclose(score, expected, atol=1e-5)


def test_tucker_dropout():
    # With one-hot heads, the query is a row of the relation's matrix, whose entries are kept with
    # probability 0.75:
    scorer = TuckER(4, 1, input_dropout=0.0, hidden_dropout=0.25, output_dropout=0.0)
    scorer.norms = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    head, rel = torch.eye(4).repeat(500, 1), torch.ones(2000, 1)
    out = scorer.query(head, rel)
    kept = out != 0
    assert kept.float().mean(dim=0).sub(0.75).abs().max() < 0.05
    assert torch.allclose(out[kept], (head @ scorer.weight.view(4, 4) / 0.75)[kept], atol=1e-5)
    # Queries of one relation share what is dropped:
    out = scorer.grouped_query(head, rel[:2], torch.arange(2).repeat_interleave(1000)).view(
        2, -1, 4
    )
    assert torch.equal(out[0, :4].repeat(250, 1), out[0])
    assert not torch.equal(out[0], out[1])

    scorer = TuckER(4, input_dropout=0.0, hidden_dropout=0.0, output_dropout=0.5)
    assert (scorer.query(head, head) == 0).float().mean().sub(0.5).abs() < 0.05
    scorer.eval()
    assert torch.equal(scorer.query(head, head), scorer.query(head, head))
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1"):
        TuckER(4, hidden_dropout=1.5)
