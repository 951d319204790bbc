import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.encoders.base import default_device, no_weights
from torch_imf.encoders.cache import BatchEncoder
from torch_imf.io import nearest, require, warn
from torch_imf.io.hash import hash_file, hash_tensor
from torch_imf.io.images import read_images

#: How many times as long as wide an image may be.
THIN = 16
Image = Tensor | str | os.PathLike[str]


class ImageEncoder(BatchEncoder):
    r"""The base class of encoders of images, which implement :meth:`load`: it returns a function
    from a list of images :math:`(3, H, W)` to features.

    An entity has no image, one, or several, whose features are averaged. A file that cannot be read
    is left out: one warning names such files, :attr:`unreadable` holds them all, and an entity left
    without an image counts as missing.

    Args:
        batch_size, cache, device, channels: As :class:`~torch_imf.encoders.cache.BatchEncoder`.

    Shapes:
        - **input:** a list of :math:`N` entries: an image, a list of images, or :obj:`None`, where
          an image is a :class:`torch.uint8` tensor :math:`(3, H, W)` of any size, or a path (read
          with Pillow, transparent parts become white)
        - **output:** features :math:`(N, D)` and mask :math:`(N)`
    """

    unreadable: Mapping[str, str] = {}
    """The files that the last call could not read, and why."""

    def transform(self, images: Sequence[Image | list[Image] | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of a list of images (see above) and which entities have any. Raises
        a :class:`ValueError` if a tensor is not 8-bit of three channels.
        """
        unreadable: dict[str, str] = {}
        entries: list[tuple[int, str, Any]] = []
        for i, entry in enumerate(images):
            for image in entry if isinstance(entry, list) else [entry]:
                if isinstance(image, Tensor):
                    entries.append((i, _hash_pixels(image, i), image))
                elif image is not None:
                    try:
                        entries.append((i, hash_file(image), os.fspath(image)))
                    except OSError as e:
                        unreadable[os.fspath(image)] = str(e)

        reasons: dict[str, str] = {}

        def read(batch: Mapping[str, Tensor | str]) -> dict[str, Tensor]:
            out = {key: image for key, image in batch.items() if isinstance(image, Tensor)}
            files = {key: path for key, path in batch.items() if isinstance(path, str)}
            for key, found in zip(files, read_images(list(files.values())), strict=True):
                if isinstance(found, str):
                    reasons[key] = found
                else:
                    out[key] = found
            return {key: out[key] for key in batch if key in out}

        out = self.encode(len(images), entries, read)
        unreadable |= {path: reasons[key] for _, key, path in entries if key in reasons}
        self.unreadable = unreadable
        if len(unreadable) > 0:
            first = [f"'{osp.basename(path)}' ({x})" for path, x in list(unreadable.items())[:10]]
            warn(
                f"{len(unreadable)} images cannot be read and are left out "
                f"('{self.__class__.__name__}.unreadable' holds all): {'; '.join(first)}"
            )
        return out


def _shorten(image: Tensor) -> Tensor:
    # The middle of a thin image, of which a square is seen: not all of it is to be enlarged.
    for dim, size in enumerate(image.size()):
        length = min(size, THIN * min(image.size()[1:])) if dim > 0 else size
        image = image.narrow(dim, (size - length) // 2, length)
    return image


def _hash_pixels(image: Tensor, index: int) -> str:
    if image.dtype != torch.uint8 or image.dim() != 3 or image.size(0) != 3:
        raise ValueError(
            f"Image {index} needs to be a uint8 tensor of shape [3, H, W] "
            f"(got {image.dtype} of shape {list(image.size())})"
        )
    return hash_tensor(image)


class PixelEncoder(ImageEncoder):
    r"""Encodes an image by its own pixels, averaged over the cells of a coarse grid and scaled to
    :math:`[-1, 1]`. It needs no weights and is exact about colour and layout, which is all there is
    to see in pictures such as flags.

    Args:
        height (int, optional): The rows of the grid. (default: :obj:`16`)
        width (int, optional): The columns of the grid. (default: :obj:`24`)

    Shapes:
        As :class:`ImageEncoder`, with :math:`D = 3 \cdot height \cdot width`.
    """

    def __init__(self, height: int = 16, width: int = 24) -> None:
        super().__init__(channels=3 * height * width)
        self.height = height
        self.width = width

    def load(self) -> Callable[[list[Tensor]], Tensor]:
        def run(images: list[Tensor]) -> Tensor:
            size = (self.height, self.width)
            x = torch.stack([F.adaptive_avg_pool2d(image.float(), size) for image in images])
            return (x / 127.5 - 1).flatten(start_dim=1)

        return run


class VisualEncoder(ImageEncoder):
    r"""Encodes images by a pretrained network of `timm
    <https://github.com/huggingface/pytorch-image-models>`_ without its classifier, run once. Images
    are resized, cropped and normalised as it was trained. Needs :obj:`timm` (:obj:`pip install
    "torch_imf[visual]"`).

    :obj:`"vgg16"` is the encoder of the `"IMF: Interactive Multimodal Fusion Model for Link
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: its 4096 values are the outputs of the
    last hidden layer.

    Args:
        model (str, optional): The name of a model of :obj:`timm`. (default: :obj:`"vgg16"`)
        weights (str, optional): A file of weights (:obj:`.safetensors` or a :obj:`state_dict` saved
            by PyTorch), named as in :obj:`timm`. Without it, those that :obj:`timm` names are
            fetched, or taken from the local Hugging Face cache. (default: :obj:`None`)
        model_kwargs (dict, optional): Further arguments of :meth:`timm.create_model`. (default:
            :obj:`None`)
        data_config (dict, optional): Replaces entries of the preprocessing of the model:
            :obj:`input_size`, :obj:`interpolation`, :obj:`mean`, :obj:`std`, :obj:`crop_pct` and
            :obj:`crop_mode` (:obj:`{"crop_mode": "squash", "crop_pct": 1.0}` crops nothing).
            (default: :obj:`None`)
        batch_size, device, cache: As :class:`~torch_imf.encoders.cache.BatchEncoder`, with a cache
            by default.

    Shapes:
        As :class:`ImageEncoder`, with :math:`D` as the model has it (0 if there is no image).
    """

    packages = ("timm", "torchvision", "pillow")

    def __init__(
        self,
        model: str = "vgg16",
        weights: str | os.PathLike[str] | None = None,
        model_kwargs: Mapping[str, object] | None = None,
        data_config: Mapping[str, object] | None = None,
        batch_size: int = 32,
        device: str | None = None,
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        require("timm", "Networks for images (all but 'pixel')", "visual")
        if weights is not None and not osp.isfile(weights):
            raise ValueError(f"There is no file of weights '{weights}'")

        super().__init__(batch_size, cache, device)
        self.model = model
        self.weights = weights
        self.model_kwargs = dict(sorted((model_kwargs or {}).items()))
        self.data_config = dict(sorted((data_config or {}).items()))

    def load(self) -> Callable[[list[Tensor]], Tensor]:
        import timm.data
        from PIL import Image

        device = default_device(self.device)
        model = self._create().to(device).eval()
        config = timm.data.resolve_model_data_config(model)
        unknown = sorted(set(self.data_config) - set(config))
        if len(unknown) > 0:
            raise ValueError(f"Unknown 'data_config' entries {unknown} (known: {sorted(config)})")
        prepare = timm.data.create_transform(**{**config, **self.data_config})

        @torch.no_grad()
        def run(images: list[Tensor]) -> Tensor:
            pixels = [_shorten(x).cpu().permute(1, 2, 0).contiguous().numpy() for x in images]
            x = torch.stack([prepare(Image.fromarray(x)) for x in pixels])
            return model(x.to(device)).flatten(start_dim=1)

        return run

    def _create(self) -> torch.nn.Module:
        import timm

        if ":" not in self.model and not timm.is_model(self.model):  # Nor one of the Hub.
            hint = nearest(self.model, timm.list_models())
            raise ValueError(f"There is no model '{self.model}' in timm.{hint}")
        create: Callable[..., torch.nn.Module] = timm.create_model
        if self.weights is None:
            try:
                return create(self.model, pretrained=True, num_classes=0, **self.model_kwargs)
            except OSError as e:
                raise no_weights(self.model, "weights", "PixelEncoder", e) from e
        # Not by timm, which leaves random what a file lacks once there is no classifier:
        model = create(self.model, num_classes=0, **self.model_kwargs)
        head = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
        heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
        state = timm.models.load_state_dict(os.fspath(self.weights), weights_only=True)
        try:
            model.load_state_dict({key: x for key, x in state.items() if not key.startswith(heads)})
        except RuntimeError as e:
            raise ValueError(f"The weights '{self.weights}' do not fit the model: {e}") from e
        return model

    def settings(self) -> dict[str, object]:
        weights = None if self.weights is None else hash_file(self.weights)[:16]
        return {**super().settings(), "weights": weights}
