"""Train the network of a config: `python -m train NAME --data FOLDER [--pool FOLDER] [--work FOLDER]`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from infer.contract import CHANNEL_POLICIES, Contract
from infer.errors import FlowmaskError, SettingsError
from train.batches import batch_maker
from train.config import Config, load_config, split
from train.data import Prepared, prepare_items, prepare_simulated
from train.light import LightNetwork
from train.loop import fit
from train.network import FlowNetwork, load, parameters, save
from train.optimise import INITIALISATIONS
from train.readers import Item, read_folders
from train.size import fit_size
from train.validate import Validation

VALIDATE_EVERY = 1000
VALIDATE_IMAGES = 2


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("config", help="name of a module in train/configs")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help="one folder for each source, the challenge's images/ and labels/, COCO's JSON with images, or for each "
        "image a folder with one mask for each object; may be repeated",
    )
    parser.add_argument("--pool", type=Path, metavar="FOLDER", help="simulated images written by python -m train.pool")
    parser.add_argument(
        "--start", type=Path, metavar="CHECKPOINT", help="begin with these weights instead of random ones"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("checkpoints"),
        metavar="FOLDER",
        help="where checkpoints go (default checkpoints/); training goes on from one it finds there",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to train (default cuda where PyTorch finds a GPU)",
    )
    return parser.parse_args(argv)


def about(config: Config) -> Contract:
    """Return the contract of a config's network, before it has a size regression."""
    return Contract(
        config.name, config.policy, config.mean_diameter, config.mean_diameter, False, config.licence, config.data
    )


def starting_network(config: Config, start: Path | None) -> FlowNetwork | LightNetwork:
    """Return the config's network, random or with the weights of a checkpoint of the same shape."""
    network = LightNetwork() if config.light else FlowNetwork(CHANNEL_POLICIES[config.policy], config.widths)
    if start is None:
        INITIALISATIONS[config.initialisation](network)
        return network
    loaded, _ = load(start)
    if (loaded.channels, loaded.widths) != (network.channels, network.widths):
        raise SettingsError(f"{start}: its network has another shape than the config's; name a checkpoint that fits.")
    return loaded


def fingerprint(config: Config, images: Sequence[Prepared], start: Path | None) -> str:
    """Return a digest of the config, the images and the weights that training begins with."""
    digest = hashlib.sha256(repr(config).encode())
    for image in images:
        digest.update(image.source.encode() + image.image.tobytes() + image.labels.tobytes())
    if start is not None:
        digest.update(start.read_bytes())
    return digest.hexdigest()


def run(args: argparse.Namespace) -> None:
    """Train, fit the size regression and write WORK/NAME.pt, which `python -m export` turns into ONNX."""
    config = load_config(args.config)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device cuda: PyTorch finds no GPU; leave it out, or install PyTorch with CUDA.")
    torch.manual_seed(config.seed)
    training, held_out = split(read_folders(args.data), config)
    if not training or not held_out:
        raise SettingsError(
            f"{args.config}: its held_out and left_out leave {len(training)} images to train on and {len(held_out)} "
            "to validate with; change these patterns of source/name until both have some."
        )
    images = prepare_all(training, args.pool, config.policy)
    network = starting_network(config, args.start)
    where = args.device if args.device != "cpu" else f"{torch.get_num_threads()} threads"
    print(
        f"{len(images)} images to train on, {len(held_out)} held out, {parameters(network):,} parameters, {where}",
        flush=True,
    )
    validation = Validation(held_out, about(config), VALIDATE_IMAGES)
    seconds = fit(
        network,
        batch_maker(images, config),
        config,
        args.work / f"{config.name}.state",
        fingerprint(config, images, args.start),
        validation,
        VALIDATE_EVERY,
        device=args.device,
    )
    path = args.work / f"{config.name}.pt"
    finish(path, network, images, config)
    print(f"{path} written after {seconds / 60:.0f} min of training", flush=True)


def prepare_all(items: list[Item], pool: Path | None, policy: str) -> list[Prepared]:
    """Read and prepare real images and, where there is a pool, the simulated ones."""
    return prepare_items(items, policy) + (prepare_simulated(pool, policy) if pool else [])


def finish(path: Path, network: FlowNetwork | LightNetwork, images: Sequence[Prepared], config: Config) -> None:
    """Fit the size regression and write the checkpoint that `python -m export` reads."""
    facts = {
        "channels": config.policy,
        "mean_diameter": config.mean_diameter,
        "train_diameter": config.mean_diameter,
        "licence": config.licence,
        "data": config.data,
    }
    size = fit_size(network.eval(), images, config) if config.sized else None
    save(path, network.cpu(), about=facts, size=size)


def main(argv: list[str] | None = None) -> int:
    return exit_code(run, parse_args(argv))


def exit_code(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Return 0, or 1 with one sentence on stderr where the work raises one of our errors."""
    try:
        work(args)
    except FlowmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
