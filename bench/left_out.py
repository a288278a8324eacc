"""Leave one source out: networks trained without each source in turn, each scored on the source it has not seen.

    python -m bench.left_out --data ../shared/data [--config quick] [--pool POOL] [--steps 400] [--images 4]
        [--choice NAME] [--only PATTERN ...] [--device cuda]

F1 at IoU 0.5 by the challenge's rules with true diameters, mean over images. Networks begin with random weights and
are trained as the config says, or a choice of `bench.ablation`, for ``--steps`` steps on all sources but one and those
that the config leaves out. Simulated images keep the outlines that were traced from real cells, whatever their source,
and sources of one collection stand for each other, unless a pattern leaves them out together: ``--only
'*fluo_nuclei*'``. A stopped run goes on from its record.
"""

from __future__ import annotations

import argparse
import fnmatch
from dataclasses import replace
from pathlib import Path

import torch

from bench.ablation import TRUE, Scores, Use, held_images, mean, score
from bench.record import RESULTS, earlier, folder_digest, print_table, write_record
from bench.trainings import TRAININGS, prepared
from train.config import load_config, split
from train.data import SIMULATED
from train.readers import read_shared


def row_of(source: str, pattern: str) -> str:
    """Return the name of a source's row, with the pattern by which others were left out with it."""
    return source if source == pattern else f"{source}, with {pattern}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--config", default="quick")
    parser.add_argument("--pool", type=Path, help="simulated images, as python -m train.pool writes them")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=4, help="of each source; 0: all")
    parser.add_argument("--choice", choices=TRAININGS, metavar="NAME", default=next(iter(TRAININGS)))
    parser.add_argument(
        "--only",
        nargs="*",
        metavar="PATTERN",
        help="sources to leave out, those of a pattern (*) together; by default each in turn",
    )
    parser.add_argument("--device", default="cpu", help="PyTorch's name of where to train and score")
    args = parser.parse_args()
    chosen = TRAININGS[args.choice]
    base = load_config(args.config)
    config = replace(chosen.change(base), steps=args.steps, held_out=(), left_out=base.left_out)
    items, _ = split(read_shared(args.data), config)
    sources = sorted({item.source for item in items})
    groups = {pattern: fnmatch.filter(sources, pattern) for pattern in args.only or sources}
    if unknown := [pattern for pattern, group in groups.items() if not group]:
        parser.error(f"{args.data} has no source {', '.join(unknown)}; choose from {', '.join(sources)}")
    real = prepared(items, "", chosen.image, config.policy)
    simulated = []
    if args.pool and chosen.simulated:
        simulated = prepared(read_shared(args.pool), SIMULATED, chosen.image, config.policy)
    about = {
        "config": config.name,
        "choice": args.choice,
        "settings": repr(config),
        "simulated": len(simulated),
        "pool": folder_digest(args.pool) if simulated else None,
        "images": args.images,
        "device": args.device,
        "threads": torch.get_num_threads(),
    }
    scores: Scores = earlier("left_out", about)
    for pattern, group in groups.items():
        if {row_of(source, pattern) for source in group} & scores.keys():
            continue
        held = held_images(args.data, replace(config, held_out=(f"{pattern}/*",)), args.images)
        if not held:
            print(f"{pattern}: none of its images has cells", flush=True)
            continue
        images = [image for image in real if image.source not in group] + simulated
        found = score(held, chosen.train(config, images, args.device), Use(diameter=TRUE, image=chosen.image))
        scores |= {row_of(source, pattern): value for source, value in found.items()}
        print(f"{pattern}: {mean(found):.3f}", flush=True)
        write_record("left_out", {**about, "scores": scores})
    print_table(["left out", "F1"], [*scores.items(), ("mean of these", mean(scores))])
    print(RESULTS / "left_out.json")


if __name__ == "__main__":
    main()
