"""What `flowmask info` prints about a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import printable
from ..options import in_command_words
from .readers import open_stacks
from .stack import naming


def describe_file(path: Path) -> dict[str, Any]:
    """Return what is understood of a file, as values that JSON can store. Raises the errors of `open_image`.

    Only the first plane of the first frame of the first position is opened.

    >>> import numpy, tifffile
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", numpy.zeros((50, 60), "u1"), resolution=(2e4, 2e4), resolutionunit=3)
    ...     found = describe_file(Path(folder, "a.tif"))
    >>> found["height"], found["width"], found["dtype"], found["pixel_size_um"]
    (50, 60, 'uint8', 0.5)
    """
    stacks = open_stacks(path)
    axes, info = stacks[0].axes, stacks[0].info
    with naming(path):
        image = stacks[0].image((0,) * len(axes.frames), 0)
    channels, height, width = image.shape
    return {
        "file": str(path),
        "format": info.file_type,
        "height": height,
        "width": width,
        "dtype": str(image.dtype),
        "axes": info.axes,
        "channels": channels,
        "channel_names": list(info.channel_names),
        "planes": axes.planes,
        "positions": [stack.info.name for stack in stacks] if len(stacks) > 1 else [],
        "frames": [axes.letters[axis] + str(axes.shape[axis]) for axis in axes.frames],
        "pixel_size_um": info.pixel_size_um,
        "pixel_sides_um": info.pixel_sides_um,
        "levels": [list(level) for level in info.levels],
        "nodata": info.nodata,
        "notes": [in_command_words(note) for note in info.notes],
    }


def in_words(found: dict[str, Any]) -> str:
    """Return the lines that describe a file, from the result of `describe_file`.

    >>> found = {"file": "a.tif", "format": "TIFF", "dtype": "uint8", "width": 60, "height": 50, "axes": "YX"}
    >>> found |= {"channels": 1, "channel_names": [], "pixel_size_um": 0.5, "planes": 1, "positions": []}
    >>> print(in_words(found | {"frames": [], "levels": [], "notes": []}))
    a.tif
      format      TIFF, uint8
      size        60 x 50 px
      axes        YX
      channels    1, without names
      pixel size  0.5 um
    """
    names = ", ".join(printable(name) for name in found["channel_names"])
    size, sides = found["pixel_size_um"], found.get("pixel_sides_um")
    side = f"{sides[1]:g} x {sides[0]:g} um (width x height)" if sides else f"{size:g} um" if size else "unknown"
    lines = [
        printable(found["file"]),
        f"  format      {found['format']}, {found['dtype']}",
        f"  size        {found['width']:,} x {found['height']:,} px",
        f"  axes        {found['axes']}",
        f"  channels    {found['channels']}{f' ({names})' if names else ', without names'}",
        f"  pixel size  {side}",
    ]
    if found["planes"] > 1:
        lines.append(f"  planes      {found['planes']} (choose with --plane or --project)")
    if found["frames"]:
        lines.append(f"  series      {', '.join(found['frames'])}")
    if found["positions"]:
        named = (f"p{number:03} {printable(name)}".strip() for number, name in enumerate(found["positions"], 1))
        lines.append(f"  positions   {', '.join(named)}; the lines above are about the first")
    if len(found["levels"]) > 1:
        lines.append("  levels      " + ", ".join(f"{width:,} x {height:,}" for height, width in found["levels"]))
    return "\n".join(lines + [f"  note        {note}" for note in found["notes"]])
