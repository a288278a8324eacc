"""Fill a folder with simulated labelled images: `python -m train.simulate FOLDER [--first N] [--each N]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.data.prepared import write_sample
from train.simulate import MODALITIES, simulate


def main(argv: list[str] | None = None) -> None:
    """Write N images of every modality; images that exist are skipped."""
    parser = argparse.ArgumentParser(prog="python -m train.simulate", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=80, help="images of each modality (default 80)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first image (default 0)")
    parser.add_argument("--size", type=int, default=384, help="side in px (default 384)")
    args = parser.parse_args(argv)
    for seed in range(args.first, args.first + args.each):
        for modality in MODALITIES:
            name = f"{seed:05d}"
            if not (args.folder / modality / f"{name}_label.png").exists():
                sample = simulate(modality, (args.size, args.size), seed)
                write_sample(args.folder / modality, name, sample.image, sample.labels)


if __name__ == "__main__":
    main()
