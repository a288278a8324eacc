"""The network's maps to instances: follow the flows, label the sinks, keep the good cells."""

from __future__ import annotations

from infer.blend import Array
from infer.flows import Labels
from infer.follow import STEPS, follow, inner_field
from infer.masks import keep_good, label_ends
from infer.rescale import positions
from infer.settings import Settings


def instances(maps: Array, shape: tuple[int, int], settings: Settings) -> tuple[Labels, int]:
    """Return the labels (Y, X) int32 at source resolution ``shape`` and the number of cells.

    maps (3, y, x) float32 at network resolution, as `infer.pipeline.network_maps` returns them.
    """
    rows = positions(0, shape[0], shape[0], maps.shape[1])
    columns = positions(0, shape[1], shape[1], maps.shape[2])
    field = inner_field(maps, settings.cellprob_threshold)
    ends = follow(maps, field, rows, columns, settings.cellprob_threshold, STEPS)
    area = maps.shape[1] * maps.shape[2] / (shape[0] * shape[1])
    labels = label_ends(ends, (maps.shape[1], maps.shape[2]), area)
    cells = keep_good(labels, maps, rows, columns, settings.flow_threshold, settings.min_size)
    return labels, cells
