"""The images of `bench.quality.sizes`, and its scores."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bench.quality import sizes  # noqa: E402
from flowmask.labels.labels import median_diameter  # noqa: E402
from train.simulate import MODALITIES  # noqa: E402


def test_two_sizes_lie_beside_each_other_with_ids_of_their_own():
    pixels, labels = sizes.side_by_side("yeast", 20.0, 60.0)
    left, right = labels[:, : sizes.SIDE], labels[:, sizes.SIDE :]
    assert pixels.shape[:2] == labels.shape == (sizes.SIDE, 2 * sizes.SIDE)
    assert not set(np.unique(left[left > 0])) & set(np.unique(right[right > 0]))
    assert median_diameter(left) == pytest.approx(20, rel=0.3)
    assert median_diameter(right) == pytest.approx(60, rel=0.3)


def test_a_case_is_the_mean_over_the_modalities_with_cells(monkeypatch):
    def made(modality):
        at = MODALITIES.index(modality)
        labels = np.zeros((9, 9), np.int32)
        labels[2:5, 2:5] = 7 * (at > 0)  # the first modality has no cell
        return np.full((9, 9), at, np.uint8), labels

    def scores(image, truth, network, options):
        assert set(np.unique(truth)) == {0, 1}
        assert options.diameter is None
        return dict.fromkeys(sizes.SHOWN, float(image.read(0, 0, 1, 1)[0, 0, 0])), None

    monkeypatch.setattr(sizes, "CASES", {"case": made})
    monkeypatch.setattr(sizes, "score", scores)
    others = len(MODALITIES) - 1
    assert sizes.scored("case", None) == {"images": others} | dict.fromkeys(sizes.SHOWN, np.mean(range(1, others + 1)))


def test_images_without_cells_differ_but_for_the_one_of_one_value():
    images = sizes.empty_images()
    assert all(image.dtype == np.uint8 for image in images.values())
    assert [name for name, image in images.items() if not np.ptp(image)] == ["one value"]
