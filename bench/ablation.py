"""What each choice is worth on held-out sources: the seed's Tables 3 and 4 in shape, and choices of ours.

    python -m bench.ablation --data ../shared/data [--model models/cyto-small.onnx] [--config wider]
    python -m bench.ablation --data ../shared/data --train --pool POOL [--config quick] [--steps 100]
        [--seeds 3] [--only NAME ...] [--device cuda]

F1 at IoU 0.5 by the challenge's rules, mean over the images of a source, then over the sources that the config holds
out. The first command changes how a finished network is used. The second trains networks from random weights, as the
config says but for one choice each and ``--steps`` steps, and scores them with true diameters; few steps rank what
learns quickly, not what is best in the end. Seeds change weights, crops and augmentation alike; on the CPU a seed gives
the same network again with as many threads (OMP_NUM_THREADS) on the same kind of processor.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bench.record import RESULTS, earlier, folder_digest, named, print_table, write_record
from bench.trainings import TRAININGS, prepared, unchanged
from flowmask.api import load_network
from flowmask.cli import MODEL
from flowmask.images.image import Image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.network.session import Network
from flowmask.options import Settings
from flowmask.pipeline import segment_image
from train.config import Config, load_config, split
from train.data import SIMULATED, Prepared
from train.readers import read_item, read_shared

Labels = npt.NDArray[np.int32]
Held = list[tuple[str, Image, Labels]]
"""Source, image and labels of every image to score."""
Scores = dict[str, float]
"""Mean F1 of each source."""
Results = dict[str, list[Scores]]
"""What each choice reached, for every seed."""
ESTIMATED, NONE, TRUE = "estimated", "none", "true"
TRAINED = "ablation_train"
"""Name of the record of trainings."""


@dataclass(frozen=True)
class Use:
    """A way to use a network."""

    settings: Settings = Settings()
    diameter: str = ESTIMATED
    image: Callable[[Image], Image] = unchanged


USES = {
    "as it ships": Use(),
    "no diameter estimation": Use(diameter=NONE),
    "true diameter": Use(diameter=TRUE),
    "flow threshold 0": Use(Settings(flow_threshold=0.0)),
    "average over mirror images": Use(Settings(augment=True)),
}


def held_images(data: Path, config: Config, most: int) -> Held:
    """Return the held-out images with cells, of each source at most so many; 0: all."""
    held: Held = []
    counts: dict[str, int] = defaultdict(int)
    for item in split(read_shared(data), config)[1]:
        image, truth = read_item(item)
        if truth.any() and (not most or counts[item.source] < most):
            counts[item.source] += 1
            held.append((item.source, image, truth))
    return held


def score(held: Held, network: Network, use: Use) -> Scores:
    """Return the mean F1 of each source."""
    found: dict[str, list[float]] = defaultdict(list)
    for source, image, truth in held:
        diameters = {ESTIMATED: None, NONE: network.contract.mean_diameter, TRUE: median_diameter(truth)}
        settings = replace(use.settings, diameter=diameters[use.diameter])
        found[source].append(f1_challenge(truth, segment_image(use.image(image), network, settings).labels))
    return {source: float(np.mean(each)) for source, each in found.items()}


def train_all(
    args: argparse.Namespace, config: Config, held: Held, results: Results, save: Callable[[Results], object]
) -> None:
    """Add what is missing to the results: every choice with the first seed, then with the next; save after each."""
    training, _ = split(read_shared(args.data), config)

    @cache
    def images(change: Callable[[Image], Image], policy: str, simulated: bool) -> list[Prepared]:
        if simulated:
            return images(change, policy, False) + prepared(read_shared(args.pool), SIMULATED, change, policy)
        return prepared(training, "", change, policy)

    for seed in range(args.seeds):
        for name in args.only or TRAININGS:
            if len(results[name]) > seed:
                continue
            chosen = TRAININGS[name]
            changed = replace(chosen.change(config), steps=args.steps, seed=seed)
            given = images(chosen.image, changed.policy, chosen.simulated)
            network = chosen.train(changed, given, args.device)
            results[name].append(score(held, network, Use(diameter=TRUE, image=chosen.image)))
            print(f"{name}, seed {seed}: {mean(results[name][-1]):.3f}", flush=True)
            save(results)


def mean(scores: Scores) -> float:
    return float(np.mean(list(scores.values())))


def report(results: Results) -> None:
    """Print a row for each choice: the mean over sources, its spread over seeds, its distance from the first row.

    The distance is that of the means over the seeds that both rows have.
    """
    first = next(iter(results.values()))
    sources = list(first[0])
    rows = []
    for name, seeds in results.items():
        means = [mean(scores) for scores in seeds]
        spread = f"{min(means):.3f} to {max(means):.3f}" if len(means) > 1 else ""
        change = float(np.mean([mean(scores) - mean(other) for scores, other in zip(seeds, first, strict=False)]))
        each = [float(np.mean([scores[source] for scores in seeds])) for source in sources]
        rows.append([name, float(np.mean(means)), spread, f"{change:+.3f}", *each])
    print_table(["choice", "F1", "over seeds", "change", *sources], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--config", default="wider", help="whose held-out images are scored, and how --train trains")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--train", action="store_true", help="train networks instead of using --model")
    parser.add_argument("--pool", type=Path, help="simulated images for --train, as python -m train.pool writes them")
    parser.add_argument("--device", default="cpu", help="PyTorch's name of where to train and score what was trained")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=TRAININGS,
        metavar="NAME",
        help="rows to train; what was trained first is compared with",
    )
    parser.add_argument("--images", type=int, default=0, help="of each held-out source; 0: all")
    args = parser.parse_args()
    if args.train and not args.pool:
        parser.error("--train needs --pool: its rows differ in whether they see simulated images")
    config = load_config(args.config)
    held = held_images(args.data, config, args.images)
    about: dict[str, object] = {"config": config.name, "settings": repr(config), "images": len(held)}
    if args.train:
        about |= {"steps": args.steps, "pool": folder_digest(args.pool)}
        about |= {"device": args.device, "threads": torch.get_num_threads()}
        results = defaultdict(list, earlier(TRAINED, about))
        train_all(args, config, held, results, lambda scores: write_record(TRAINED, {**about, "scores": scores}))
        path = RESULTS / f"{TRAINED}.json"
    else:
        network = load_network(args.model)
        print(f"{named(args.model)}, {len(held)} images\n")
        results = {name: [score(held, network, use)] for name, use in USES.items()}
        path = write_record("ablation", {**about, "scores": results, "model": named(args.model)})
    report(results)
    print(path)


if __name__ == "__main__":
    main()
