"""Damaged files: one sentence that names the file, or the pixels; never others for a file cut short."""

import re

import numpy as np
import pytest

from bench.trust.samples import samples
from flowmask.errors import ImageError
from flowmask.images.readers import open_image

pytestmark = pytest.mark.slow

SAMPLES = samples()
NAMELESS = re.compile(r"0x[0-9a-f]{6,}|Traceback")


def read(path):
    image = open_image(path)
    return image.read(0, 0, *image.shape[1:])


def outcome(path, data):
    """Return the pixels that the data hold, or None where they are refused as they should be."""
    path.write_bytes(data)
    try:
        return read(path)
    except ImageError as error:
        sentence = str(error)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    assert not NAMELESS.search(sentence)
    return None


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_short_is_refused_or_read_as_the_whole(tmp_path, name):
    """What is cut off may have been of no use: the end mark of a file, or what pads its last word."""
    data, path = SAMPLES[name], tmp_path / "a"
    whole = outcome(path, data)
    assert whole is not None
    for size in sorted({0, 1, 2, 3, *np.linspace(4, len(data) - 1, 60).astype(int), *range(len(data) - 8, len(data))}):
        cut = outcome(path, data[:size])
        if cut is not None:
            np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("name", SAMPLES)
def test_flipped_bits_are_refused_or_pixels(tmp_path, name):
    random = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        data = bytearray(SAMPLES[name])
        for at in random.integers(0, min(len(data), random.choice([64, 400, len(data)])), random.integers(1, 4)):
            data[at] ^= 1 << random.integers(0, 8)
        pixels = outcome(tmp_path / "a", data)
        refused += pixels is None
        assert pixels is None or pixels.ndim == 3
    assert refused > 0
