import inspect

import pytest

from torch_imf import fit, nn
from torch_imf.docstring import argument_help, plain_text
from torch_imf.nn import IKRL, TBKGC, Adversary, IMFFusion
from torch_imf.registry import class_names


def test_argument_help():
    class A:
        r"""Does something.

        Args:
            size (int): The size :math:`\\mathcal{L}_{adv}` of
                :class:`~torch_imf.nn.IMF`, or
                :obj:`None`.
            other (dict[str, int], optional): The *other* one (of two).
                (default: :obj:`(1, 2)`)

        Raises:
            ValueError: If it is (not) so.
        """

    assert argument_help(A) == {
        "size": "The size L_adv of IMF, or None.",
        "other": "The other one (of two).",
    }
    assert argument_help(int) == argument_help(lambda: 0) == {}
    assert argument_help(IMFFusion)["latent_channels"].startswith("Size of the latent")
    assert "lambda of L_adv" in argument_help(Adversary)["weight"]
    # Classes say what is their own, and the rest is their base's:
    assert argument_help(TBKGC) == argument_help(IKRL)
    assert plain_text(":meth:`~torch_imf.fit` in :obj:`[0, 1)`. (default: :obj:`0.`)") == (
        "fit in [0, 1)."
    )


@pytest.mark.parametrize("obj", [*(getattr(nn, n) for n in class_names("model")), fit])
def test_every_argument_is_described(obj):
    names = set(inspect.signature(obj).parameters)
    texts = argument_help(obj)
    assert names <= set(texts)
    assert all(text and "`" not in text and "(default" not in text for text in texts.values())
