"""A verdict on the labels of one image, from what the engine knows about them: good, check or poor, with reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..tiles.plan import ImagePlan
from .cell_table import CellTable

GOOD, CHECK, POOR = "good", "check", "poor"
"""The levels of a verdict."""
FIELD = 0.4
"""A cell that covers a larger share of the image may be its background, as where the corners are darker."""
DISC = 0.1
"""A round cell that covers a larger share of the image may be the field of view of an eyepiece or a round aperture."""
LEAST_ACROSS = 100
"""Such a field is at least this many px across; smaller images often show one round cell."""
ROUND = (0.97, 0.02)
"""A field is so round: least ratio of the sides of its bounding box, most difference of the covered share from pi/4."""


@dataclass(frozen=True)
class Verdict:
    """Whether the labels of an image are probably right."""

    level: str
    """`GOOD`, `CHECK` or `POOR`."""
    reasons: tuple[str, ...] = ()
    """Why the level is not good, in plain words; empty if it is good."""


@dataclass(frozen=True)
class Evidence:
    """The figures that the verdict depends on. A figure that the image or the family does not have is NaN."""

    cells: int
    """Number of cells."""
    flow_error: float
    """Median flow error of the cells."""
    probability: float
    """Median probability of the cells."""
    flow_length: float
    """Mean flow length at the best of the diameters that were tried; 1 is ideal."""
    rejected: float
    """Share of the candidates of sufficient size that were rejected because of their flow error."""
    border: float
    """Share of the cells that touch the border of the image."""
    size_ratio: float
    """Median diameter of the cells, divided by the diameter of the plan."""
    disagreement: float
    """Logarithm of the ratio of the largest to the smallest estimate of the diameter: first, measured, and final."""
    at_end: bool
    """Whether the diameter is at an end of the range in which it was searched."""
    contrast: float
    """Largest span of the network's inputs between their low and their high percentile, in values of the image."""
    largest: float = math.nan
    """Share of the image that the largest cell covers."""
    disc: float = math.nan
    """The same if that cell is as round and as large as a field of view, otherwise 0."""
    few_levels: float | None = None
    """Number of grey levels if they are so few that the cells may not be real, otherwise None."""


@dataclass(frozen=True)
class Limits:
    """The limits of the figures, beyond which a figure is a reason to check the labels.

    Chosen for the default network with `python -m bench.quality.verdicts`, which prints this record. Infinity, and 0
    for a lower limit, mean that the figure is not used.
    """

    flow_error: float = 0.2
    """Largest `Evidence.flow_error`."""
    probability: float = 0.81
    """Smallest `Evidence.probability`."""
    flow_length: float = 0.63
    """Smallest `Evidence.flow_length`."""
    rejected: float = 0.78
    """Largest `Evidence.rejected`."""
    border: float = 0.9
    """Largest `Evidence.border`."""
    largest_ratio: float = math.inf
    """Largest `Evidence.size_ratio`."""
    smallest_ratio: float = 0.0
    """Smallest `Evidence.size_ratio`."""
    disagreement: float = math.inf
    """Largest `Evidence.disagreement`."""
    poor: int = 3
    """The verdict is poor from this number of reasons on."""


LIMITS = Limits()


@dataclass(frozen=True)
class Comparison:
    """A comparison of one figure with one limit."""

    limit: str
    """Field of `Limits`."""
    figure: str
    """Field of `Evidence`."""
    upper: bool
    """Whether the limit is the largest value that is good; otherwise it is the smallest."""
    reason: str
    """The sentence if the figure is beyond the limit, with the figure as its argument."""

    def fails(self, found: Evidence, limits: Limits) -> bool:
        """Return whether the figure is beyond the limit; NaN never is."""
        figure, limit = getattr(found, self.figure), getattr(limits, self.limit)
        return bool(figure > limit if self.upper else figure < limit)


COMPARISONS = (
    Comparison("flow_error", "flow_error", True, "the flow error of the cells is high (median {:.2f})"),
    Comparison("probability", "probability", False, "the cell probability is low (median {:.2f})"),
    Comparison("flow_length", "flow_length", False, "no diameter that was tried fits the cells well"),
    Comparison(
        "rejected", "rejected", True, "{:.0%} of the candidates for cells were rejected because of their flow error"
    ),
    Comparison("border", "border", True, "{:.0%} of the cells touch the border of the image"),
    Comparison("largest_ratio", "size_ratio", True, "the cells are larger than the diameter used ({:.1f} times)"),
    Comparison("smallest_ratio", "size_ratio", False, "the cells are smaller than the diameter used ({:.1f} of it)"),
    Comparison("disagreement", "disagreement", True, "the estimates of the diameter differ"),
)


