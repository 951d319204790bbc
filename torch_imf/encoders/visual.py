import inspect
import os
import os.path as osp
import sys
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from torch_imf.encoders.base import Encoder, default_device, hash_file, hash_weights, require
from torch_imf.encoders.cache import Encode, FeatureCache, encode_rows, hash_content
from torch_imf.io import warn
from torch_imf.io.images import read_image

Image = Tensor | str | os.PathLike[str]


class ImageEncoder(Encoder):
    r"""The base class of encoders of images.

    An entity has no image, one, or several, whose features are averaged. A
    file that cannot be read (missing, empty, cut short, no image) is left out:
    one warning names such files, :attr:`unreadable` holds them all with the
    reason, and an entity left without an image counts as missing.

    A subclass implements :meth:`load`.

    Args:
        batch_size (int, optional): The number of images per batch.
            (default: :obj:`32`)
        cache (bool or str, optional): The folder to keep features in, see
            :class:`FeatureCache`: :obj:`True` is :obj:`$TORCH_IMF_CACHE` or
            :obj:`~/.cache/torch_imf`, :obj:`False` keeps none.
            (default: :obj:`False`)
        channels (int, optional): The size of a feature vector if it is known
            beforehand. (default: :obj:`0`)

    Shapes:
        - **input:** a list of :math:`N` entries: an image, a list of images,
          or :obj:`None`, where an image is a :class:`torch.uint8` tensor
          :math:`(3, H, W)` of any size, or a path (read with Pillow,
          transparent parts become white)
        - **output:** features :math:`(N, D)` and mask :math:`(N)`
    """

    unreadable: dict[str, str]
    """The files that the last call could not read, and why."""

    def __init__(
        self,
        batch_size: int = 32,
        cache: bool | str | os.PathLike[str] = False,
        channels: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")

        self.batch_size = batch_size
        self.cache = cache
        self.channels = channels
        self.unreadable = {}

    def load(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        r"""Returns a function from an image :math:`(3, H, W)` to the input of
        a model, and one from a batch of inputs to features.
        """
        raise NotImplementedError

    def transform(self, images: Sequence[Image | list[Image] | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of a list of images and which entities have
        any.

        Args:
            images (list): The images, see above.

        Raises:
            ValueError: If a tensor is not 8-bit of three channels.
        """
        self.unreadable = {}
        entries: list[tuple[int, str, Image]] = []
        for i, entry in enumerate(images):
            for image in entry if isinstance(entry, list) else [entry]:
                if isinstance(image, Tensor):
                    _check_pixels(image, i)
                    entries.append((i, hash_pixels(image), image))
                elif image is not None:
                    try:
                        entries.append((i, hash_file(image), image))
                    except OSError as e:
                        self.unreadable[os.fspath(image)] = str(e)

        reasons: dict[str, str] = {}
        cache, load = FeatureCache.open(self, self.cache), lambda: self._encode(reasons)
        out = encode_rows(len(images), entries, load, self.batch_size, cache, self.channels)
        for _, key, image in entries:
            if key in reasons and not isinstance(image, Tensor):
                self.unreadable[os.fspath(image)] = reasons[key]
        if len(self.unreadable) > 0:
            first = list(self.unreadable.items())[:10]
            warn(
                f"{len(self.unreadable)} images cannot be read and are left out "
                f"('{self.__class__.__name__}.unreadable' holds all): "
                + "; ".join(f"'{osp.basename(path)}' ({reason})" for path, reason in first)
            )
        return out

    def _encode(self, reasons: dict[str, str]) -> Encode[Image]:
        prepare, forward = self.load()

        def encode(batch: dict[str, Image]) -> tuple[list[str], Tensor]:
            inputs = {}
            for key, image in batch.items():
                try:
                    inputs[key] = prepare(image if isinstance(image, Tensor) else read_image(image))
                except ValueError as e:
                    reasons[key] = str(e)
            if len(inputs) == 0:
                return [], torch.empty(0, self.channels)
            return list(inputs), forward(torch.stack(list(inputs.values())))

        return encode


class VisualEncoder(ImageEncoder):
    r"""Encodes images by a pretrained network of `timm
    <https://github.com/huggingface/pytorch-image-models>`_ without its
    classifier, run once.

    :obj:`"vgg16"` is the encoder of the `"IMF: Interactive Multimodal Fusion
    Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: its
    4096 values are the outputs of the last hidden layer.
    Images are resized, cropped and normalised as the network was trained.
    Needs :obj:`timm` (:obj:`pip install "torch_imf[visual]"`).

    Args:
        model (str, optional): The name of a model of :obj:`timm`.
            (default: :obj:`"vgg16"`)
        weights (str, optional): A file of weights (:obj:`.safetensors` or a
            :obj:`state_dict` saved by PyTorch), named as in :obj:`timm` or as
            its own conversion of the release expects. Without it, the
            weights that :obj:`timm` names are fetched, or taken from the local
            Hugging Face cache. (default: :obj:`None`)
        model_kwargs (dict, optional): Further arguments of
            :meth:`timm.create_model`. (default: :obj:`None`)
        data_config (dict, optional): Replaces entries of the preprocessing of
            the model: :obj:`input_size`, :obj:`interpolation`, :obj:`mean`,
            :obj:`std`, :obj:`crop_pct` and :obj:`crop_mode`. With
            :obj:`{"crop_mode": "squash", "crop_pct": 1.0}`, the whole image is
            squeezed to the input size rather than cropped in the middle.
            (default: :obj:`None`)
        device (str, optional): The device to run on, an accelerator if there
            is one by default. (default: :obj:`None`)
        batch_size, cache: As :class:`ImageEncoder`, with a cache by default.

    Shapes:
        As :class:`ImageEncoder`, with :math:`D` as the model has it (0 if there
        is not one image to be read).
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
        require("timm", self.__class__.__name__, "PixelEncoder")
        if weights is not None and not osp.isfile(weights):
            raise ValueError(f"There is no file of weights '{weights}'")

        super().__init__(batch_size, cache)
        self.model = model
        self.weights = weights
        self.model_kwargs = dict(sorted((model_kwargs or {}).items()))
        self.data_config = dict(sorted((data_config or {}).items()))
        self.device = device

    def load(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        import timm.data
        from PIL import Image

        device = default_device(self.device)
        model = self._create().to(device).eval()
        config = timm.data.resolve_model_data_config(model)
        unknown = sorted(set(self.data_config) - set(config))
        if len(unknown) > 0:
            raise ValueError(f"Unknown 'data_config' entries {unknown} (known: {sorted(config)})")
        transform = timm.data.create_transform(**{**config, **self.data_config})

        def prepare(image: Tensor) -> Tensor:
            return transform(Image.fromarray(image.cpu().permute(1, 2, 0).contiguous().numpy()))

        @torch.no_grad()
        def forward(x: Tensor) -> Tensor:
            return model(x.to(device)).flatten(start_dim=1)

        return prepare, forward

    def _create(self) -> torch.nn.Module:
        import timm

        create: Callable[..., torch.nn.Module] = timm.create_model
        if self.weights is not None:
            model = create(self.model, num_classes=0, **self.model_kwargs)
            load_weights(model, self.weights)
            return model
        try:
            return create(self.model, pretrained=True, num_classes=0, **self.model_kwargs)
        except OSError as e:
            raise RuntimeError(
                f"The weights of '{self.model}' are not on this machine and could not be fetched. "
                f"Please run once with a network (or copy the Hugging Face cache of a machine "
                f"that has one), pass a file of weights as 'weights', or use 'PixelEncoder' ({e})"
            ) from e

    def settings(self) -> dict[str, object]:
        weights = None if self.weights is None else hash_weights(self.weights)
        return {**super().settings(), "weights": weights}


def load_weights(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    r"""Loads a file of weights into a model of :obj:`timm` that has no
    classifier. (:meth:`timm.create_model` loads files as well, but leaves
    random what a file lacks, once the model has no classifier.)

    Raises:
        ValueError: If weights are missing or unexpected, apart from those of
            the classifier.
    """
    from timm.models import load_state_dict

    state = load_state_dict(os.fspath(path), weights_only=True)
    # The conversion that timm applies to weights as they were released:
    module = sys.modules[type(model).__module__]
    convert = getattr(module, "checkpoint_filter_fn", getattr(module, "_filter_fn", None))
    if convert is not None:
        num_args = len(inspect.signature(convert).parameters)
        state = convert(state, model) if num_args > 1 else convert(state)

    head = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as e:
        raise ValueError(f"The weights '{path}' do not fit the model: {e}") from e
    unexpected = [name for name in unexpected if not name.startswith(heads)]
    if len(missing) > 0 or len(unexpected) > 0:
        raise ValueError(
            f"The weights '{path}' do not fit the model: {len(missing)} are missing "
            f"({missing[:5]}) and {len(unexpected)} unexpected ({unexpected[:5]})"
        )


def _check_pixels(image: Tensor, index: int) -> None:
    if image.dtype != torch.uint8 or image.dim() != 3 or image.size(0) != 3:
        raise ValueError(
            f"Image {index} needs to be a uint8 tensor of shape [3, H, W] "
            f"(got {image.dtype} of shape {list(image.size())})"
        )


def hash_pixels(image: Tensor) -> str:
    r"""Returns a hash of the content of an image."""
    content = image.cpu().contiguous().numpy().tobytes()
    return hash_content(f"{list(image.size())} ".encode() + content)
