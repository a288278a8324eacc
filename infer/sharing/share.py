"""What another process must know to help with an image, and what it does then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..images.image import Image
from ..labels.provenance import Origin
from ..network.session import Network
from ..tiles.plan import ImagePlan
from .bands import Bands, compute, kept_rows
from .labels import LabelPieces, compute_labels
from .pieces import DONE, POLL


@dataclass(frozen=True)
class LabelShare:
    """The labels that other processes may make."""

    origin: Origin
    """Everything that decides them (`flowmask.labels.provenance.labels_origin`)."""
    first: int
    """The first piece."""


@dataclass(frozen=True)
class Share:
    """What another process must know to help with an image."""

    folder: Path
    """That of the bands."""
    plan: ImagePlan
    origin: Origin
    """Everything that decides the maps (`flowmask.labels.provenance.maps_origin`)."""
    first: int
    """The first band that is needed."""
    labels: LabelShare | None
    """None if the process of the image makes all labels."""


def help_with(share: Share, image: Image, network: Network, plan: ImagePlan, stopped: Callable[[], bool]) -> None:
    """Compute bands of an image until none is free; then, once all are there, label pieces until none is free.

    plan: that of the share with the batch and the threads of this process. Ends when ``stopped`` returns True. Raises
    the errors of `flowmask.pipeline.run_tiles` and OutputError.
    """
    bands = Bands(share.folder, share.origin, plan, make=False)
    compute(bands, image, network, share.first, stopped)
    if share.labels is None:
        return
    while not stopped() and set(bands.states(share.first)) - {DONE}:
        time.sleep(POLL)
        compute(bands, image, network, share.first, stopped)
    pieces = LabelPieces(share.folder, share.labels.origin, plan, make=False)
    compute_labels(pieces, partial(kept_rows, bands), share.labels.first, stopped)
