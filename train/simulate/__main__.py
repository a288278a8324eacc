"""Fill a folder with simulated images: `python -m train.pool FOLDER [--first N] [--each N]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.data import write_sample
from train.simulate import MODALITIES, simulate


def main() -> None:
    """Write N images of every modality; an image that is there already is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=80, help="images of each modality (default 80)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them (default 0)")
    parser.add_argument("--size", type=int, default=384, help="side in px (default 384)")
    args = parser.parse_args()
    for seed in range(args.first, args.first + args.each):
        for modality in MODALITIES:
            name = f"{seed:05d}"
            if not (args.folder / modality / f"{name}_label.png").exists():
                sample = simulate(modality, (args.size, args.size), seed)
                write_sample(args.folder / modality, name, sample.image, sample.labels)


if __name__ == "__main__":
    main()
