"""The TIFF reader on generated files: what was written comes back, by whatever window."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmask.images.readers import open_image

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIDES = st.integers(1, 70)
DTYPES = st.sampled_from(["u1", "u2", "u4", "i1", "i2", "f2", "f4", "f8"])
TILES = st.none() | st.tuples(*[st.integers(1, 4).map(lambda n: 16 * n)] * 2)
COMPRESSIONS = st.sampled_from([None, "zlib", "lzw", "packbits", "zstd", "lzma"])


@st.composite
def windows(draw, height, width):
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))


@pytest.mark.slow
@FEW
@given(
    st.data(), SIDES, SIDES, st.integers(1, 6), DTYPES, TILES, COMPRESSIONS, st.booleans(), st.booleans(), st.booleans()
)
def test_any_window_of_any_tiff(
    tmp_path, data, height, width, channels, dtype, tile, compression, planar, big, swapped
):
    random = np.random.default_rng(height * 100 + width)
    pixels = random.integers(0, 120, (channels, height, width)).astype(dtype)
    stored = pixels if planar or channels == 1 else pixels.transpose(1, 2, 0)
    layout = {"tile": tile} if tile else {"rowsperstrip": data.draw(st.integers(1, height))}
    if channels > 1:
        layout["planarconfig"] = "separate" if planar else "contig"
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored[0] if channels == 1 else stored,
        photometric="minisblack",
        compression=compression,
        bigtiff=big,
        byteorder=">" if swapped else "<",
        metadata=None,
        **layout,
    )
    image = open_image(tmp_path / "a.tif")
    assert image.shape == pixels.shape
    for _ in range(3):
        top, left, bottom, right = data.draw(windows(height, width))
        window = image.read(top, left, bottom, right)
        assert window.dtype == pixels.dtype
        np.testing.assert_array_equal(window, pixels[:, top:bottom, left:right])
