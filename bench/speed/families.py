"""Peak memory of a network of each family on a wide slide. Memory grows with the width, not with the height.

    python -m bench.speed.families [--shape 1000 10000] [--family watershed ...]

Only flow networks ship, so the others have the architecture of their recipes and random weights. Such a network finds
nothing, and labelling nothing needs no memory. So its maps are replaced by maps of the dark nuclei of the slide; the
file computes the network all the same. The peak is that of `bench.speed.slides`; the idle runtime is the same command
on a slide of 64 x 64 px.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.record import RESULTS, Record, table, write_record
from bench.speed.slides import IDLE_SIDE, measure
from export.onnx_file import to_onnx
from export.source import Source
from flowmask.families.boxes.constants import MASK, SQUARE
from flowmask.network.registry import default_network
from train.families import find_architecture
from train.families.boxes.network import NUMBERS
from train.simulate.slide import write_slide
from train.simulate.slide_plan import DIAMETER

FAMILIES = ("flow", "semantic", "watershed", "boxes")
SHAPE = (1000, 10_000)
HEADER = ("family", "shape, px", "cells", "processor s", "peak, MB", "above idle, MB")
HALF = DIAMETER / 2
BOX = SQUARE / 2 + torch.tensor([-HALF, -HALF, HALF, HALF])
"""The box of a round cell whose centre is that of a square, from the corner of the square."""
NOTE = "Networks that do not ship have random weights, and their maps are replaced by those of the dark nuclei."
NUCLEUS = 0.5
"""Darkness, 0 to 1, from which a pixel belongs to a nucleus."""


def semantic(dark: Tensor) -> Tensor:
    """Return the logit of the foreground (B, 1, Y, X) for the darkness (B, 1, Y, X)."""
    return 10 * (dark - NUCLEUS)


def watershed(dark: Tensor) -> Tensor:
    """Return inner distance, interior, border and background (B, 4, Y, X)."""
    return torch.cat([dark, dark, 0 * dark, 1 - dark], dim=1)


def boxes(dark: Tensor) -> Tensor:
    """Return the records (B, 13, Y, X) of a round cell at each maximum of the darkness."""
    squares = functional.avg_pool2d(dark, SQUARE)
    found = (squares == functional.max_pool2d(squares, 3, 1, 1)) & (squares > NUCLEUS)
    axis = torch.linspace(-1, 1, MASK)
    mask = (axis[:, None] ** 2 + axis**2 < 1).float().flatten()
    record = functional.pad(torch.cat([torch.ones(2), BOX, mask]), (0, NUMBERS - 6 - MASK**2))
    return functional.pixel_shuffle(found * record[None, :, None, None], SQUARE)


MAPS: dict[str, Callable[[Tensor], Tensor]] = {"semantic": semantic, "watershed": watershed, "boxes": boxes}


class Replaced(nn.Module):
    """A network whose maps are computed and replaced: (B, C, Y, X) -> the heads of its family."""

    def __init__(self, network: nn.Module, family: str) -> None:
        super().__init__()
        self.network, self.family = network, family

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        dark = 1 - image.mean(dim=1, keepdim=True).clamp(0, 1)
        maps = MAPS[self.family](dark) + 0 * self.network(image)[0].clamp(-1, 1)
        return (maps[:, :1], maps[:, 1:]) if self.family == "watershed" else (maps,)


def network_of(family: str, work: Path) -> Path:
    """Return the file of the network of a family; that of flow ships, the others are written."""
    if family == "flow":
        return default_network()
    recipe = import_module(f"train.recipes.nuclei_{family}").RECIPE
    torch.manual_seed(0)
    network = find_architecture(family, recipe.architecture).build(3, recipe.widths).eval()
    source = Source(network, None, "rgb", DIAMETER, DIAMETER, "CC0-1.0", "random weights")
    path = work / f"random_{family}.onnx"
    onnx.save(to_onnx(Replaced(network, family).eval(), source.contract(family)), path)
    return path


def slide(work: Path, shape: tuple[int, int]) -> Path:
    """Return the path of a slide of this shape, written if it is missing."""
    path = work / f"slide_{shape[0]}x{shape[1]}.tif"
    if not path.exists():
        write_slide(path, shape, 0)
    return path


def measured(family: str, work: Path, shape: tuple[int, int]) -> Record:
    """Return the figures of a family."""
    options = ["--model", str(network_of(family, work)), "--diameter", f"{DIAMETER:g}"]
    tiny = slide(work, (IDLE_SIDE, IDLE_SIDE))
    measure(tiny, options)  # Numba compiles in a machine's first run
    idle = measure(tiny, options)
    run = measure(slide(work, shape), options)
    return {
        "family": family,
        "shape": list(shape),
        "cells": run.cells,
        "cpu_seconds": run.cpu_seconds,
        "peak_mb": run.peak_mb,
        "above_idle_mb": run.peak_mb - idle.peak_mb,
    }


def text(record: Record) -> str:
    """Return the table of a record as Markdown.

    >>> run = {"family": "boxes", "shape": [1000, 2000], "cells": 9}
    >>> run |= {"cpu_seconds": 3.2, "peak_mb": 500, "above_idle_mb": 99}
    >>> text({"runs": [run]}).splitlines()[2]
    '| boxes  | 1,000 x 2,000 | 9     | 3           | 500      | 99             |'
    """
    rows = [
        [
            one["family"],
            " x ".join(f"{side:,}" for side in one["shape"]),
            *(f"{one[name]:,.0f}" for name in ("cells", "cpu_seconds", "peak_mb", "above_idle_mb")),
        ]
        for one in record["runs"]
    ]
    return f"{table(HEADER, rows)}\n\n{NOTE}"


def main() -> None:
    """Measure, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, default=SHAPE, help="height and width of the slide in px")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--work", type=Path, default=RESULTS / "families", help="folder of slides and networks")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    record: Record = {"runs": []}
    for family in args.family:
        record["runs"].append(measured(family, work, tuple(args.shape)))
        path = write_record("families", record)
        print(text(record), flush=True)
    print(path)


if __name__ == "__main__":
    main()
