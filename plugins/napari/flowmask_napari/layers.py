"""From an image layer to the engine's image, from its result to a layer of labels, from both to a pair on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from napari.layers import Image, Labels

import flowmask
from flowmask.options import micrometres, parse_channels
from flowmask.system.atomic_write import atomic_write, make_folder

LABEL_LIKE = re.compile(r"_(labels?|(cp_)?masks?|seg)$")
"""Endings by which `flowmask train` recognises a label file, so an image must not have them."""
MICROMETRES = ("micrometer", "micrometre", "um", "µm", "micron")


def shown(layer: Image | Labels, point: Sequence[float], as_channels: bool = False) -> tuple[Any, str]:
    """Return the pixels of a layer, as they are stored, and the letters of their axes: YX, YXC or CYX.

    point: where the viewer's sliders stand, in world coordinates; of a stack, the plane there is returned. as_channels:
    the planes of a stack (n, Y, X) are the channels of one image instead. Transparency is left out. Raises
    flowmask.ImageError if there are several stacks of channels.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    rgb = isinstance(layer, Image) and layer.rgb
    stack = layer.ndim - 2
    if as_channels and stack and not rgb:
        if stack > 1:
            raise flowmask.ImageError(
                f"{layer.name}: it has {stack} axes beside Y and X, and one can be channels; choose the plane shown."
            )
        return data, "CYX"
    place = np.rint(layer.world_to_data(point)[:stack]).astype(int)
    plane = data[tuple(int(at) for at in np.clip(place, 0, np.array(data.shape[:stack]) - 1))]
    return (plane[..., :3], "YXC") if rgb else (plane, "YX")


def segmentation(diameter: str, channels: str, layer: Image | None = None) -> flowmask.Segmentation:
    """Return the options for the texts of the widget; an empty text is the default. Raises flowmask.SettingsError.

    A diameter in micrometres is converted with the pixel size of the layer, if that is known.

    >>> segmentation("30", "2, DAPI").channels
    (2, 'DAPI')
    """
    try:
        chosen = parse_channels(channels) if channels.strip() else None
    except ValueError as error:
        raise flowmask.SettingsError(
            f"{channels}: these are no channels ({error}); give numbers or names, such as 1,2."
        ) from error
    size = None if layer is None or micrometres(diameter) is None else pixel_size(layer)
    return flowmask.Segmentation(diameter=_diameter(diameter.strip()), channels=chosen, pixel_size=size)


def _diameter(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text or None  # the record of options judges it


def pixel_size(layer: Image) -> float | None:
    """Return the micrometres per px of a layer; None if its unit is no micrometre."""
    return float(layer.scale[-1]) if str(layer.units[-1]) in MICROMETRES else None


def placed_like(layer: Image) -> dict[str, Any]:
    """Return the properties of a layer of labels (Y, X) that lies on an image layer."""
    whole = {"affine": layer.affine, "rotate": layer.rotate, "shear": layer.shear} if layer.ndim == 2 else {}
    return {"scale": layer.scale[-2:], "translate": layer.translate[-2:], "units": layer.units[-2:], **whole}


def measured(cells: flowmask.CellTable) -> dict[str, npt.NDArray[Any]]:
    """Return the table of features of a layer of labels, which napari shows for the cell under the pointer."""
    return {
        "index": cells.label,
        "area": cells.area,
        "probability": cells.probability,
        "flow_error": cells.flow_error,
    }


def in_words(result: flowmask.Result) -> str:
    """Return number of cells, diameter and verdict of a result, its warnings and notes, a line each."""
    verdict, count = result.verdict, len(result.cells)
    reasons = f": {'; '.join(verdict.reasons)}" if verdict.reasons else ""
    first = f"{count} cell{'s' * (count != 1)}, diameter {result.diameter:.1f} px, verdict: {verdict.level}{reasons}"
    return "\n".join([first, *(f"warning: {text}" for text in result.warnings), *result.notes])


def save_pair(folder: Path, name: str, pixels: Any, axes: str, labels: Any) -> Path:
    """Write NAME.tif and NAME_label.tif as `flowmask train` reads them, and return the path of the image.

    pixels, axes: as `shown` returns them. labels: (Y, X). The labels of an image that was saved before are replaced.
    Raises flowmask.ImageError if labels and image differ in size, and flowmask.OutputError if a file cannot be written
    or another image has this name.
    """
    pixels, labels = np.asarray(pixels), np.asarray(labels)
    size = tuple(length for length, axis in zip(pixels.shape, axes, strict=True) if axis != "C")
    if labels.shape != size:
        raise flowmask.ImageError(
            f"{name}: the image has {_by(size)} px and the labels have {_by(labels.shape)}; choose its own labels."
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int32).max:
        raise flowmask.ImageError(f"{name}: labels must be from 0 to 2,147,483,647; give the cells other numbers.")
    image = folder / f"{file_name(name)}.tif"
    if image.exists() and not np.array_equal(tifffile.imread(image), pixels):
        raise flowmask.OutputError(f"{image}: another image has this name; rename the layer, or choose a folder.")
    make_folder(folder)
    photometric = "rgb" if axes == "YXC" else "minisblack"
    with atomic_write(image) as partial:
        tifffile.imwrite(partial, pixels, photometric=photometric, compression="zlib", metadata={"axes": _stored(axes)})
    with atomic_write(image.with_name(f"{image.stem}_label.tif")) as partial:
        tifffile.imwrite(partial, labels.astype(np.int32), compression="zlib")
    return image


def file_name(layer: str) -> str:
    """Return the name of a layer as the name of a file, without what would make it a label file or a hidden one.

    >>> file_name("week 2: cells"), file_name("a_mask"), file_name("__a")
    ('week_2_cells', 'a_mask_image', 'a')
    """
    name = re.sub(r"[^\w.-]+", "_", layer).lstrip("._") or "image"
    return f"{name}_image" if LABEL_LIKE.search(name) else name


def _stored(axes: str) -> str:
    """Return the letters of axes as tifffile writes them: S is the colour of a pixel."""
    return axes.replace("YXC", "YXS")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