def evidence(cells: CellTable, plan: ImagePlan) -> Evidence:
    """Return the evidence about an image from the complete table of its cells and its plan.

    >>> from types import SimpleNamespace
    >>> from flowmask.labels.cell_table import CellTableBuilder
    >>> plan = SimpleNamespace(shape=(50, 60), estimate=None, diameter=30.0, ranges=np.eye(2), few_levels=9)
    >>> found = evidence(CellTableBuilder().table(), plan)
    >>> found.cells, found.contrast
    (0, 1.0)
    """
    boxes, shape = cells.bbox, plan.shape
    at_border = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == shape[0]) | (boxes[:, 3] == shape[1])
    large = cells.candidates - cells.too_small
    estimate = plan.estimate
    diameters = [value for value in (estimate.first, estimate.measured, estimate.diameter) if value] if estimate else []
    largest = float(cells.area.max(initial=0)) / math.prod(shape)
    return Evidence(
        cells=len(cells),
        flow_error=_median(cells.flow_error),
        probability=_median(cells.probability),
        flow_length=estimate.flow_length if estimate else math.nan,
        rejected=cells.wrong_flow / large if large else math.nan,
        border=float(at_border.mean()) if len(cells) else math.nan,
        size_ratio=_median(2 * np.sqrt(cells.area / math.pi)) / plan.diameter,
        disagreement=math.log(max(diameters) / min(diameters)) if diameters else math.nan,
        at_end=estimate is not None and estimate.at_end,
        contrast=float(plan.ranges[:, 1].max(initial=0.0)),
        largest=largest,
        disc=largest if _largest_is_disc(cells) else 0.0,
        few_levels=plan.few_levels,
    )


def judge(cells: CellTable, plan: ImagePlan) -> Verdict:
    """Return the verdict on an image from the complete table of its cells and its plan.

    >>> from types import SimpleNamespace
    >>> from flowmask.labels.cell_table import CellTableBuilder
    >>> plan = SimpleNamespace(shape=(50, 60), estimate=None, diameter=30.0, ranges=np.eye(2), few_levels=9)
    >>> judge(CellTableBuilder().table(), plan)
    Verdict(level='check', reasons=('no cells were found',))
    """
    return judge_evidence(evidence(cells, plan))


def judge_evidence(found: Evidence, limits: Limits = LIMITS) -> Verdict:
    """Return the verdict: check with one reason, poor with `Limits.poor` or more.

    An image without cells is never good. A diameter at an end of its range is a reason only beside another one.

    >>> fine = Evidence(9, 0.05, 0.95, 0.9, 0.0, 0.2, 1.0, 0.1, False, 90.0)
    >>> judge_evidence(fine, Limits(flow_error=0.04))
    Verdict(level='check', reasons=('the flow error of the cells is high (median 0.05)',))
    """
    reasons = ["no cells were found"] if found.cells == 0 else []
    if found.contrast == 0:
        reasons.append("the image has no contrast")
    if found.cells:
        failed = [each for each in COMPARISONS if each.fails(found, limits)]
        reasons += [each.reason.format(getattr(found, each.figure)) for each in failed]
        if found.few_levels is not None:
            reasons.append(f"the image has only {found.few_levels:.0f} grey levels")
    if found.largest > FIELD:
        reasons.append(f"one cell covers {found.largest:.0%} of the image, so it may be the background")
    elif found.disc > DISC:
        reasons.append(f"one round cell covers {found.disc:.0%} of the image, so it may be the field of view")
    if reasons and found.at_end:
        reasons.append("the diameter is at an end of the range that was searched, so give it if you know it")
    return Verdict(GOOD if not reasons else CHECK if len(reasons) < limits.poor else POOR, tuple(reasons))


def _largest_is_disc(cells: CellTable) -> bool:
    """Return whether the cell of the largest area is as round and as large as a field of view."""
    if not len(cells):
        return False
    top, left, bottom, right = cells.bbox[cells.area.argmax()].tolist()
    sides: list[int] = sorted((bottom - top, right - left))
    covered = float(cells.area.max()) / math.prod(sides)
    ratio, difference = ROUND
    return sides[0] >= max(LEAST_ACROSS, ratio * sides[1]) and abs(covered - math.pi / 4) <= difference


def _median(values: npt.NDArray[np.floating]) -> float:
    """Return the median; NaN if there are no values, or one of them is NaN.

    `np.median` gives the same, but imports `numpy.ma`, which takes longer than everything else a verdict needs.
    """
    if not len(values) or np.isnan(values).any():
        return math.nan
    middle = np.sort(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
    return float(middle.mean())
