"""A network of twice the width that begins where a narrow one ended: `python -m train.widen NARROW.pt -o WIDE.pt`.

Every feature is there twice, at half the weight, so that the maps stay the same (Chen et al. 2016, Net2Net).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch

from train.__main__ import exit_code
from train.network import FlowNetwork, load, save

SPREAD = 0.5


def doubled(network: FlowNetwork, spread: float = 0.0) -> FlowNetwork:
    """Return a network of twice the width that gives the same maps.

    ``spread`` times the standard deviation of each kernel is what one copy of an input weighs more, at random, and
    the other less: the maps stay what they were, and in training the copies part. The style has unit length, so that
    its two halves are shorter by the root of 2 than the one was.
    """
    wide = FlowNetwork(network.channels, tuple(2 * width for width in network.widths))
    generator = torch.Generator().manual_seed(0)
    state = wide.state_dict()
    for key, value in network.state_dict().items():
        times = [new // old for new, old in zip(state[key].shape, value.shape, strict=True)]
        state[key] = value.repeat(times)
        if value.ndim == 4 and times[1] == 2:
            more = torch.randn(state[key][:, : value.shape[1]].shape, generator=generator) * value.std() * spread
            state[key] = (state[key] + torch.cat([more, -more], 1)) / (math.sqrt(2) if ".style." in key else 2)
    wide.load_state_dict(state)
    return wide.eval()


def largest_difference(one: FlowNetwork, other: FlowNetwork, side: int = 64) -> float:
    """Return the largest difference between the maps of two networks for an image of noise."""
    image = torch.rand(1, one.channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return float((one(image)[0] - other(image)[0]).abs().max())


def run(args: argparse.Namespace) -> None:
    save(args.output, doubled(load(args.checkpoint)[0], SPREAD))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m train.widen", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return exit_code(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
