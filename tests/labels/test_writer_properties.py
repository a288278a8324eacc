"""The label writer on generated labels: what was written comes back, in whatever parts it came."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIDES = st.integers(1, 70)


@pytest.mark.slow
@FEW
@given(SIDES.map(lambda n: 3 * n), SIDES, st.integers(0, 80_000), st.lists(st.integers(1, 80), max_size=5))
def test_any_labels_in_any_parts(tmp_path, height, width, cells, parts):
    """uint16 as long as it holds the ids, int32 beyond; ids grow downwards, as the engine numbers them."""
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
    assert read.dtype == (np.uint16 if labels.max() <= 65_535 else np.int32)
    assert [path.name for path in tmp_path.iterdir() if path.name != "a.tif"] == ["a_label.tiff"]
