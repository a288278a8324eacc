"""The command `flowmask train`. Its code is not a part of the engine: it needs PyTorch and is found when it is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

from .errors import SettingsError

PACKAGE = Path(__file__).resolve().parent
FOLDERS = (PACKAGE / "trainer", PACKAGE.parent)
"""Folders in which train, export and retrain may be: in the installed package, or beside ``infer/`` in a checkout."""
NEEDED = ("torch", "onnx", "skimage", "scipy")
"""Packages of the extra `train`, as they are imported."""
INSTALL = 'install it with pip install "flowmask[train]"'


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `flowmask train`.

    >>> parser = argparse.ArgumentParser()
    >>> add_train_arguments(parser)
    >>> parser.parse_args(["corrected", "-o", "mine.onnx"]).start
    'small'
    """
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folder of images and their labels")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE.onnx",
        help="network file to write; its card, FILE.txt, and its checkpoint, FILE.pt, are written beside it",
    )
    parser.add_argument(
        "--start", default="small", metavar="NAME|FILE.pt", help="network to continue with (default small)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps of the training (default 200)")
    parser.add_argument(
        "--held-out", type=int, metavar="N", help="images to hold back for the score (default one of five)"
    )
    parser.add_argument(
        "--test", type=Path, metavar="FOLDER", help="score on the images of this folder instead; none is held back"
    )
    parser.add_argument(
        "--licence", default="not stated", metavar="TEXT", help="licence of your images, for the network file and card"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="where to train (default: cuda if PyTorch finds a GPU)"
    )


def run_training(args: argparse.Namespace) -> None:
    """Run the training with the parsed arguments.

    Raises SettingsError if PyTorch or the code of the training is not installed, and what the training raises.
    """
    command = _command()
    names = ("folders", "output", "start", "steps", "held_out", "test", "licence", "device")
    command.train(command.Request(**{name: getattr(args, name) for name in names}))


def _command() -> ModuleType:
    """Return the module `retrain.command`."""
    folder = next((folder for folder in FOLDERS if (folder / "retrain").is_dir()), None)
    if folder is None:
        raise SettingsError("the training code is not installed here; install Flowmask again as in its README.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("retrain.command")
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise SettingsError(f"the training needs the package {error.name}; {INSTALL}.") from error
