"""Networks with heads for whole cells and for nuclei: the labels are those of the compartment that is asked for."""

import dataclasses

import numpy as np
import pytest

import flowmask
from flowmask.errors import NetworkError, SettingsError
from flowmask.families import check_options
from flowmask.families.blocks import gather, rows_to_read
from flowmask.families.watershed.family import FAMILY
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.provenance import labels_origin, maps_origin
from flowmask.network.contract import Head
from flowmask.options import Options, Segmentation, watershed_thresholds
from tests.reference.deep_watershed import deep_watershed
from tests.reference.plans import COMPARTMENTS, NUCLEI, PIXELWISE, WATERSHED, plan_of
from tests.reference.watershed_maps import maps_of
from tests.reference.whole import by_first_pixel

SHAPE = (170, 75)
RELEASE = {"whole-cell": (0.075, 0.2), "nuclear": (0.1, 0.2)}
"""Constants of ``deepcell/applications/mesmer.py`` since June 2022."""
each_compartment = pytest.mark.parametrize("compartment", RELEASE)


def two_maps():
    """Return maps (8, Y, X): groups of cells with background between them, and others for the nuclei."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    maps = np.concatenate([maps_of(SHAPE, seed, sparse=True, sigma=1.0) for seed in (3, 4)])
    apart = ((y % 40 > 7) & (x % 30 > 5)).astype(np.float32)
    maps[[0, 1, 4, 5]] *= apart
    return maps


def plan_for(compartment):
    options = Segmentation(compartment=compartment, watershed_thresholds="release", min_size=4)
    return plan_of(SHAPE, SHAPE, options, COMPARTMENTS)


def expected(maps, compartment):
    distance, interior = maps[[0, 1]] if compartment == "whole-cell" else maps[[4, 5]]
    return by_first_pixel(deep_watershed(distance, interior, *RELEASE[compartment], min_size=4))


@each_compartment
def test_rows_of_any_number_give_the_published_cells_of_the_compartment(compartment):
    maps, plan = two_maps(), plan_for(compartment)
    truth = expected(maps, compartment)
    assert truth.max() > 5
    for height in (1, 7, 64, 1000):
        parts = (maps[:, top : top + height] for top in range(0, SHAPE[0], height))
        found = np.concatenate(list(FAMILY.label_rows(parts, plan, CellTableBuilder())))
        np.testing.assert_array_equal(found, truth, err_msg=f"{height} rows")


@each_compartment
@pytest.mark.parametrize("height", [7, 64, 1000])
def test_blocks_are_the_rows_of_the_whole(compartment, height):
    maps, plan, blocks = two_maps(), plan_for(compartment), []
    for first in range(0, SHAPE[0], height):
        core = first, min(SHAPE[0], first + height)
        read = rows_to_read(plan, core, halo=70)
        blocks.append(FAMILY.label_block(maps[:, slice(*read)], plan, core, read))
    gathered = gather(blocks)
    found = np.concatenate([gathered.labels(block) for block in blocks])
    np.testing.assert_array_equal(found, expected(maps, compartment))


def test_the_two_compartments_and_their_thresholds_differ():
    maps = two_maps()
    assert (expected(maps, "whole-cell") != expected(maps, "nuclear")).any()
    assert {name: watershed_thresholds("release", name) for name in RELEASE} == RELEASE
    assert {watershed_thresholds("paper", name) for name in RELEASE} == {(0.1, 0.3)}
    assert watershed_thresholds("0.05,0.4", "nuclear") == (0.05, 0.4)


def test_the_cached_maps_of_an_interrupted_run_serve_both_compartments():
    chosen = [Options(Segmentation(compartment=name)) for name in RELEASE]
    cells, nuclei = (maps_origin("image", "network", "CPU", options) for options in chosen)
    assert cells == nuclei
    cells, nuclei = (labels_origin("image", "network", "CPU", options) for options in chosen)
    assert cells != nuclei


class Both:
    """A network for images of discs: whole cells in the first channel, nuclei in the second."""

    contract = dataclasses.replace(COMPARTMENTS, channels="green-blue")
    gpu_memory = None
    count = 1

    def maps(self, tiles):
        heads = [[grey, grey, 0 * grey, 1 - grey] for grey in (tiles[:, :1], tiles[:, 1:])]
        return np.concatenate([*heads[0], *heads[1]], axis=1).astype(np.float32)


def test_an_image_from_pixels_to_cells_or_nuclei():
    y, x = np.mgrid[:150, :100]
    radius = np.hypot(y % 50 - 25, x % 50 - 25)
    cells, nuclei = (np.maximum(0, size - radius) / size for size in (20, 10))
    nuclei[50:] = 0
    image = np.stack([250 * cells, 250 * nuclei]).astype(np.uint8)
    whole = flowmask.segment(image, Both(), diameter=30)
    inner = flowmask.segment(image, Both(), diameter=30, compartment="nuclear")
    assert (len(whole.cells), len(inner.cells)) == (6, 2)
    assert inner.cells.area.max() < whole.cells.area.min()
    assert (whole.labels[inner.labels > 0] > 0).all()
    np.testing.assert_array_equal(
        flowmask.segment(image, Both(), diameter=30, compartment="whole-cell").labels, whole.labels
    )


def test_a_network_without_heads_for_nuclei_is_refused():
    check_options(COMPARTMENTS, Segmentation(compartment="nuclear"))
    with pytest.raises(
        SettingsError, match=r"`compartment='nuclear'` needs a network with heads .* leave out the option"
    ):
        check_options(WATERSHED, Segmentation(compartment="nuclear"))
    with pytest.raises(SettingsError, match=r"`compartment='both'` needs a network with heads .* leave out the option"):
        check_options(WATERSHED, Segmentation(compartment="both"))
    with pytest.raises(SettingsError, match="`compartment='all'` is unknown; give one of whole-cell, nuclear, both"):
        Segmentation(compartment="all")


@pytest.mark.parametrize(
    "heads",
    [
        (*NUCLEI, *PIXELWISE),
        (*PIXELWISE, Head("a", 1), Head("b", 3)),
        (*PIXELWISE, *NUCLEI[:1]),
        (Head("pixelwise", 3), Head("inner_distance", 1)),
    ],
)
def test_other_heads_are_refused_and_not_taken_for_these(heads):
    with pytest.raises(NetworkError, match=r"the network 'fake' has the heads .* export it again"):
        check_options(dataclasses.replace(WATERSHED, heads=heads), Segmentation())
