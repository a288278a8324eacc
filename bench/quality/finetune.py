"""Fine-tune the default network on a few images of a held-out source, as `flowmask train` does.

    python -m bench.quality.finetune --data DATA [--source usiigaci_phase_T98G] [--images 10] [--steps N]
        [--other bbbc039_fluo_nuclei_u2os] [--others 8]

No network that ships was trained on these images. Trained on the first ``--images`` of the source; scored before and
after on the rest of it, and on images of another source, which show whether something was forgotten. F1 at IoU 0.5 by
the challenge's rules, estimated diameters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.images import read_shared
from bench.record import print_table, write_record
from flowmask.network.registry import find_network
from retrain.command import Request, train
from retrain.images import Labelled
from retrain.scores import Change, mean, scores_of, table
from retrain.tune import STEPS
from train.data.readers import Item, read_item
from train.recipes.held_out import HELD_OUT


def linked(items: Sequence[Item], folder: Path) -> Path:
    """Fill a folder with links to images and their label files, as a user would have them; return it."""
    folder.mkdir()
    for item in items:
        assert isinstance(item.labels, Path)
        for path in (item.image, item.labels):
            (folder / path.name).symlink_to(path.resolve())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--source", default="usiigaci_phase_T98G", help="held-out source to train on")
    parser.add_argument("--images", type=int, default=10, help="images to train on (default 10)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--other", default="bbbc039_fluo_nuclei_u2os", help="held-out source to score as well")
    parser.add_argument("--others", type=int, default=8, help="images of the other source (default 8)")
    args = parser.parse_args()
    held_out = HELD_OUT.divide(read_shared(args.data))[1]
    own = [item for item in held_out if item.source == args.source]
    if len(own) <= args.images:
        parser.error(f"{args.source} has {len(own)} held-out images; give --images a smaller number")
    other = [Labelled(item, *read_item(item)) for item in held_out if item.source == args.other][: args.others]
    with TemporaryDirectory() as folder:
        output = Path(folder, "tuned.onnx")
        began, busy = time.monotonic(), time.process_time()
        changes = train(
            Request(
                folders=[linked(own[: args.images], Path(folder, "train"))],
                output=output,
                steps=args.steps,
                test=linked(own[args.images :], Path(folder, "test")),
            )
        )
        minutes, cpu_minutes = (time.monotonic() - began) / 60, (time.process_time() - busy) / 60
        before, after = (scores_of(path, other, "scoring others") for path in (find_network("small"), output))
        others = [Change(one.item.image.name, *pair) for one, *pair in zip(other, before, after, strict=True)]
    print(table(others))
    rows = [(name, len(group), *mean(group)) for name, group in ((args.source, changes), (args.other, others))]
    print_table(["source", "images", "F1 before", "F1 after"], rows)
    print(f"{minutes:.1f} min, {cpu_minutes:.1f} min of processor time, {torch.get_num_threads()} threads")
    print(f"{args.images} images, {args.steps} steps")
    figures = {"images": args.images, "steps": args.steps, "minutes": minutes, "cpu_minutes": cpu_minutes}
    figures |= {"threads": torch.get_num_threads()}
    scores = {name: {"images": count, "before": old, "after": new} for name, count, old, new in rows}
    print(write_record(f"finetune_{args.source}", {**figures, "scores": scores}))


if __name__ == "__main__":
    main()
