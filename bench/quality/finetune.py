"""Fine-tune the default network on a few images of a held-out source, as `flowmask train` does.

    python -m bench.quality.finetune --data DATA [--source usiigaci_phase_T98G] [--images 10] [--steps N]
        [--other bbbc039_fluo_nuclei_u2os] [--others 8]

No network that ships was trained on these images. Trained on the first ``--images`` of the source; scored before and
after on the rest of it, and on images of another source, which show whether something was forgotten. F1 at IoU 0.5 by
the challenge's rules, with estimated diameters, and with one diameter given: the usual one of the images that were
trained on, and of the other source its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.images import read_shared
from bench.record import table as text_table
from bench.record import write_record
from flowmask.network.registry import find_network
from retrain.command import Request, train
from retrain.images import Labelled
from retrain.scores import HEADER, changes_of, mean, scores_of, table, usual_diameter
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
    """Train, score before and after, print the tables and write the record."""
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
        diameter = usual_diameter(other)
        before, after = (scores_of(path, other, "scoring others", diameter) for path in (find_network("small"), output))
        others = changes_of(other, before, after)
    print(table(others))
    groups = {args.source: changes, args.other: others}
    means = {name: mean(group) for name, group in groups.items()}
    rows = [(k, len(groups[k]), m.before, m.after, m.before_given, m.after_given) for k, m in means.items()]
    print(text_table(["source", "images", *HEADER], rows))
    print(f"{minutes:.1f} min, {cpu_minutes:.1f} min of processor time, {torch.get_num_threads()} threads")
    print(f"{args.images} images, {args.steps} steps")
    figures = {"images": args.images, "steps": args.steps, "minutes": minutes, "cpu_minutes": cpu_minutes}
    figures |= {"threads": torch.get_num_threads()}
    scores = {name: {"images": len(groups[name]), **asdict(m)} for name, m in means.items()}
    print(write_record(f"finetune_{args.source}", {**figures, "scores": scores}))


if __name__ == "__main__":
    main()
