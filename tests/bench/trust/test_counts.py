"""Many cells through predict.sh: `bench.trust.counts` with few cells."""

import numpy as np
import pytest

from bench.trust.counts import FOUND, discs, measure
from tests.conftest import needs_network


def test_no_disc_hides_another():
    image, labels = discs(100)
    areas = np.bincount(labels.ravel())[1:]
    assert image.shape == labels.shape
    assert len(areas) == 100
    assert areas.min() > 0.8 * areas.max() * (8 / 10) ** 2


@needs_network
@pytest.mark.slow
def test_the_discs_are_found():
    run = measure(100)
    assert run["cells reported"] >= FOUND * run["cells drawn"]
    assert run["ids, int32 file"] == run["cells reported"]
    assert run["F1, label file"] == run["F1, int32 file"] > 0.9
