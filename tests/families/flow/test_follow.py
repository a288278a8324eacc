"""Path following against SciPy's interpolation and a plain loop."""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from flowmask.families.flow.constants import LONGEST, STEPS
from flowmask.families.flow.follow import ARRIVED, CHECK, NOWHERE, follow, inner_field, sample, trapping

RNG = np.random.default_rng(6)
HEIGHT, WIDTH = 60, 71
MAPS = gaussian_filter(RNG.normal(0, 12, (HEIGHT, 3, WIDTH)), (2, 0, 2)).astype(np.float32)
ROWS, COLUMNS = np.linspace(0, HEIGHT - 1, 100), np.linspace(0, WIDTH - 1, 125)


def test_sampling_is_scipys_linear_interpolation():
    grid = np.stack(np.meshgrid(ROWS, COLUMNS, indexing="ij"))
    expected = map_coordinates(MAPS[:, 2].astype(np.float64), grid, order=1, mode="nearest")
    found = np.array([[sample(MAPS[:, 2], y, x, 0, HEIGHT) for x in COLUMNS] for y in ROWS])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_field_is_a_fifth_of_the_flow_cut_at_the_longest_step_and_zero_outside_cells():
    maps = 3 * MAPS
    field = inner_field(maps, 0.5)
    inside = maps[:, 2] > 0.5
    flows, field = np.moveaxis(maps[:, :2], 1, 0)[:, inside], np.moveaxis(field, 2, 0)[:, inside]
    assert (np.abs(flows) > 5 * LONGEST).any()
    np.testing.assert_allclose(field, np.clip(flows / 5, -LONGEST, LONGEST), rtol=1e-6)
    assert not inner_field(maps, 0.5)[~inside].any()


def test_paths_end_where_a_plain_euler_loop_ends():
    field = inner_field(MAPS, 0.0)
    at = np.stack(np.meshgrid(ROWS, COLUMNS, indexing="ij"))
    logits = map_coordinates(MAPS[:, 2].astype(np.float64), at, order=1, mode="nearest")
    for _ in range(STEPS):
        step = [map_coordinates(f.astype(np.float64), at, order=1, mode="nearest") for f in np.moveaxis(field, 2, 0)]
        at = np.clip(at + step, 0, np.array([HEIGHT - 1, WIDTH - 1])[:, None, None])
    ends = follow(MAPS, field, trapping(field), 0, HEIGHT, ROWS, COLUMNS, 0.0)
    followed = ends != NOWHERE
    np.testing.assert_array_equal(followed, logits > 0)
    found = np.stack([ends // WIDTH + ROWS.astype(int)[:, None], ends % WIDTH])[:, followed]
    # A path that has almost stopped is not followed further, though one on a saddle may still speed up again.
    left = STEPS / CHECK * ARRIVED
    low, high = np.floor(at[:, followed] - left), np.floor(at[:, followed] + left)
    assert ((low <= found) & (found <= high)).mean() > 0.99
    assert (found == np.floor(at[:, followed])).mean() > 0.97


def plain_ends(field, traps, rows, columns):
    """The same arithmetic for all paths at once: (rows, columns) of the pixels in which they end."""
    y, x = (grid.copy() for grid in np.meshgrid(rows, columns, indexing="ij"))
    going = np.ones(y.shape, bool)
    for _ in range(STEPS // CHECK):
        before = y.copy(), x.copy()
        for _ in range(CHECK):
            y0, x0 = y.astype(int), x.astype(int)
            y1, x1 = np.minimum(y0 + 1, len(field) - 1), np.minimum(x0 + 1, field.shape[1] - 1)
            fy, fx = y - y0, x - x0
            weights = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
            a, b, c, d = (
                weight[..., None] * field[corner]
                for weight, corner in zip(weights, ((y0, x0), (y0, x1), (y1, x0), (y1, x1)), strict=True)
            )
            dy, dx = np.moveaxis(a + b + c + d, 2, 0)
            y[going] = np.clip(y + dy, 0, len(field) - 1)[going]
            x[going] = np.clip(x + dx, 0, field.shape[1] - 1)[going]
        still = (np.abs(y - before[0]) < ARRIVED) & (np.abs(x - before[1]) < ARRIVED)
        going &= ~(still | traps[y.astype(int), x.astype(int)])
    return y.astype(int), x.astype(int)


def test_paths_side_by_side_end_exactly_where_each_ends_alone():
    field = inner_field(MAPS, -np.inf)
    traps = trapping(field)
    y, x = plain_ends(field, traps, ROWS, COLUMNS)
    assert {0, HEIGHT - 1} <= {*y.flat}
    assert {0, WIDTH - 1} <= {*x.flat}
    expected = (y - ROWS.astype(int)[:, None]) * WIDTH + x
    np.testing.assert_array_equal(follow(MAPS, field, traps, 0, HEIGHT, ROWS, COLUMNS, -np.inf), expected)
    some = slice(70, 80)  # rows of a strip in the middle of the image
    strip = follow(MAPS[5:], field[5:], traps[5:], 5, HEIGHT, ROWS[some], COLUMNS, -np.inf)
    np.testing.assert_array_equal(strip, expected[some])


def test_no_path_leaves_a_pixel_that_traps_it():
    hills = gaussian_filter(RNG.normal(0, 1, (200, 200)), 3)
    field = np.stack(np.gradient(hills / hills.std()), axis=2).astype(np.float32)  # uphill, as flows to a centre
    traps = trapping(field)
    rows, columns = np.nonzero(traps)
    assert len(rows) > 20
    start = np.stack([rows, columns])[..., None]
    at = start + RNG.uniform(0, 1, (2, len(rows), 50))
    for _ in range(20):
        step = [map_coordinates(f.astype(np.float64), at, order=1) for f in np.moveaxis(field, 2, 0)]
        at = at + step
        np.testing.assert_array_equal(at.astype(int), np.broadcast_to(start, at.shape))
    others = ~traps[:-1, :-1] & (np.abs(field[:-1, :-1]).max(axis=2) > 0)
    rows, columns = np.nonzero(others)
    corners = [
        (i + field[rows + i, columns + j, 0], j + field[rows + i, columns + j, 1]) for i in (0, 1) for j in (0, 1)
    ]
    leaves = [(v < 0) | (v >= 1) | (u < 0) | (u >= 1) for v, u in corners]
    assert np.any(leaves, axis=0).all()


def test_more_paths_than_lanes_and_fewer_end_alike():
    field = inner_field(MAPS, -np.inf)
    together = follow(MAPS, field, trapping(field), 0, HEIGHT, ROWS, COLUMNS, -np.inf)
    for first in range(0, len(COLUMNS), 7):
        some = COLUMNS[first : first + 7]
        alone = follow(MAPS, field, trapping(field), 0, HEIGHT, ROWS, some, -np.inf)
        np.testing.assert_array_equal(alone, together[:, first : first + 7])
