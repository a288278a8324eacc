"""The labels of this checkout against those of another commit, bit for bit.

    python -m bench.trust.same_labels COMMIT --data FOLDER [--size 5000] [--limit N] [--model NAME]

Both commits segment the same images with the same network file: every image of the folder with estimated diameters,
and a simulated slide of ``--size`` px with the diameter given. The other commit is checked out beside this one for the
run. The script prints each difference and fails if there is one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from bench.record import ROOT, Record, write_record
from flowmask.labels.paths import label_path
from flowmask.network.registry import default_network, find_network
from train.simulate.slide import write_slide
from train.simulate.slide_plan import DIAMETER


def segment(tree: Path, images: Path, out: Path, model: Path, *options: str) -> None:
    """Segment a folder with the engine of a tree."""
    words = ["-i", images, "-o", out, "--model", model, "--device", "cpu", "--ids", "challenge", *options]
    done = subprocess.run([sys.executable, "-m", "infer", *map(str, words)], cwd=tree, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{tree}: the engine failed with exit code {done.returncode}\n{done.stderr[-2000:]}")


def gather_images(data: Path, folder: Path, limit: int | None) -> None:
    """Link the images of all sources into one folder, under names that hold the source."""
    paths = [path for path in sorted(data.glob("*/*.png")) if not path.stem.endswith("_label")]
    for path in paths[:: max(1, len(paths) // limit) if limit else 1]:
        (folder / f"{path.parent.name}-{path.stem.replace('.', '-')}.png").symlink_to(path.resolve())


def differences(images: Path, before: Path, after: Path) -> Iterator[str]:
    """Yield the name of every image whose label files differ in a pixel or in their type."""
    for path in sorted(images.iterdir()):
        one, other = (tifffile.imread(label_path(folder, path.name)) for folder in (before, after))
        if one.dtype != other.dtype or not np.array_equal(one, other):
            yield path.name


def compare(folder: Path, tree: Path, args: argparse.Namespace) -> tuple[list[str], int]:
    """Return the names of the images with different labels, and the number of images.

    folder: an empty folder. tree: the checkout of the other commit.
    """
    images, slides = folder / "images", folder / "slides"
    images.mkdir()
    slides.mkdir()
    gather_images(args.data, images, args.limit)
    write_slide(slides / "slide.tif", (args.size, args.size), 0)
    wrong: list[str] = []
    for inputs, options in ((images, ()), (slides, ("--diameter", f"{DIAMETER}"))):
        outs = folder / f"before-{inputs.name}", folder / f"after-{inputs.name}"
        for place, out in zip((tree, ROOT), outs, strict=True):
            segment(place, inputs, out, args.model.resolve(), *options)
        for name in differences(inputs, *outs):
            print(f"{name}: the labels differ")
            wrong.append(name)
    return wrong, sum(1 for inputs in (images, slides) for _ in inputs.iterdir())


def compare_with(commit: str, args: argparse.Namespace) -> Record:
    """Check out another commit for the run, compare the labels and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
        try:
            different, images = compare(folder, tree, args)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    return {"other_commit": commit, "images": images, "different": different}


def text(record: Record) -> str:
    """Return the result of a record in a sentence.

    >>> text({"images": 3, "different": ["a.png"], "other_commit": "a1"})
    '2 of 3 label images are the same, bit for bit, as those of a1.'
    """
    same = record["images"] - len(record["different"])
    return f"{same} of {record['images']} label images are the same, bit for bit, as those of {record['other_commit']}."


def main() -> int:
    """Compare, print the result, write the record; return 1 if any labels differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--data", type=Path, required=True, help="folder with SOURCE/NAME.png")
    parser.add_argument("--size", type=int, default=5000, help="side of the simulated slide in px")
    parser.add_argument("--limit", type=int, help="about so many images of the folder, spread over it")
    parser.add_argument("--model", type=find_network, default=default_network())
    args = parser.parse_args()
    record = compare_with(args.commit, args)
    print(text(record))
    print(write_record("same_labels", record))
    return int(bool(record["different"]))


if __name__ == "__main__":
    sys.exit(main())
