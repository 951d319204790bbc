import os
from collections.abc import Mapping

from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.own_files import OwnFiles, Path
from torch_imf.encoders import FeatureFile

# The argument of `MultimodalKG.from_files` that holds each modality:
CONTENT = {"text": "texts", "visual": "images", "numeric": "numeric"}


def own_modalities(files: OwnFiles) -> tuple[str, ...]:
    r"""Returns the modalities that files hold something of."""
    return tuple(x for x in CONTENT if getattr(files, CONTENT[x]) is not None)


def own_encoders(
    encoders: Mapping[str, Encoder | Path | None] | None,
    files: OwnFiles,
) -> dict[str, Encoder | str | None]:
    r"""Returns the encoder of each modality, :obj:`"auto"` where none is given.

    Raises:
        ValueError: If there is no such modality, or nothing to encode.
    """
    out: dict[str, Encoder | str | None] = dict.fromkeys(CONTENT, "auto")
    for modality, encoder in (encoders or {}).items():
        out[modality] = os.fspath(encoder) if isinstance(encoder, os.PathLike) else encoder
    unknown = [modality for modality in out if modality not in CONTENT]
    if unknown:
        raise ValueError(
            f"Invalid 'encoders' argument (got the keys {unknown}), expected some of "
            f"{list(CONTENT)}"
        )
    for modality, chosen in out.items():
        has_work = chosen != "auto" and not is_ready(chosen)
        if modality not in own_modalities(files) and has_work:
            raise ValueError(
                f"The encoder of '{modality}' has nothing to encode. Pass the files as "
                f"'{CONTENT[modality]}'"
            )
    return out


def is_ready(encoder: Encoder | str | None) -> bool:
    r"""Returns whether an encoder encodes nothing: it reads features that are
    ready, or there is none.
    """
    if isinstance(encoder, str):
        return encoder != "auto"
    return encoder is None or isinstance(encoder, FeatureFile)
