"""Heat-diffusion flows. The comparison with the cellpose package is in tests/parity."""

import numpy as np
import pytest

from flowmask.families.flow.targets import cell_flows, label_boxes, labels_to_flows


def disc(shape=(40, 50), centre=(20, 24), radius=11):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (((y - centre[0]) ** 2 + (x - centre[1]) ** 2) <= radius**2).astype(np.int32)


def test_flows_of_a_disc_point_at_its_centre():
    labels = disc()
    flows = labels_to_flows(labels)
    inside = labels > 0
    to_centre = np.stack(np.meshgrid(20 - np.arange(40), 24 - np.arange(50), indexing="ij")).astype(float)
    distance = np.linalg.norm(to_centre, axis=0)
    far = inside & (distance > 2)
    cosine = (flows * to_centre).sum(0)[far] / distance[far]
    assert cosine.min() > 0.95


def test_flows_have_unit_length_inside_and_vanish_outside():
    labels = disc()
    length = np.linalg.norm(labels_to_flows(labels), axis=0)
    inside = labels > 0
    inside[20, 24] = False  # the source itself: the field turns round there
    np.testing.assert_allclose(length[inside], 1, atol=1e-6)
    assert (length[labels == 0] == 0).all()


def test_touching_cells_do_not_feel_each_other():
    both = np.zeros((30, 60), np.int32)
    both[5:25, 5:30] = 1
    alone = both.copy()
    both[5:25, 30:55] = 2
    np.testing.assert_array_equal(labels_to_flows(both)[:, :, :30], labels_to_flows(alone)[:, :, :30])


def test_the_field_does_not_depend_on_where_the_cell_lies():
    labels = disc()
    moved = np.zeros((90, 90), np.int32)
    moved[31:71, 17:67] = labels * 7
    np.testing.assert_array_equal(labels_to_flows(moved)[:, 31:71, 17:67], labels_to_flows(labels))


def plain_flows(mask):
    """Heat diffusion step by step on padded arrays, with the additions in the same order."""
    height, width = mask.shape
    pixels = np.argwhere(mask)
    centre = tuple(pixels[((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1).argmin()] + 1)
    heat = np.zeros((height + 2, width + 2))
    for _ in range(2 * (height + width + 4)):
        heat[centre] += 1
        sums = heat[:, :-2] + heat[:, 1:-1] + heat[:, 2:]
        heat[1:-1, 1:-1] = (sums[:-2] + sums[1:-1] + sums[2:]) * (mask / 9.0)
    flows = np.stack([heat[2:, 1:-1] - heat[:-2, 1:-1], heat[1:-1, 2:] - heat[1:-1, :-2]])
    return flows / (np.sqrt(flows[0] ** 2 + flows[1] ** 2) + 1e-60) * mask


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 4), (4, 5), (17, 30), (30, 17)])
def test_flows_are_those_of_plain_diffusion_bit_for_bit(shape):
    rough = np.random.default_rng(3).random(shape) < 0.8
    rough[0, 0] = rough[-1, -1] = True
    corner = rough.copy()  # columns without a pixel, and a centre beside the middle of the box
    corner[: -(-shape[0] // 3), shape[1] // 3 :] = corner[1:, : shape[1] // 2] = False
    corner[0, 0] = corner[-1, -1] = True
    for mask in (rough, corner, np.ones(shape, bool)):
        np.testing.assert_array_equal(cell_flows(mask), plain_flows(mask))


def test_boxes_are_those_of_scipy():
    find_objects = pytest.importorskip("scipy.ndimage").find_objects
    labels = np.random.default_rng(0).integers(0, 9, (23, 31)).astype(np.int32)
    labels[labels == 4] = 0
    boxes = label_boxes(labels, 8)
    for box, slices in zip(boxes, find_objects(labels, 8), strict=True):
        expected = [0, 0, 0, 0] if slices is None else [s.start for s in slices] + [s.stop for s in slices]
        assert box.tolist() == expected


def test_an_image_without_cells_has_no_flow():
    assert not labels_to_flows(np.zeros((5, 7), np.int32)).any()
