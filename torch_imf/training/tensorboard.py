import os
from collections.abc import Mapping
from typing import Any


class TensorBoard:
    r"""A callback of :meth:`~torch_imf.fit` that writes the loss and the
    validation metrics of each epoch for TensorBoard. A run that goes on from a
    checkpoint goes on in the same curves.

    .. code-block:: python

        with TensorBoard("logs/first") as board:
            fit(model, data, callback=board)

    Args:
        log_dir (str): The folder of the run. :obj:`tensorboard --logdir` shows
            all runs in the folder above.

    Raises:
        ImportError: If :obj:`tensorboard` is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "Logs for TensorBoard require 'tensorboard', run "
                "'pip install \"torch_imf[tensorboard]\"'"
            ) from error
        self.log_dir = os.fspath(log_dir)
        self.writer: Any = SummaryWriter(self.log_dir)

    def __call__(self, entry: Mapping[str, float]) -> None:
        r"""Writes an entry of the history of :meth:`~torch_imf.fit`."""
        metrics = {name: x for name, x in entry.items() if name not in ("epoch", "loss")}
        self.writer.add_scalar("train/loss", entry["loss"], int(entry["epoch"]))
        self.log("val", metrics, int(entry["epoch"]))

    def log(self, split: str, metrics: Mapping[str, Any], epoch: int) -> None:
        r"""Writes the metrics of :meth:`~torch_imf.evaluate` on a split."""
        for name, value in metrics.items():
            if not isinstance(value, Mapping):
                self.writer.add_scalar(f"{split}/{name.replace('@', '_at_')}", value, epoch)
        self.writer.flush()

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *args: object) -> None:
        self.writer.close()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.log_dir}')"
