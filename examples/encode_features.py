# Goes from flags and texts to `x_visual` and `x_text` of `Countries`, by pretrained networks where
# their weights are at hand, and draws the nearest neighbours of five flags.
import argparse
import os
import os.path as osp

import torch
import torch.nn.functional as F

from torch_imf.datasets import Countries
from torch_imf.encoders import PixelEncoder, TextEncoder, TfidfEncoder, VisualEncoder
from torch_imf.io.images import read_image

mirror = os.environ.get("TORCH_IMF_MIRROR", "")
weights = osp.join(mirror, "encoders", "mobilenetv2_100_same.fp16.safetensors")
flags = osp.join(mirror, "Countries", "images")

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--countries", nargs="+", default=["fr", "jp", "gb", "gh", "se"])
parser.add_argument("--k", type=int, default=6, help="neighbours of each flag")
parser.add_argument(
    "--weights",
    default=weights if osp.isfile(weights) else None,
    help="of a MobileNetV2 in timm; flags are compared pixel by pixel without",
)
parser.add_argument(
    "--images",
    default=flags if osp.isdir(flags) else None,
    help="a folder of flags named by country code, those of the package without",
)
parser.add_argument("--text", help="a sentence transformer, as in 'all-MiniLM-L6-v2'")
parser.add_argument("--figure", default=osp.join("figures", "neighbours.png"))
args = parser.parse_args()

visual = PixelEncoder()
if args.weights:
    visual = VisualEncoder(
        "mobilenetv2_100",
        weights=args.weights,
        model_kwargs={"pad_type": "same"},
        data_config={
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "crop_mode": "squash",
            "crop_pct": 1.0,
        },
    )
text = TextEncoder(args.text) if args.text else TfidfEncoder(512)
dataset = Countries(text=text, visual=visual, images=args.images or None)
data = dataset[0]
print(dataset.summary())


def neighbours(modality: str, node: int) -> list[int]:
    x, mask = data[f"x_{modality}"], data[f"{modality}_mask"] & data.visual_mask
    similarity = F.normalize(x, dim=-1) @ F.normalize(x[node], dim=-1)
    return similarity.masked_fill(~mask, -torch.inf).topk(args.k + 1).indices[1:].tolist()


rows = [data.node_ids.index(f"country:{code}") for code in args.countries]
for node in rows:
    for modality in ("visual", "text"):
        names = ", ".join(data.node_names[i] for i in neighbours(modality, node))
        print(f"{data.node_names[node]}, by {modality}: {names}")

if args.figure:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    images = dataset.images()
    size = (1.6 * (args.k + 1), 1.4 * len(rows))
    fig, axes = plt.subplots(len(rows), args.k + 1, figsize=size, squeeze=False)
    for node, row in zip(rows, axes, strict=True):
        for other, axis in zip([node, *neighbours("visual", node)], row, strict=True):
            image = images[other]
            pixels = image if isinstance(image, torch.Tensor) else read_image(image[0])
            axis.imshow(pixels.permute(1, 2, 0))
            axis.set_title(data.node_names[other], fontsize=7, wrap=True)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(color="lightgrey")
    fig.tight_layout()
    os.makedirs(osp.dirname(args.figure) or ".", exist_ok=True)
    fig.savefig(args.figure, dpi=150)
    print(f"Drawn in '{args.figure}'")
