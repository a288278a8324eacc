"""Train the network of a recipe: `python -m train RECIPE --data FOLDER [--pool FOLDER] [--work FOLDER]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from flowmask.errors import FlowmaskError, SettingsError
from train.recipes import load_recipe
from train.run import train_recipe


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("recipe", help="name of a module in train/recipes, or path of a Python file like these")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="labelled images: one folder per source, the challenge's images/ and labels/, COCO's JSON with images, or "
        "for each image a folder with one mask per object; may be repeated",
    )
    parser.add_argument(
        "--pool", type=Path, metavar="FOLDER", help="simulated images written by `python -m train.simulate`"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("checkpoints"),
        metavar="FOLDER",
        help="folder for RECIPE.pt and the checkpoints of the stages; finished stages are skipped and an interrupted "
        "one resumes (default checkpoints/)",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to train (default cuda if PyTorch finds a GPU)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Return 0, or 1 after one sentence on stderr."""
    args = parse_args(argv)
    try:
        if args.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError("--device cuda: PyTorch finds no GPU; leave it out, or install PyTorch with CUDA.")
        train_recipe(load_recipe(args.recipe), args.data, args.pool, args.work, args.device)
    except FlowmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
