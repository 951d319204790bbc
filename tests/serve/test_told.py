import pytest

from torch_imf.serve.told import told

gradio = pytest.importorskip("gradio")


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, OSError, ImportError])
def test_told(kind):
    @told
    def fail(text):
        raise kind(f"No '<b>{text}</b>'")

    with pytest.raises(gradio.Error) as error:
        fail("\x1bpicture")
    assert error.value.message == "No &#x27;&lt;b&gt;\\x1bpicture&lt;/b&gt;&#x27;"


def test_our_own_mistakes_are_not_told():
    with pytest.raises(KeyError):
        told({}.__getitem__)("secret")
