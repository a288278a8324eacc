"""The label images of one file: one for each frame, or several for each frame if the options ask for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..options import Segmentation


@dataclass(frozen=True)
class Part:
    """One label image of a file."""

    frame: int
    """The frame that is labelled, counted from 0."""
    frame_suffix: str
    """The suffix of the frame; empty for a file of one image."""
    suffix: str
    """The suffix of the label file: that of the frame, and what tells the label images of one frame apart."""
    options: Segmentation
    """Options that ask for this label image alone."""
    several: bool
    """Whether the frame has more than one label image."""
    last: bool
    """Whether no later label image needs the maps of this frame."""

    @property
    def name(self) -> str | None:
        """What the record calls it (`flowmask.runs.record.Outcome.frame`)."""
        return self.suffix.strip("_") or None


def parts_of(frames: Sequence[str], label_sets: Mapping[str, Segmentation]) -> list[Part]:
    """Return the label images of a file, frame by frame.

    frames: the suffix of each frame. label_sets: as `flowmask.families.Family.label_sets` returns them.

    >>> options = Segmentation()
    >>> [part.suffix for part in parts_of(["_t001", "_t002"], {"": options, "_nuclear": options})]
    ['_t001', '_t001_nuclear', '_t002', '_t002_nuclear']
    """
    last = [*label_sets][-1]
    return [
        Part(number, frame, frame + suffix, options, len(label_sets) > 1, suffix == last)
        for number, frame in enumerate(frames)
        for suffix, options in label_sets.items()
    ]
