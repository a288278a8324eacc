"""Flowmask with spatialdata, sopa and squidpy: an example of three functions.

    pip install "flowmask[zarr]" spatialdata sopa

    sdata = spatialdata.read_zarr("slide.zarr")
    add_cells(sdata, "he", diameter=30)     # the whole image, read in windows; no patches, and no seams between them
    sopa.aggregate(sdata)                   # the mean intensity of every channel in every cell, as sdata["table"]

If the labels are there already, as `flowmask segment slide.svs -o out --save zarr` writes them:

    sdata["cells"] = labels_of("out/slide_labels.ome.zarr")

Where sopa cuts the patches itself, Flowmask is one of its methods:

    sopa.make_image_patches(sdata, patch_width=2000, patch_overlap=100)
    sopa.segmentation.custom_staining_based(
        sdata, patch_method(diameter=30), channels=["DAPI"], clip_limit=0, gaussian_sigma=0
    )
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import sopa.utils
import spatialdata
import zarr
from spatialdata.models import Labels2DModel
from spatialdata.transformations import get_transformation

import flowmask


def add_cells(sdata: spatialdata.SpatialData, image: str, key: str = "cells", **options: Any) -> flowmask.Result:
    """Segment an image of a dataset; add the labels as ``key`` and their outlines as ``key_boundaries``.

    options: those of `flowmask.segment`, such as diameter=30 or channels=("DAPI",) by number or name.
    """
    element = sdata[image]
    full = next(iter(spatialdata.get_pyramid_levels(element))) if hasattr(element, "children") else element
    result = flowmask.segment(full.transpose("c", "y", "x").data, axes="CYX", **options)
    place = get_transformation(element, get_all=True)
    sdata[key] = Labels2DModel.parse(result.labels, dims=("y", "x"), transformations=place)
    sdata[f"{key}_boundaries"] = spatialdata.to_polygons(sdata[key])
    sopa.utils.set_boundaries_attrs(sdata, f"{key}_boundaries")
    return result


def labels_of(folder: str | Path) -> Any:
    """Return the labels (y, x) of a folder NAME_labels.ome.zarr as an element of spatialdata, read in windows.

    They lie in px, as the image of the slide does; `spatialdata.read_zarr` itself opens only its own folders.
    """
    pixels = dask.array.from_zarr(zarr.open_group(folder, mode="r")["labels/cells/0"])
    return Labels2DModel.parse(pixels, dims=("y", "x"))


def patch_method(**options: Any) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.int32]]:
    """Return a method for sopa: from a patch (C, Y, X) to its labels (Y, X). options: as in `add_cells`."""
    network = flowmask.load_network()
    return lambda patch: flowmask.segment(patch, network, axes="CYX", **options).labels
