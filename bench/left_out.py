"""Leave one source out: networks trained without each source in turn, each scored on the source it has not seen.

    python -m bench.left_out --data ../shared/data [--config quick] [--pool POOL] [--steps 400] [--images 4]
        [--choice NAME] [--only SOURCE ...] [--device cuda]

F1 at IoU 0.5 by the challenge's rules with true diameters, mean over images. Networks begin with random weights and
are trained as the config says, or a choice of `bench.ablation`, for ``--steps`` steps on all sources but one and those
that the config leaves out. Simulated images keep the outlines that were traced from real cells, whatever their source,
and sources of one collection (dsb2018_*) stand for each other. A stopped run goes on from its record.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from bench.ablation import TRUE, Scores, Use, held_images, mean, score
from bench.record import RESULTS, earlier, folder_digest, print_table, write_record
from bench.trainings import TRAININGS, prepared
from train.config import load_config, split
from train.data import SIMULATED
from train.readers import read_shared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--config", default="quick")
    parser.add_argument("--pool", type=Path, help="simulated images, as python -m train.pool writes them")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=4, help="of each source; 0: all")
    parser.add_argument("--choice", choices=TRAININGS, metavar="NAME", default=next(iter(TRAININGS)))
    parser.add_argument("--only", nargs="*", metavar="SOURCE", help="sources to leave out; by default each in turn")
    parser.add_argument("--device", default="cpu", help="PyTorch's name of where to train and score")
    args = parser.parse_args()
    chosen = TRAININGS[args.choice]
    base = load_config(args.config)
    config = replace(chosen.change(base), steps=args.steps, held_out=(), left_out=base.left_out)
    items, _ = split(read_shared(args.data), config)
    sources = sorted({item.source for item in items})
    if unknown := set(args.only or ()) - set(sources):
        parser.error(f"{args.data} has no source {', '.join(sorted(unknown))}; choose from {', '.join(sources)}")
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
    for source in args.only or sources:
        if source in scores:
            continue
        held = held_images(args.data, replace(config, held_out=(f"{source}/*",)), args.images)
        if not held:
            print(f"{source}: none of its images has cells", flush=True)
            continue
        images = [image for image in real if image.source != source] + simulated
        scores |= score(held, chosen.train(config, images, args.device), Use(diameter=TRUE, image=chosen.image))
        print(f"{source}: {scores[source]:.3f}", flush=True)
        write_record("left_out", {**about, "scores": scores})
    print_table(["left out", "F1"], [*scores.items(), ("mean over sources", mean(scores))])
    print(RESULTS / "left_out.json")


if __name__ == "__main__":
    main()
