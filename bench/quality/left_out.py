"""Leave one source out: train a network without each source in turn, and score it on that source.

    python -m bench.quality.left_out --data DATA [--recipe template] [--pool POOL] [--steps 400] [--images 4]
        [--only PATTERN ...] [--device cuda]

This is how recipes are judged. F1 at IoU 0.5 by the challenge's rules with true diameters, mean over images. Networks
start with random weights and are trained by the last stage of the recipe for ``--steps`` steps, on all sources except
one and those that the stage leaves out. Simulated images keep the outlines that were traced from real cells, whatever
their source. Sources of one collection resemble each other, unless a pattern leaves them out together:
``--only '*fluo_nuclei*'``. A stopped run continues from its record.
"""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bench.images import at_most, opened, read_shared
from bench.quality.variations import TRUE, Scores, Use, mean, score
from bench.record import RESULTS, Record, earlier, folder_digest, table, write_record
from flowmask.network.session import Network
from train.config import Fresh, Recipe, Split, Stage
from train.data.prepared import SIMULATED, Prepared, prepare_items
from train.families import find_family
from train.recipes import load_recipe
from train.run import contract_in_training, train_stage
from train.start import starting_network
from train.validate import TorchNetwork


def train(recipe: Recipe, stage: Stage, images: Sequence[Prepared], device: str) -> Network:
    """Return a network trained by the stage from random weights, as the engine's `Network`.

    On the CPU it is reproducible for the same number of threads and kind of processor.
    """
    torch.manual_seed(stage.seed)
    network = starting_network(Fresh(), recipe, Path())
    train_stage(network, images, stage, recipe, device=device)
    return TorchNetwork(network, contract_in_training(recipe, network.multiple))


def row_name(source: str, pattern: str) -> str:
    """Return the name of a source's row, with the pattern by which others were left out with it.

    >>> row_name("lab", "lab"), row_name("lab", "l*")
    ('lab', 'lab, with l*')
    """
    return source if source == pattern else f"{source}, with {pattern}"


def scored(
    args: argparse.Namespace,
    recipe: Recipe,
    stage: Stage,
    groups: Mapping[str, Sequence[str]],
    real: Sequence[Prepared],
    simulated: Sequence[Prepared],
    about: Record,
) -> Scores:
    """Train without the sources of each group in turn, and return their F1; the record is written after each training.

    groups: the sources that match each pattern. real, simulated: the images to train on. about: the settings, as in
    `bench.record.earlier`.
    """
    scores: Scores = earlier("left_out", about)
    for pattern, group in groups.items():
        if {row_name(source, pattern) for source in group} & scores.keys():
            continue
        split = Split((f"{pattern}/*",), stage.split.left_out)
        held_out = at_most(opened(split.divide(read_shared(args.data))[1]), args.images)
        if not held_out:
            print(f"{pattern}: none of its images has cells", flush=True)
            continue
        images = [*(image for image in real if image.source not in group), *simulated]
        found = score(held_out, train(recipe, stage, images, args.device), Use(diameter=TRUE))
        scores |= {row_name(source, pattern): value for source, value in found.items()}
        print(f"{pattern}: {mean(found):.3f}", flush=True)
        write_record("left_out", {**about, "scores": scores})
    return scores


def main() -> None:
    """Train without each source in turn, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--recipe", default="template", help="name or file of the recipe, as for python -m train")
    parser.add_argument("--pool", type=Path, help="simulated images written by python -m train.simulate")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=4, help="images of each source that are scored; 0: all")
    parser.add_argument(
        "--only",
        nargs="*",
        metavar="PATTERN",
        help="sources to leave out, those that match one pattern (*) together; default: each in turn",
    )
    parser.add_argument("--device", default="cpu", help="PyTorch's name of where to train and score")
    args = parser.parse_args()
    recipe = load_recipe(args.recipe)
    last = recipe.stages[-1]
    stage = replace(last, start=Fresh(), steps=args.steps, split=Split((), last.split.left_out))
    items, _ = stage.split.divide(read_shared(args.data))
    sources = sorted({item.source for item in items})
    groups = {pattern: fnmatch.filter(sources, pattern) for pattern in args.only or sources}
    if unknown := [pattern for pattern, group in groups.items() if not group]:
        parser.error(f"{args.data} has no source {', '.join(unknown)}; choose from {', '.join(sources)}")
    field = find_family(recipe.family).field
    real = prepare_items(items, recipe.channels, field, clahe=recipe.clahe)
    drawn = read_shared(args.pool) if args.pool else []
    simulated = prepare_items(drawn, recipe.channels, field, SIMULATED, recipe.clahe)
    about = {
        "recipe": recipe.name,
        "settings": repr((replace(recipe, stages=()), stage)),
        "simulated": len(simulated),
        "pool": folder_digest(args.pool) if args.pool else None,
        "images": args.images,
        "device": args.device,
        "threads": torch.get_num_threads(),
    }
    scores = scored(args, recipe, stage, groups, real, simulated, about)
    print(table(["left out", "F1"], [*scores.items(), ("mean of these", mean(scores))]))
    print(RESULTS / "left_out.json")


if __name__ == "__main__":
    main()
