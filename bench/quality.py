"""F1 for each held-out source, with estimated and with true diameters.

python -m bench.quality --data ../shared/data [--model models/flowmask.onnx] [--config half_rgb]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from bench.record import print_table, write_record
from infer.api import load_network
from infer.cli import MODEL
from infer.image import open_image
from infer.metrics import f1_challenge
from infer.pipeline import segment_image
from infer.settings import Settings
from train.config import load_config, split
from train.data import Item, median_diameter, read_labels, read_shared

COLUMNS = ("f1_estimated", "f1_true", "diameter_error")


def score(item: Item, network: object) -> dict[str, float] | None:
    """Return the scores of one image by the challenge's rules; None for an image without cells."""
    labels, image = read_labels(item.labels), open_image(item.image)
    diameter = median_diameter(labels)
    if not diameter:
        return None
    estimated = segment_image(image, network, Settings())
    true = segment_image(image, network, Settings(diameter=diameter))
    return {
        "f1_estimated": f1_challenge(labels, estimated.labels),
        "f1_true": f1_challenge(labels, true.labels),
        "diameter_error": abs(np.log(estimated.diameter / diameter)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each source")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--config", default="half_rgb", help="the config whose held-out images are scored")
    args = parser.parse_args()
    network = load_network(args.model)
    _, held_out = split(read_shared(args.data), load_config(args.config))
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    for item in held_out:
        if (one := score(item, network)) is not None:
            scores[item.source].append(one)
    means = {source: {c: float(np.mean([s[c] for s in few])) for c in COLUMNS} for source, few in scores.items()}
    overall = {c: float(np.mean([mean[c] for mean in means.values()])) for c in COLUMNS}
    rows = [[source, len(scores[source]), *(mean[c] for c in COLUMNS)] for source, mean in means.items()]
    rows.append(["mean over sources", sum(map(len, scores.values())), *(overall[c] for c in COLUMNS)])
    print_table(["source", "images", "F1, estimated diameter", "F1, true diameter", "|log diameter error|"], rows)
    print(write_record("quality", {"model": args.model.name, "sources": means, "mean": overall}))


if __name__ == "__main__":
    main()
