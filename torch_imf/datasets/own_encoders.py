from collections.abc import Mapping

from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.own_files import OwnFiles
from torch_imf.encoders import FeatureFile

# The argument of `MultimodalKG.from_files` that holds each modality:
CONTENT = {"text": "texts", "visual": "images", "numeric": "numeric"}


def own_modalities(files: OwnFiles) -> tuple[str, ...]:
    r"""Returns the modalities that files hold something of."""
    return tuple(x for x in CONTENT if getattr(files, CONTENT[x]) is not None)


def own_encoders(
    encoders: Mapping[str, Encoder | str | None] | None,
    files: OwnFiles,
) -> dict[str, Encoder | str | None]:
    r"""Returns the encoder of each modality, :obj:`"auto"` where none is given.

    Raises:
        ValueError: If there is no such modality, or nothing to encode.
    """
    out = dict.fromkeys(CONTENT, "auto") | dict(encoders or {})
    unknown = [modality for modality in out if modality not in CONTENT]
    if unknown:
        raise ValueError(
            f"Invalid 'encoders' argument (got the keys {unknown}), expected some of "
            f"{list(CONTENT)}"
        )
    for modality, encoder in out.items():
        ready = isinstance(encoder, str | FeatureFile | None)
        if modality not in own_modalities(files) and not ready:
            raise ValueError(
                f"The encoder of '{modality}' has nothing to encode. Pass the files as "
                f"'{CONTENT[modality]}'"
            )
    return out
