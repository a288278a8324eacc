"""A strip at a time gives the labels of the whole image, pixel for pixel."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from flowmask.families.flow.constants import REACH
from flowmask.families.flow.strip import label_rows
from flowmask.families.flow.targets import labels_to_flows
from flowmask.options import Segmentation
from tests.conftest import ROOT
from tests.reference.whole import whole_labels
from train.simulate import simulate


def noisy_maps(labels, scale, noise, seed=0):
    """Maps as a network might return them: true flows at ``scale``, too short, too long, and wrong here and there."""
    rng = np.random.default_rng(seed)
    maps = np.concatenate([5 * labels_to_flows(labels), np.where(labels > 0, 6, -6)[None]])
    height, width = (max(1, int(length * scale)) for length in labels.shape)
    maps = np.stack([cv2.resize(m.astype(np.float32), (width, height)) for m in maps]).astype(np.float32)
    rough = cv2.resize(rng.normal(0, 1, (7, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return maps * (1 + 0.2 * rough) + rng.normal(0, noise, maps.shape).astype(np.float32)


def in_strips(maps, shape, rows, options, threads=0):
    parts = (maps[:, top : top + rows] for top in range(0, maps.shape[1], rows))
    return np.concatenate(list(label_rows(parts, maps.shape[1:], shape, options, threads)))


CASES = [
    pytest.param("dense_tissue", (1503, 201), 1.0, 0.4, Segmentation(), marks=pytest.mark.slow),
    pytest.param("rods", (1200, 260), 0.61, 0.8, Segmentation(min_size=40), marks=pytest.mark.slow),
    ("yeast", (700, 225), 1.73, 0.6, Segmentation(flow_threshold=0.2)),
    ("phase", (1111, 223), 1.0, 0.0, Segmentation(flow_threshold=0, min_size=0)),
    ("filaments", (900, 150), 1.0, 0.7, Segmentation(cellprob_threshold=-1.0)),
    ("phase", (1, 90), 1.0, 0.2, Segmentation()),
    ("phase", (90, 1), 1.0, 0.2, Segmentation()),
    ("phase", (1, 1), 1.0, 0.2, Segmentation()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "shape", "scale", "noise", "options"), CASES)
def test_strips_of_any_height_give_the_labels_of_the_whole(modality, shape, scale, noise, options):
    sample = simulate(modality, tuple(max(64, length) for length in shape), 4, 26)
    maps = noisy_maps(sample.labels[: shape[0], : shape[1]], scale, noise)
    expected = whole_labels(maps, shape, options)
    assert shape[0] * shape[1] < 100 or expected.max() > 5
    for rows in (1, 17, 100, 201, 640, 5000):
        np.testing.assert_array_equal(in_strips(maps, shape, rows, options), expected, err_msg=f"{rows} rows")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads):
    maps = noisy_maps(simulate("dense_tissue", (900, 200), 1, 24).labels, 1.0, 0.5)
    found = in_strips(maps, (900, 200), 150, Segmentation(), threads)
    assert found.max() > 20
    np.testing.assert_array_equal(found, whole_labels(maps, (900, 200), Segmentation()))


@pytest.mark.slow
@pytest.mark.parametrize("strength", [5, 25, 4000])
def test_glass_first_and_flows_of_any_length_after(strength):
    """Nothing may be let go that a longer step further down could still need."""
    rng = np.random.default_rng(strength)
    for _ in range(5):
        maps = cv2.GaussianBlur(rng.normal(0, 1, (1300, 120, 3)).astype(np.float32), (0, 0), 4).transpose(2, 0, 1)
        maps = strength * maps / np.abs(maps).max()
        maps[2] = 1
        maps[:2, : rng.integers(300, 900)] = 0
        options = Segmentation(flow_threshold=0, min_size=0)
        expected = whole_labels(maps, (1300, 120), options)
        assert expected.max() > 5
        np.testing.assert_array_equal(in_strips(maps, (1300, 120), 64, options), expected)


@pytest.mark.slow
def test_a_large_image_of_odd_size():
    maps = np.tile(noisy_maps(simulate("dense_tissue", (500, 500), 3, 26).labels, 1.0, 0.3), (1, 5, 10))[
        :, :2017, :4999
    ]
    np.testing.assert_array_equal(
        in_strips(maps, (2017, 4999), 300, Segmentation()), in_strips(maps, (2017, 4999), 5000, Segmentation())
    )


def test_a_cell_taller_than_every_strip_is_whole():
    labels = np.zeros((1400, 60), np.int32)
    labels[20:300, 10:50] = 1
    maps = noisy_maps(labels, 1.0, 0.0)
    expected = whole_labels(maps, labels.shape, Segmentation())
    assert np.ptp(np.flatnonzero(expected.any(axis=1))) == 279
    np.testing.assert_array_equal(in_strips(maps, labels.shape, 13, Segmentation()), expected)


@pytest.mark.slow
def test_few_rows_are_held():
    """What is held follows the reach of the paths, not the height of the image."""
    from flowmask.families.flow.strip import Strip

    maps = noisy_maps(simulate("dense_tissue", (6000, 64), 1, 24).labels, 1.0, 0.1)
    strip = Strip(maps.shape[1:], (6000, 64), Segmentation(), 2)
    held = []
    for top in range(0, 6000, 100):
        strip.advance(maps[:, top : top + 100])
        held.append(max(r.bottom - r.top for r in (strip.maps, strip.field, strip.histogram, strip.ends, strip.labels)))
    assert max(held) < 3 * REACH + 400


@pytest.mark.slow
def test_several_callers_may_label_at_once():
    code = """
import threading
import numpy as np
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.options import Segmentation
from flowmask.families.flow.strip import label_rows
maps = np.random.default_rng(1).normal(size=(3, 300, 400)).astype(np.float32)
found = []
def work():
    for _ in range(5):
        found.append(np.concatenate(list(label_rows([maps], (300, 400), (300, 400), Segmentation(flow_threshold=0)))))
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert found[0].max() > 20
print(sum(np.array_equal(labels, found[0]) for labels in found), "alike")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "20 alike\n")
