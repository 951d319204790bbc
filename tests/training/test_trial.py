import torch

from torch_imf.training.trial import is_out_of_memory


def test_is_out_of_memory():
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError())
    try:
        torch.empty(2**60)
    except RuntimeError as error:
        assert is_out_of_memory(error)
    else:
        raise AssertionError("Nobody has this much memory")
    assert not is_out_of_memory(RuntimeError("Anything else"))
