"""Verdicts: each figure beyond its limit is a reason to check, several make an image poor."""

from dataclasses import fields, replace
from math import nan

import numpy as np
import pytest

import flowmask
from flowmask.labels import verdict
from flowmask.labels.cell_table import CellTable, CellTableBuilder
from flowmask.labels.verdict import CHECK, COMPARISONS, GOOD, LIMITS, POOR, Evidence, Limits, evidence, judge_evidence
from flowmask.options import Segmentation
from flowmask.tiles.plan import DiameterEstimate
from tests.conftest import needs_network
from tests.reference.plans import FLOW, plan_of
from train.simulate import simulate

FINE = Evidence(
    cells=50,
    flow_error=0.05,
    probability=0.95,
    flow_length=0.9,
    rejected=0.0,
    border=0.2,
    size_ratio=1.0,
    disagreement=0.1,
    at_end=False,
    contrast=90.0,
)
STRICT = replace(LIMITS, disagreement=0.5, largest_ratio=2.0, smallest_ratio=0.5)


def test_fine_evidence_is_good_and_so_is_evidence_that_is_missing():
    assert judge_evidence(FINE) == judge_evidence(replace(FINE, at_end=True)) == flowmask.Verdict(GOOD)
    missing = replace(FINE, **{each.figure: nan for each in COMPARISONS})
    assert judge_evidence(missing, STRICT).level == GOOD


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cells": 0}, "no cells"),
        ({"contrast": 0.0}, "contrast"),
        ({"largest": 0.7}, "one cell covers 70% of the image"),
        ({"largest": 0.7, "disc": 0.7}, "one cell covers 70% of the image"),
        ({"disc": 0.2}, "one round cell covers 20% of the image, so it may be the field of view"),
        ({"flow_error": 0.3}, "flow error of the cells is high (median 0.30)"),
        ({"probability": 0.6}, "probability is low (median 0.60)"),
        ({"flow_length": 0.4}, "no diameter"),
        ({"rejected": 0.8}, "80% of the candidates"),
        ({"border": 1.0}, "100% of the cells touch the border"),
        ({"size_ratio": 3.0}, "larger than the diameter used (3.0 times)"),
        ({"size_ratio": 0.4}, "smaller than the diameter used (0.4 of it)"),
        ({"disagreement": 0.7}, "estimates of the diameter differ"),
    ],
)
def test_each_figure_alone_is_a_reason(change, word):
    verdict = judge_evidence(replace(FINE, **change), STRICT)
    assert verdict.level == CHECK
    assert len(verdict.reasons) == 1
    assert word in verdict.reasons[0]


def test_every_limit_is_used():
    assert [each.limit for each in COMPARISONS] + ["poor"] == [field.name for field in fields(Limits)]


def test_several_reasons_make_an_image_poor():
    verdict = judge_evidence(replace(FINE, flow_error=0.3, probability=0.6, rejected=0.9, at_end=True))
    assert verdict.level == POOR
    assert len(verdict.reasons) == LIMITS.poor + 1
    assert "end of the range" in verdict.reasons[-1]


def test_the_figures_come_from_the_table_and_the_plan():
    table = CellTable(
        label=np.array([1, 2, 3], np.int32),
        area=np.array([100, 314, 400]),
        bbox=np.array([[0, 4, 10, 14], [20, 4, 30, 14], [20, 80, 30, 90]], np.int32),
        centroid=np.zeros((3, 2)),
        probability=np.array([0.5, 0.75, 1], np.float32),
        flow_error=np.array([0.25, 0.5, 0.125], np.float32),
        candidates=10,
        too_small=2,
        wrong_flow=4,
    )
    plan = replace(plan_of((100, 90), (100, 90), Segmentation(), FLOW), diameter=10.0, ranges=np.array([[5.0, 7.0]]))
    found = evidence(table, replace(plan, estimate=DiameterEstimate(10.0, 20.0, 5.0, 0.75, True)))
    assert (found.cells, found.flow_error, found.probability) == (3, 0.25, 0.75)
    assert (found.flow_length, found.rejected, found.at_end, found.contrast) == (0.75, 0.5, True, 7)
    assert found.border == pytest.approx(2 / 3)
    assert found.size_ratio == pytest.approx(2, rel=0.01)
    assert found.disagreement == pytest.approx(np.log(4))
    given = evidence(table, plan)
    assert np.isnan([given.flow_length, given.disagreement]).all()
    assert not given.at_end


@pytest.mark.parametrize(
    ("shape", "axes", "share"),
    [((400, 400), (90, 90), 0.159), ((400, 400), (91, 89), 0.159), ((400, 400), (90, 75), 0), ((99, 99), (40, 40), 0)],
)
def test_a_disc_as_large_as_a_field_of_view_is_one(shape, axes, share):
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = ((y - shape[0] / 2) ** 2 / axes[0] ** 2 + (x - shape[1] / 2) ** 2 / axes[1] ** 2 < 1).astype(np.int32)
    labels[:5, :9] = 2
    builder = CellTableBuilder()
    builder.add_cells(np.ones(2), np.zeros(2))
    builder.add_rows(labels)
    plan = plan_of(shape, shape, Segmentation(), FLOW)
    assert evidence(builder.table(), plan).disc == pytest.approx(share, abs=0.001)
    builder = CellTableBuilder()
    builder.add_cells(np.ones(1), np.zeros(1))
    builder.add_rows((labels[:180] > 0).astype(np.int32))  # cut by the border
    assert evidence(builder.table(), plan).disc == 0


@needs_network
@pytest.mark.slow
def test_an_empty_field_of_view_is_not_good(network):
    y, x = np.mgrid[:420, :500]
    inside = (y - 210) ** 2 + (x - 240) ** 2 < 130**2
    picture = (10 + 110 * inside + np.random.default_rng(0).normal(0, 3, inside.shape)).astype(np.uint8)
    assert flowmask.segment(picture, network).verdict.level != GOOD


@pytest.mark.slow
@needs_network
def test_the_verdict_on_an_image(network):
    image = simulate("fluorescence_nuclei", (300, 417), 7, 26).image
    assert flowmask.segment(image, network).verdict == flowmask.Verdict(GOOD)
    empty = flowmask.segment(np.zeros((90, 90), np.uint8), network).verdict
    assert empty.level in (CHECK, POOR)
    assert "no cells were found" in empty.reasons


@needs_network
@pytest.mark.slow
@pytest.mark.parametrize("centre", [(96, 96), (80, 110)])
def test_an_empty_image_with_dark_corners_is_not_good(network, centre):
    y, x = np.indices((192, 192))
    away = np.hypot(y - centre[0], x - centre[1]) / 96
    noise = np.random.default_rng(0).normal(0, 4, away.shape)
    dark = np.clip(240 * (1 - 0.8 * np.minimum(away, 1.2) ** 2) + noise, 0, 255).astype(np.uint8)
    result = flowmask.segment(dark, network)
    assert len(result.cells) == 1
    assert "so it may be the background" in result.verdict.reasons[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_the_median_is_that_of_numpy(count, dtype):
    values = np.random.default_rng(count).random(count).astype(dtype)
    assert verdict._median(values) == float(np.median(values))
    values[0] = nan
    assert np.isnan(verdict._median(values))
    assert np.isnan(verdict._median(values[:0]))


def test_few_grey_levels_are_never_good():
    assert judge_evidence(replace(FINE, few_levels=9.0)).reasons == ("the image has only 9 grey levels",)
