"""The fit of the limits on made-up evidence, and the cache that another run continues."""

import numpy as np
import pytest

from bench.images import SIMULATED
from bench.quality import verdicts
from bench.quality.spoilt import SPOILT, spoilt
from bench.quality.verdicts import (
    BAD,
    FALSE_ALARMS,
    FINE,
    PARTS,
    UNUSED,
    confusion,
    fitted,
    judged_by_others,
    part,
    rows,
)
from flowmask.labels.verdict import CHECK, GOOD, POOR


def made_up(f1, rng, **figures):
    fine = {name: rng.uniform(0.4, 0.6) for name in ("flow_error", "probability", "rejected", "border", "size_ratio")}
    other = {"cells": 9, "flow_length": float("nan"), "disagreement": rng.uniform(), "at_end": False, "contrast": 1.0}
    return {"f1": f1, "evidence": {**fine, **other, **figures}}


@pytest.mark.slow
def test_the_fit_finds_the_figures_that_tell_and_no_others():
    rng = np.random.default_rng(0)
    found = [made_up(0.9, rng) for _ in range(200)]
    found += [made_up(0.3, rng, flow_error=rng.uniform(0.62, 0.9)) for _ in range(50)]
    found += [made_up(0.3, rng, probability=rng.uniform(0.1, 0.38)) for _ in range(50)]
    found += [made_up(0.6, rng)]
    limits = fitted(found)
    assert 0.55 < limits.flow_error < 0.62
    assert 0.38 < limits.probability < 0.45
    unused = (limits.rejected, limits.border, limits.largest_ratio, limits.smallest_ratio, limits.flow_length)
    assert unused == (np.inf, np.inf, np.inf, 0, 0)
    counts = confusion(found, limits)
    assert (counts[BAD][GOOD], counts[BAD][CHECK] > 90) == (0, True)
    assert counts[FINE][GOOD] >= 200 * (1 - FALSE_ALARMS)
    assert counts[FINE][POOR] <= 2


def test_images_without_cells_need_no_limit():
    rng = np.random.default_rng(1)
    found = [made_up(0.9, rng) for _ in range(20)] + [made_up(0.1, rng, cells=0) for _ in range(20)]
    limits = fitted(found)
    assert {**vars(limits), "poor": 0} == {**vars(UNUSED), "poor": 0}


def test_the_cache_of_one_network_is_continued(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(verdicts, "measured", lambda case, network: seen.append(case) or {"f1": 1.0, "evidence": {}})
    cases = [("a", "1", "as it is", None, None, 0), ("a", "1", "noise", None, None, 0)]
    cache = tmp_path / "cache.jsonl"
    assert len(list(rows(cases[:1], None, "small", cache))) == 1
    assert [row["case"][2] for row in rows(cases, None, "small", cache)] == ["as it is", "noise"]
    assert seen == cases
    assert len(list(rows(cases, None, "large", cache))) == 2
    assert seen == cases * 2


def test_a_simulated_source_is_in_the_part_of_its_modality():
    assert part(SIMULATED + "dense_tissue") == part("dense_tissue")
    assert {part(f"source {n}") for n in range(60)} == set(range(PARTS))


def test_each_source_is_judged_by_limits_of_the_others():
    rng = np.random.default_rng(3)
    found = [made_up(f1, rng) for f1 in (0.9, 0.3, 0.6) for _ in range(60)]
    for number, row in enumerate(found):
        row["case"] = (f"source {number % 12}", str(number), "as it is")
        row["evidence"]["flow_error"] = 0.9 if row["f1"] < 0.5 else 0.1
    counts = judged_by_others(found)
    assert {name: sum(own.values()) for name, own in counts.items()} == dict.fromkeys(counts, 60)
    assert (counts[BAD][GOOD], counts[FINE][GOOD]) == (0, 60)


@pytest.mark.parametrize("way", SPOILT)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_spoilt_images_keep_their_type_and_labels(way, dtype):
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 255, (500, 300, 3)).astype(dtype)
    truth = np.kron(np.arange(1, 16, dtype=np.int32).reshape(5, 3), np.ones((100, 100), np.int32))
    image, labels, options = spoilt(("a", "1", way, pixels, truth, 4))
    assert image.dtype == dtype
    assert image.shape[:2] == labels.shape
    assert (options.diameter is None) == ("diameter" not in way)
    if labels.shape == truth.shape:
        np.testing.assert_array_equal(labels, truth)
    else:
        assert labels.max() == len(np.unique(labels[labels > 0]))
