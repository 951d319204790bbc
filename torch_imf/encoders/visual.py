import inspect
import os
import os.path as osp
import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .image import ImageEncoder
from .pretrained import default_device, hash_weights, require, versions


class VisualEncoder(ImageEncoder):
    r"""Encodes images by a pretrained network of `timm
    <https://github.com/huggingface/pytorch-image-models>`_ without its
    classifier, run once.

    :obj:`"vgg16"` is the encoder of the `"IMF: Interactive Multimodal Fusion
    Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: its
    4096 values are the outputs of the last hidden layer.
    Images are resized, cropped and normalised as the network was trained.
    Needs :obj:`timm` and :obj:`pillow`
    (:obj:`pip install "torch_imf[visual]"`).

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
        batch_size (int, optional): The number of images per batch.
            (default: :obj:`32`)
        device (str, optional): The device to run on, an accelerator if there
            is one by default. (default: :obj:`None`)
        cache (bool or str, optional): The folder to keep features in, see
            :class:`FeatureCache`: :obj:`True` is :obj:`$TORCH_IMF_CACHE` or
            :obj:`~/.cache/torch_imf`, :obj:`False` keeps none.
            (default: :obj:`True`)

    Shapes:
        - **input:** a list of :math:`N` entries: an image, a list of images,
          or :obj:`None`, see :class:`ImageEncoder`
        - **output:** features :math:`(N, D)` with :math:`D` as the model has
          it (0 if there is not one image to be read), and mask :math:`(N)`;
          rows of entities without an image are zero and :obj:`False`
    """

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
        self.model_kwargs = dict(model_kwargs or {})
        self.data_config = dict(data_config or {})
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

    def __repr__(self) -> str:
        settings = [f"'{self.model}'"]
        if self.weights is not None:
            settings.append(f"weights={hash_weights(self.weights)}")
        for name in ("model_kwargs", "data_config"):
            if len(getattr(self, name)) > 0:
                settings.append(f"{name}={dict(sorted(getattr(self, name).items()))}")
        settings.append(versions("timm", "torchvision", "pillow"))
        return f"{self.__class__.__name__}({', '.join(settings)})"


def load_weights(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    r"""Loads a file of weights into a model of :obj:`timm` that has no
    classifier.

    Raises:
        ValueError: If weights are missing or unexpected, apart from those of
            the classifier.
    """
    from timm.models import load_state_dict

    # Older releases of timm unpickle anything by default, or cannot be asked not to:
    load: Callable[..., dict[str, Tensor]] = load_state_dict
    safe = "weights_only" in inspect.signature(load).parameters
    state = load(os.fspath(path), **({"weights_only": True} if safe else {}))
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
