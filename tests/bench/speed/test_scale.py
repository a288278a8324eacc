"""Time and memory over the area: the image that is computed as it is read, and the ratios."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the benchmarks need PyTorch")

from bench.speed.scale import Simulated, with_ratios
from flowmask.images.image import Image
from train.simulate.slide import slide_rows


def test_the_windows_are_those_of_the_slide():
    image = Simulated((150, 600), 3)
    assert isinstance(image, Image)
    ((whole, _),) = slide_rows((150, 600), 3)
    assert np.array_equal(image.read(0, 0, 150, 600), whole.transpose(2, 0, 1))
    assert np.array_equal(image.read(20, 500, 90, 580), whole.transpose(2, 0, 1)[:, 20:90, 500:580])


def test_ratios_leave_out_the_time_of_the_simulator():
    first = {"height": 1000, "width": 500, "cpu_seconds": 3.0, "simulator_seconds": 1.0, "above_idle_mb": 100.0}
    second = first | {"height": 2000, "cpu_seconds": 9.0, "simulator_seconds": 2.0, "above_idle_mb": 110.0}
    one, two = with_ratios([first, second])
    assert (one["megapixels"], one["time_ratio"], one["memory_ratio"]) == (0.5, 1.0, 1.0)
    assert (two["megapixels"], two["time_ratio"], two["memory_ratio"]) == (1.0, 1.75, 1.1)
