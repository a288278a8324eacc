"""The card of a fine-tuned network: a text file beside it that says how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowmask.images.file_type import digest
from flowmask.labels.labels import median_diameter
from flowmask.version import __version__
from retrain.images import Labelled
from retrain.scores import Change, table
from retrain.tune import NEW_SHARE, OLD_SHARE, STAGE
from train.config import Stage


@dataclass(frozen=True)
class Training:
    """What was done."""

    start: Path
    images: Sequence[Labelled]
    """The user's images that were trained on."""
    diameter: float
    """Usual diameter of their cells in px."""
    simulated: int
    """Number of simulated images."""
    steps: int
    minutes: float
    licence: str
    """Licence of the file."""
    changes: Sequence[Change]


def card(network: Path, training: Training) -> str:
    """Return the text of the card."""
    lines = "\n".join(
        f"  {one.item.image}: {one.labels.max()} cells, median diameter {median_diameter(one.labels):.0f} px"
        for one in training.images
    )
    return f"""{network.name}: a network for Flowmask {__version__}
sha256 {digest(network)}

Start: {training.start.name} (sha256 {digest(training.start)})

Trained on {len(training.images)} images:
{lines}
and on {training.simulated} simulated images of other kinds of cells, so that these are not forgotten.

{training.steps} steps of {STAGE.batch} crops of {STAGE.augmentation.crop} px, {NEW_SHARE:.0%} of them from the images \
above; {_optimiser(STAGE)}.
{training.minutes:.0f} minutes. {1 - OLD_SHARE:.0%} of the change of the weights was kept.

Scores on images that were not trained on (F1 at IoU 0.5, rules of the NeurIPS 2022 challenge), with estimated diameters
and with the diameter given (--diameter {training.diameter:.0f}, that of the images above):
{table(training.changes)}

Licence of the file: {training.licence}
The weights come from the network at the start and from your images: before you share the file, check that the licence
of the images allows it.
"""


def _optimiser(stage: Stage) -> str:
    return f"AdamW, rate {stage.rate:g}, weight decay {stage.decay:g}, seed {stage.seed}"
