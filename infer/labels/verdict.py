"""A verdict on the labels of one image, from what the engine knows about them: good, check or poor, with reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..tiles.plan import ImagePlan
from .cells import CellTable

GOOD, CHECK, POOR = "good", "check", "poor"
"""The levels of a verdict."""


@dataclass(frozen=True)
class Verdict:
    """Whether the labels of an image are probably right."""

    level: str
    """`GOOD`, `CHECK` or `POOR`."""
    reasons: tuple[str, ...] = ()
    """Why the level is not good, in plain words; empty if it is good."""


@dataclass(frozen=True)
class Limits:
    """The limits of the evidence, beyond which it is a reason to check the labels.

    They were chosen for the default network with `python -m bench.quality.verdicts`, which says how to do it again.
    """

    flow_error: float = 0.22
    """Largest median flow error."""
    probability: float = 0.84
    """Smallest median probability."""
    flow_length: float = 0.6
    """Smallest flow length at the best diameter."""
    rejected: float = 0.6
    """Largest share of candidates rejected because of their flow error."""
    border: float = 0.9
    """Largest share of cells that touch the border."""
    largest_ratio: float = 2.6
    """Largest median diameter of the cells, relative to the diameter of the plan."""
    smallest_ratio: float = 0.65
    """Smallest median diameter of the cells, relative to the diameter of the plan."""
    poor: int = 3
    """Number of reasons from which on the verdict is poor."""


LIMITS = Limits()


@dataclass(frozen=True)
class Evidence:
    """What the verdict on one image depends on. NaN stands for a figure that the image or the family does not have."""

    cells: int
    """Number of cells."""
    flow_error: float
    """Median flow error of the cells."""
    probability: float
    """Median probability of the cells."""
    rejected: float
    """Share of the candidates of sufficient size that were rejected because of their flow error."""
    border: float
    """Share of the cells that touch the border of the image."""
    size_ratio: float
    """Median diameter of the cells, divided by the diameter that determined the scale."""
    size_spread: float
    """Standard deviation of the logarithm of the cells' diameters."""
    flow_length: float
    """Longest mean flow of the diameters that were tried; 1 is ideal."""
    disagreement: float
    """Largest absolute logarithm of the ratio of two estimates of the diameter: regression, measured and final."""
    at_end: bool
    """Whether the diameter is at an end of the range in which it was searched."""
    contrast: float
    """Largest span of the network's inputs between their low and their high percentile, in values of the image."""
    covered: float
    """Share of the pixels of the image that belong to cells."""


def evidence(cells: CellTable, plan: ImagePlan) -> Evidence:
    """Return the evidence about an image from the complete table of its cells and its plan."""
    diameters = 2 * np.sqrt(cells.areas / math.pi)
    boxes, shape = cells.boxes, plan.shape
    at_border = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == shape[0]) | (boxes[:, 3] == shape[1])
    large = cells.candidates - cells.too_small
    estimate = plan.estimate
    found = [value for value in (estimate.first, estimate.measured, estimate.diameter) if value] if estimate else []
    logs = np.log(found)
    return Evidence(
        cells=len(cells),
        flow_error=_median(cells.flow_errors),
        probability=_median(cells.probabilities),
        rejected=cells.wrong_flow / large if large else math.nan,
        border=float(at_border.mean()) if len(cells) else math.nan,
        size_ratio=_median(diameters) / plan.diameter,
        size_spread=float(np.log(diameters).std()) if len(cells) else math.nan,
        flow_length=max(estimate.flow_lengths) if estimate and estimate.flow_lengths else math.nan,
        disagreement=float(np.ptp(logs)) if len(logs) > 1 else math.nan,
        at_end=bool(estimate and estimate.at_end),
        contrast=float(plan.ranges[:, 1].max(initial=0.0)),
        covered=float(cells.areas.sum() / (shape[0] * shape[1])),
    )


def judge(cells: CellTable, plan: ImagePlan) -> Verdict:
    """Return the verdict on an image from the complete table of its cells and its plan."""
    return judge_evidence(evidence(cells, plan))


def judge_evidence(found: Evidence) -> Verdict:
    """Return the verdict: check with one reason, poor with `Limits.poor` or more; without cells always check or poor.

    A figure that is NaN gives no reason. A diameter at the end of its range is a reason only beside another one.
    """
    share = "{:.0f} %".format
    tests = (
        (found.cells == 0, "no cells were found"),
        (found.contrast == 0, "the image has no contrast"),
        (found.flow_error > LIMITS.flow_error, f"the flow error is high (median {found.flow_error:.2f})"),
        (found.probability < LIMITS.probability, f"the cell probability is low (median {found.probability:.2f})"),
        (found.flow_length < LIMITS.flow_length, "no diameter that was tried fits the cells well"),
        (
            found.rejected > LIMITS.rejected,
            f"{share(100 * found.rejected)} of the candidates for cells were rejected because of their flow error",
        ),
        (found.border > LIMITS.border, f"{share(100 * found.border)} of the cells touch the border of the image"),
        (found.size_ratio > LIMITS.largest_ratio, "the cells are much larger than the diameter"),
        (found.size_ratio < LIMITS.smallest_ratio, "the cells are much smaller than the diameter"),
    )
    reasons = tuple(reason for holds, reason in tests if holds)
    if reasons and found.at_end:  # alone it says little: it is too rare in the calibration to be a reason
        reasons += ("the diameter is at an end of the range that was searched, so give it",)
    return Verdict((GOOD if not reasons else CHECK if len(reasons) < LIMITS.poor else POOR), reasons)


def _median(values: np.ndarray[tuple[int], np.dtype[np.floating]]) -> float:
    """Return the median; NaN if there are no values."""
    return float(np.median(values)) if len(values) else math.nan
