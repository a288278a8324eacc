"""Verdicts: each kind of evidence alone is a reason to check, several make an image poor."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest

import flowmask
from flowmask.labels.verdict import CHECK, GOOD, LIMITS, POOR, Evidence, judge_evidence
from tests.conftest import needs_network
from train.simulate import simulate

FINE = Evidence(50, 0.05, 0.95, 0.0, 0.2, 1.0, 0.3, 0.9, 0.1, False, 90.0, 0.3)


def test_fine_evidence_is_good_and_so_is_evidence_that_is_missing():
    assert judge_evidence(FINE).level == GOOD
    missing = replace(FINE, flow_error=nan, rejected=nan, flow_length=nan, disagreement=nan)
    assert judge_evidence(missing).level == GOOD


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cells": 0}, "no cells"),
        ({"contrast": 0.0}, "contrast"),
        ({"flow_error": 0.3}, "flow error"),
        ({"probability": 0.6}, "probability"),
        ({"flow_length": 0.4}, "diameter"),
        ({"rejected": 0.8}, "80 %"),
        ({"border": 1.0}, "border"),
        ({"size_ratio": 3.0}, "larger"),
        ({"size_ratio": 0.4}, "smaller"),
    ],
)
def test_each_kind_of_evidence_is_a_reason(change, word):
    verdict = judge_evidence(replace(FINE, **change))
    assert verdict.level == CHECK
    assert len(verdict.reasons) == 1
    assert word in verdict.reasons[0]


def test_several_reasons_make_an_image_poor():
    verdict = judge_evidence(replace(FINE, flow_error=0.3, probability=0.6, rejected=0.9, at_end=True))
    assert verdict.level == POOR
    assert len(verdict.reasons) == LIMITS.poor + 1


@needs_network
def test_the_verdict_on_an_image(network):
    image = simulate("fluorescence_nuclei", (300, 417), 7, 26).image
    assert flowmask.segment(image, network).verdict == flowmask.Verdict(GOOD)
    empty = flowmask.segment(np.zeros((90, 90), np.uint8), network).verdict
    assert empty.level in (CHECK, POOR)
    assert "no cells were found" in empty.reasons
