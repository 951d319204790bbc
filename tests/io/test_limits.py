from torch_imf.io.limits import FLOOR, RATIO, too_large


def test_too_large():
    assert not too_large(1, FLOOR) and too_large(1, FLOOR + 1)
    assert not too_large(FLOOR, RATIO * FLOOR) and too_large(FLOOR, RATIO * FLOOR + 1)
