import argparse

import torch


def add_device(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    r"""Adds the argument that says where to compute."""
    parser.add_argument("--device", help="where to compute (default: a GPU, if there is one)")


def add_compute(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    r"""Adds the arguments that say where to compute, and with how much."""
    add_device(parser)
    parser.add_argument("--threads", type=int, help="how many threads to compute with")


def prepare_compute(options: argparse.Namespace) -> torch.device:
    r"""Takes the number of threads that is asked for, and returns the device."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return choose_device(options.device)


def choose_device(device: str | None) -> torch.device:
    r"""Returns the device to compute on: a GPU, if there is one.

    Raises:
        ValueError: If it cannot be used.
    """
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=found).item()  # Which 'meta' has none of.
    except Exception as error:
        raise ValueError(f"The device '{device}' cannot be used ({error})") from error
    return found
