"""The mean of several networks: `python -m train.soup CONFIG A.pt B.pt --data FOLDER [--pool FOLDER] -o MEAN.pt`.

Networks that were trained on from the same weights may be averaged weight by weight; the mean is often better than each
(Wortsman et al. 2022, model soups). The size regression is fitted anew, to the config's images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from flowmask.errors import SettingsError
from train.__main__ import exit_code, finish, prepare_all
from train.config import load_config, split
from train.network import FlowNetwork, load
from train.readers import read_folders


def mean_of(networks: Sequence[FlowNetwork]) -> FlowNetwork:
    """Return a network with the mean of the weights and batch-norm statistics of networks of one shape."""
    mean = FlowNetwork(networks[0].channels, networks[0].widths)
    states = [network.state_dict() for network in networks]
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    return mean.eval()


def run(args: argparse.Namespace) -> None:
    config = load_config(args.config)
    networks = [load(path)[0] for path in args.checkpoints]
    if len({(network.channels, network.widths) for network in networks}) > 1:
        raise SettingsError("the networks have different shapes; name checkpoints of one lineage.")
    images = prepare_all(split(read_folders(args.data), config)[0], args.pool, config.policy)
    finish(args.output, mean_of(networks), images, config)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m train.soup", description=__doc__)
    parser.add_argument("config", help="whose images the size regression is fitted to, and whose facts are written")
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="FOLDER", help="as for python -m train"
    )
    parser.add_argument("--pool", type=Path, metavar="FOLDER", help="as for python -m train")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return exit_code(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
