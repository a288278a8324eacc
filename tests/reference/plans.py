"""Plans of images that no network has seen, for tests of what comes after the network."""

import dataclasses

import numpy as np

from flowmask.network.contract import Contract, Head
from flowmask.options import Segmentation
from flowmask.tiles.grid import tile_grid
from flowmask.tiles.plan import ImagePlan

FLOW = Contract("fake", "rgb", 30.0, 30.0, False, "BSD-3-Clause", "nothing")
SEMANTIC = Contract(
    "fake", "rgb", 30.0, 25.0, False, "BSD-3-Clause", "nothing", family="semantic", heads=(Head("logits", 1),)
)

PIXELWISE = (Head("inner_distance", 1), Head("pixelwise", 3))
BORDERED = Contract(
    "fake",
    "rgb",
    30.0,
    25.0,
    False,
    "BSD-3-Clause",
    "nothing",
    family="semantic",
    heads=(Head("pixelwise", 3),),
)
WATERSHED = Contract("fake", "rgb", 30.0, 25.0, False, "BSD-3-Clause", "nothing", family="watershed", heads=PIXELWISE)
NUCLEI = (Head("nuclear_inner_distance", 1), Head("nuclear_pixelwise", 3))
COMPARTMENTS = dataclasses.replace(WATERSHED, heads=(*PIXELWISE, *NUCLEI))

BOXES = Contract(
    "fake", "rgb", 30.0, 25.0, False, "BSD-3-Clause", "nothing", multiple=32, family="boxes",
    heads=(Head("detections", 13, record=8),),
)  # fmt: skip


def plan_of(network_shape, shape, options=Segmentation(), contract=FLOW, threads=1):  # noqa: B008 (frozen)
    """Return the plan of an image of ``shape`` that has ``network_shape`` in network pixels."""
    rows, columns = (tile_grid(length, contract.tile, contract.grain, contract.record) for length in network_shape)
    diameter = contract.mean_diameter * shape[0] / network_shape[0]
    channels, ranges = ((0,), (0,), (0,)), np.array([[0, 1]] * 3, float)
    return ImagePlan(contract, options, shape, diameter, channels, ranges, rows, columns, 1, threads)
