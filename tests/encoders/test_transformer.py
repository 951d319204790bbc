import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import TextEncoder
from torch_imf.encoders.transformer import num_positions

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "rock", "band", "river", "deep"]
TEXTS = ["a rock band", None, "deep river", "a deep deep river " * 20, "a rock band"]


@pytest.fixture
def folder(tmp_path):
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    vocab = {word: i for i, word in enumerate(WORDS)}
    BertTokenizer(vocab).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


@withPackage("transformers")
@pytest.mark.parametrize("pooling", ["pooler", "mean", "cls"])
def test_text_encoder_pooling(folder, pooling):
    from transformers import AutoTokenizer, BertModel

    encoder = TextEncoder(folder, pooling=pooling, batch_size=2, device="cpu")
    assert f", pooling={pooling}, transformers=" in str(encoder)
    x, mask = encoder(TEXTS)
    assert x.size() == (5, 8)
    assert mask.tolist() == [True, False, True, True, True]
    assert (x[1] == 0).all()
    assert torch.equal(x[0], x[4])

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder).eval()
    for i in [0, 2, 3]:  # One by one, without padding.
        ids = tokenizer(TEXTS[i], truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            out = model(**ids)
        hidden = out.last_hidden_state[0]
        expected = {"pooler": out.pooler_output[0], "mean": hidden.mean(dim=0), "cls": hidden[0]}
        assert torch.allclose(x[i], expected[pooling], atol=1e-5)


@withPackage("transformers")
def test_positions_behind_padding(folder):
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        pad_token_id=1,
    )
    model = RobertaModel(config).eval()
    model.save_pretrained(folder)
    assert num_positions(model, 512) == 30
    with torch.no_grad():
        model(torch.full((1, 30), 5))
        with pytest.raises((IndexError, RuntimeError), match="index"):
            model(torch.full((1, 31), 5))
    x, mask = TextEncoder(folder, pooling="mean", device="cpu")(TEXTS)
    assert mask.tolist() == [True, False, True, True, True]


@withPackage("transformers")
def test_incomplete_weights(folder):
    from transformers import BertModel

    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match="lack 2 parameters, which would be random .*pooler"):
        TextEncoder(folder, pooling="pooler", device="cpu")(TEXTS)
    x, _ = TextEncoder(folder, pooling="mean", device="cpu")(TEXTS)
    assert x.size() == (5, 8)


@withPackage("transformers")
def test_model_without_pooler(tmp_path, folder):
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=len(WORDS), dim=8, hidden_dim=16, n_layers=1, n_heads=2)
    DistilBertModel(config).save_pretrained(folder)
    with pytest.raises(ValueError, match="has no pooling layer, use 'mean' or 'cls'"):
        TextEncoder(folder, pooling="pooler", device="cpu")(TEXTS)
