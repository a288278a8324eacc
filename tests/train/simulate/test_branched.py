"""Cells with processes: their shapes, thin parts that are seen, and large cells alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from train.simulate import branched, branching, fields, simulate
from train.simulate.branching import Plan

pytestmark = pytest.mark.slow

RAMIFIED, AMOEBOID, LAMELLAR = 0, 4, 5


def drawn(style: int, diameter: float, count: int = 12) -> list[np.ndarray]:
    """Masks of `count` cells of one shape."""
    return [branching.cell(np.random.default_rng(seed), style, diameter).member > 0 for seed in range(count)]


@pytest.mark.parametrize("style", range(branching.STYLES))
@pytest.mark.parametrize("diameter", [16, 60, 200])
def test_a_cell_is_one_piece_and_as_large_as_asked(style: int, diameter: float) -> None:
    for mask in drawn(style, diameter):
        pieces, count = ndimage.label(mask)
        largest = np.bincount(pieces.ravel())[1:].max()
        assert count == 1 or largest > 0.94 * mask.sum()
        assert mask.sum() == pytest.approx(np.pi / 4 * diameter**2, rel=0.2 if diameter < 30 else 0.05)


def test_from_ramified_to_lamellar_to_round_cells_fill_more_of_the_circle_about_them() -> None:
    filled = []
    for style in (RAMIFIED, LAMELLAR, AMOEBOID):
        areas = [mask.sum() / np.hypot(*mask.shape) ** 2 for mask in drawn(style, 60)]
        filled.append(np.median(areas))
    assert filled[0] < 0.7 * filled[1]
    assert filled[1] < 0.7 * filled[2]


def test_a_thin_line_is_painted_two_px_wide_and_a_wide_one_as_wide_as_planned() -> None:
    line = np.stack([np.linspace(0, 1, 12), np.zeros(12)], 1)
    for half, wanted in ((0.001, 2), (0.1, 10)):
        mask = branching.painted(Plan([], [(line, np.full(12, half))]).outlines(50)).astype(bool)
        assert np.median(mask.sum(0)[mask.any(0)]) == pytest.approx(wanted, abs=1)


def test_thin_processes_are_brighter_than_the_ground_beside_them() -> None:
    contrast = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = branched.cells(rng, (200, 200), 40, 0.3)
        nuclei = np.zeros_like(labels)
        dye = branched.dye(rng, labels, nuclei, 40)
        thin = (labels > 0) & (fields.depth(labels) < 3)
        thin &= ~ndimage.binary_opening(labels > 0, iterations=4)
        if thin.any():
            contrast.append(np.percentile(dye[thin], 5) / np.percentile(dye[labels > 0], 95))
        assert not dye[labels == 0].any()
    assert len(contrast) >= 4
    assert min(contrast) > 0.04


def test_large_cells_alone_measure_a_fifth_to_three_fifths_of_the_side() -> None:
    counts, sizes = [], []
    for seed in range(40):
        labels = simulate("one_cell", (200, 260), seed).labels
        counts.append(labels.max())
        sizes += list(np.sqrt(4 / np.pi * np.bincount(labels.ravel())[1:]) / 200)
    assert set(counts) == {1, 2, 3}
    assert 20 <= counts.count(1) <= 36
    assert 0.15 < np.percentile(sizes, 10) < 0.25
    assert 0.4 < np.percentile(sizes, 95) < 0.7


def test_one_cell_has_the_diameter_asked_for() -> None:
    areas = [np.bincount(simulate("one_cell", (256, 256), seed, 60).labels.ravel())[1:] for seed in range(12)]
    assert np.median(np.sqrt(4 / np.pi * np.concatenate(areas))) == pytest.approx(60, rel=0.15)
