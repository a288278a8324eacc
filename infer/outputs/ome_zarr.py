"""Labels as OME-Zarr 0.5, with a pyramid if the image is large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..labels.store import Integers
from ..system.atomic_write import atomic_folder
from .pyramid import TILE, Pyramid

ENDING = "_labels.ome.zarr"
NAME = "cells"
"""The label image's name in the group ``labels``."""
VERSION = "0.5"
LEVEL = 1
"""Compression level of zstd. Labels become smaller than at zarr's default level, in less time."""


@contextmanager
def write_ome_zarr(path: Path, pyramid: Pyramid) -> Iterator[Pyramid]:
    """Write labels as a folder in the format OME-Zarr 0.5 with the package zarr. Raises OutputError if that fails.

    The label image is ``labels/cells`` in it, as in the OME-Zarr of an image, so that it can be moved into one. A
    band of tiles is one file (a shard): a slide has 20 to sync to disk, and not 400.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    subject = pyramid.subject
    with atomic_folder(path) as partial:
        zarr.create_group(partial, zarr_format=3, attributes=_ome())
        zarr.create_group(partial / "labels", zarr_format=3, attributes=_ome(labels=[NAME]))
        levels = len(pyramid.shapes)
        group = zarr.create_group(
            partial / "labels" / NAME,
            zarr_format=3,
            attributes=_ome(**label_metadata(subject.name, levels, subject.sides)),
        )
        arrays = [
            group.create_array(
                str(level),
                shape=shape,
                chunks=(TILE, TILE),
                shards=(TILE, -(-shape[1] // TILE) * TILE),
                dtype=pyramid.dtype,
                compressors=ZstdCodec(level=LEVEL),
                fill_value=0,
                config={"write_empty_chunks": True},  # the search for them takes as long as the compression
                dimension_names=("y", "x"),
            )
            for level, shape in enumerate(pyramid.shapes)
        ]

        def write(level: int, top: int, band: Integers) -> None:
            arrays[level][top : top + len(band)] = band

        pyramid.give_to(write)
        yield pyramid


def label_metadata(name: str, levels: int, sides: tuple[float, float] | None) -> dict[str, Any]:
    """Return the metadata of a label image, as https://ngff.openmicroscopy.org/0.5 defines them.

    sides: height and width of a pixel in micrometres. Positions are those of the pixels that a level has, so a level
    has a scale and no translation.

    >>> metadata = label_metadata("a", 2, (0.5, 0.5))
    >>> [level["coordinateTransformations"] for level in metadata["multiscales"][0]["datasets"]]
    [[{'type': 'scale', 'scale': [0.5, 0.5]}], [{'type': 'scale', 'scale': [1.0, 1.0]}]]
    """
    unit = {"unit": "micrometer"} if sides else {}
    height, width = sides or (1.0, 1.0)
    scales = [{"type": "scale", "scale": [height * 2**level, width * 2**level]} for level in range(levels)]
    multiscale = {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in "yx"],
        "datasets": [{"path": str(level), "coordinateTransformations": [scale]} for level, scale in enumerate(scales)],
        "type": "nearest",
    }
    return {"image-label": {"source": {"image": "../../"}}, "multiscales": [multiscale]}


def _ome(**content: Any) -> dict[str, Any]:
    return {"ome": {"version": VERSION, **content}}
