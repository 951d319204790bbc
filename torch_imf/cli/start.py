r"""The commands to begin with: a folder to edit, and what this machine has."""

import os
import os.path as osp
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import torch_imf
from torch_imf.answers.results import format_table
from torch_imf.cli.command import Output
from torch_imf.cli.inputs import empty_folder
from torch_imf.io.atomic import replacing

#: The colours that the first pictures of a new folder are drawn in.
COLORS = {
    "Sun": "#ffd23f",
    "Mercury": "#9a948d",
    "Venus": "#e6c577",
    "Earth": "#3f77c9",
    "Mars": "#c1502e",
    "Jupiter": "#c9a27a",
    "Saturn": "#dfc98f",
    "Uranus": "#a6dbe2",
    "Neptune": "#3b55c4",
    "Moon": "#b5b3ae",
    "Io": "#e8d44d",
    "Europa": "#d8cfbd",
    "Titan": "#d9963a",
    "Triton": "#cdbfb8",
    "Pluto": "#cbb190",
}
#: What each extra is for, and a package that it brings.
EXTRAS = {
    "visual": ("timm", "networks that see photographs"),
    "textual": ("sentence_transformers", "networks that read texts"),
    "plot": ("matplotlib", "figures"),
    "serve": ("gradio", "the explorer in a browser"),
    "tune": ("optuna", "searches for settings"),
    "tensorboard": ("tensorboard", "curves, and embeddings to look at"),
    "hub": ("huggingface_hub", "sharing models"),
    "excel": ("openpyxl", "tables of Excel"),
    "h5": ("h5py", "features in HDF5"),
    "scatter": ("torch_scatter", "faster sums on graphs"),
    "pykeen": ("pykeen", "datasets of PyKEEN"),
    "ogb": ("ogb", "datasets of OGB"),
    "faiss": ("faiss", "indices of embeddings"),
}


def new(folder: Annotated[str, "the folder, which is not there yet, or empty"]) -> Output:
    r"""Writes a tiny graph into a folder, to try and to edit.

    It is one of planets, their moons and who discovered them, with texts, types, pictures and
    numbers, in the files that 'train' takes: put your own in their place.

    Examples:
      torch-imf new my_graph/
      torch-imf train my_graph/ --out runs/first
    """
    from PIL import Image, ImageDraw

    target = empty_folder(folder)
    source = Path(torch_imf.datasets.__file__).parent / "files" / "new"
    for path in sorted(source.iterdir()):
        with replacing(target / path.name) as file:
            file.write(path.read_bytes())
    for name, color in COLORS.items():
        image = Image.new("RGB", (64, 64), "black")
        ImageDraw.Draw(image).ellipse((6, 6, 57, 57), fill=color)
        with replacing(target / "images" / f"{name}.png") as file:
            image.save(file, format="PNG")
    run = osp.join("runs", osp.basename(osp.normpath(folder)) or "first")
    about = {
        "facts.tsv": "head, relation and tail of each fact, all that is needed",
        "texts.tsv": "entity, name, type and text, optional",
        "numbers.tsv": "entity, attribute and value, optional",
        "images": "<entity>.png, or a folder of pictures for each, optional",
    }
    steps = [
        f"audit {folder}",
        f"train {folder} --out {run}",
        f"predict {run} --head Europa --relation orbits",
        f"explain {run} Europa orbits Jupiter",
    ]
    rows = [["", ""], *([osp.join(folder, name), text] for name, text in about.items())]
    lines = ["Written:", *format_table(rows, (0, 1)).splitlines()[1:], "Edit them, and then:"]
    text = "\n".join([*lines, *(f"  torch-imf {step}" for step in steps)])
    return Output(text, {"folder": folder, "files": list(about), "next": steps})


def doctor() -> Output:
    r"""Tells what this machine has, what is missing, and what would be faster.

    Versions, devices, threads, extras, the folder of the cache and the mirror of raw files: send
    what it prints along with a question.

    Examples:
      torch-imf doctor
      torch-imf doctor --json
    """
    import torch

    from torch_imf.io.atomic import cache_folder

    cores, threads, advice = available_cores(), torch.get_num_threads(), list[str]()
    packages = ["torch-geometric", "numpy", "pandas", "pyarrow", "pyoxigraph"]
    versions = {"Python": platform.python_version(), "torch_imf": torch_imf.__version__}
    versions |= {"torch": torch.__version__}
    versions |= {name: found for name in packages if (found := installed(name))}
    devices = {
        "cpu": f"{cores} cores, {threads} threads ({torch.backends.cpu.get_cpu_capability()})"
    }
    for i in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(i)
        devices[f"cuda:{i}"] = f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    if threads > cores:
        advice.append(
            f"PyTorch takes {threads} threads, but this process has {cores} cores: '--threads "
            f"{cores}', or OMP_NUM_THREADS={cores}, is faster"
        )
    if len(devices) == 1 and shutil.which("nvidia-smi"):
        advice.append(
            f"there is a driver of NVIDIA, but PyTorch {versions['torch']} sees no GPU: install "
            f"one with CUDA (https://pytorch.org/get-started)"
        )
    elif len(devices) == 1:
        advice.append(
            "there is no GPU: graphs like Countries take minutes, those like FB15K-237 an hour or "
            "so, and larger ones want one"
        )
    elif torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        advice.append("this GPU is fastest with '--precision bf16'")
    extras = {name: find_spec(package) is not None for name, (package, _) in EXTRAS.items()}
    cache, mirror = cache_folder(), os.environ.get("TORCH_IMF_MIRROR", "")
    folders = {"cache": cache, "mirror (TORCH_IMF_MIRROR)": mirror or "none, files are downloaded"}
    parent = next(x for x in (Path(cache), *Path(cache).resolve().parents) if x.exists())
    if not os.access(parent, os.W_OK):
        advice.append(f"nothing can be kept in '{cache}': let TORCH_IMF_CACHE name another folder")
    if mirror and "://" not in mirror and not osp.isdir(osp.expanduser(mirror)):
        advice.append(f"TORCH_IMF_MIRROR is '{mirror}', which is no folder")
    if not extras["textual"]:
        advice.append(
            "texts are encoded by TF-IDF alone, networks may know them better: pip install "
            '"torch_imf[textual]"'
        )
    rows = {
        "Versions": versions,
        "Devices": devices,
        "Folders": folders,
        "Extras": {
            name: f"{EXTRAS[name][1]}{'' if x else f', missing: torch_imf[{name}]'}"
            for name, x in extras.items()
        },
    }
    blocks = []
    for title, entries in rows.items():
        table = format_table([["", ""], *map(list, entries.items())], left=(0, 1))
        blocks += [title, *table.splitlines()[1:]]
    notes = [f"  {x[0].upper()}{x[1:]}" for x in advice] or ["  Nothing to mend"]
    values = {"versions": versions, "devices": devices, "threads": threads, "cores": cores}
    values |= {"folders": folders, "extras": extras, "advice": advice}
    return Output("\n".join([*blocks, "What would help", *notes]), values)


def installed(name: str) -> str:
    r"""Returns the version of a package, and nothing if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def available_cores() -> int:
    r"""Returns how many cores this process may use: those that it is bound to, and what the
    container allows.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores or 1, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # Not on Linux, or without a limit.
        pass
    return cores or 1
