"""Readers and writers on generated inputs: what was written comes back, by whatever window and in whatever parts."""

import numpy as np
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmask.images.image import open_image
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIDES = st.integers(1, 70)
DTYPES = st.sampled_from(["u1", "u2", "u4", "i1", "i2", "f2", "f4", "f8"])
TILES = st.none() | st.tuples(*[st.integers(1, 4).map(lambda n: 16 * n)] * 2)
COMPRESSIONS = st.sampled_from([None, "zlib", "lzw", "packbits", "zstd", "lzma"])


@st.composite
def windows(draw, height, width):
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))


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


@FEW
@given(SIDES.map(lambda n: 3 * n), SIDES, st.integers(0, 40_000), st.lists(st.integers(1, 80), max_size=5))
def test_any_labels_in_any_parts(tmp_path, height, width, cells, parts):
    """int16 as long as it holds the ids, int32 beyond; ids grow downwards, as the engine numbers them."""
    labels = np.sort(np.random.default_rng(cells).integers(0, cells + 1, (height, width)), axis=None).reshape(
        height, width
    )
    with LabelStore(tmp_path, labels.shape) as store:
        top = 0
        for rows in [*parts, height]:
            store.append(labels[top : top + rows].astype(np.int32))
            top = min(top + rows, height)
        (written,) = write_labels(tmp_path / "a_label.tiff", store, "int32")
    read = tifffile.imread(written)
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == (np.int16 if labels.max() <= 32_767 else np.int32)
    assert [path.name for path in tmp_path.iterdir() if path.name != "a.tif"] == ["a_label.tiff"]
