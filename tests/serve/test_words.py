from torch_imf.answers import Explanation, Rank, Reason, Support
from torch_imf.serve import in_words


def test_in_words():
    ranks = {"struct": Rank(1, 3), "text": Rank(40, 2), "types": Rank(9, 9)}
    found = Explanation(
        fact=("a", "is \x1b[31mnear", "b"),
        split=None,
        score=1.0,
        probability=0.25,
        rank=Rank(2, 2),
        views=ranks,
        weights={"struct": 0.6, "text": 0.4, "types": 0.001},
        without={"text": Rank(9, 9), "visual": Rank(2, 2), "numeric": Rank(1, 1)},
        neighbors=[Support("c", "near", "d", 0.9)],
        paths=[("a", "in", "x", "in^-1", "b")],
        reasons=[Reason("rules", "a  in  x", 0.5)],
    )
    text = in_words(found)
    for line in (
        "The graph does not hold it.",
        "a chance of 25.0 %.",
        "'b' is its answer number 2",
        "struct, 60% of the voice: tail number 1, head number 3, both among the first ten",
        "1 more, with less than 1 % of the voice",
        "Without text, the fact hangs on it: tail number 9, head number 9",
        "Without visual, little would change",
        "Without numeric, it speaks against the fact",
        "a  in  x: right in 50.0 % of cases",
        "c  near  d  (alike by 0.90)",
        "a  in  x  in^-1  b",
    ):
        assert line in text, line
    assert "\x1b" not in text
