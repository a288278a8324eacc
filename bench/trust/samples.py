"""Small files of every format, layout and compression that the engine reads, for the tests with damaged files."""

from __future__ import annotations

import io
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from bench.trust.encode import bmp, bmp_rows, png, tiff, tiff_tags

HEIGHT, WIDTH = 29, 37
COMPRESSIONS = (
    "none", "zlib", "lzw", "packbits", "lzma", "zstd", "lerc", "png", "webp", "jpeg", "jpeg2000", "jpegxl", "jpegxr",
)  # fmt: skip
LAYOUTS: dict[str, dict[str, Any]] = {"strips": {"rowsperstrip": 8}, "tiles": {"tile": (16, 16)}}


def samples() -> dict[str, bytes]:
    """Return the files by name; the first word of a name is the format."""
    random = np.random.default_rng(23)
    colour = cv2.GaussianBlur(random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 2)
    grey, deep = colour[..., 0], colour[..., 1].astype(np.uint16) * 200
    return {**_pictures(colour, grey, deep), **_tiffs(colour, grey, deep)}


def _pictures(colour: npt.NDArray[Any], grey: npt.NDArray[Any], deep: npt.NDArray[Any]) -> dict[str, bytes]:
    palette = np.arange(256, dtype=np.uint8).repeat(3).tobytes()
    blue_first = colour[..., ::-1].reshape(HEIGHT, -1)
    quads = np.arange(256, dtype=np.uint32).astype("<u4").tobytes()
    runs = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in grey) + b"\0\1"
    pillow = Image.fromarray(colour)
    return {
        "PNG grey": png(grey[..., None], 8, 0),
        "PNG colour": png(colour, 8, 2),
        "PNG 16 bits": png(deep[..., None], 16, 0),
        "PNG interlaced": png(colour, 8, 2, interlaced=True),
        "PNG palette": png(grey[..., None], 8, 3, palette=palette),
        "PNG alpha": png(np.dstack([grey, grey]), 8, 4),
        "PNG 1 bit": png(grey[..., None] >> 7, 1, 0),
        "JPEG colour": _saved(pillow, "JPEG", quality=90),
        "JPEG grey": _saved(pillow.convert("L"), "JPEG"),
        "JPEG progressive": _saved(pillow, "JPEG", progressive=True),
        "JPEG CMYK": _saved(pillow.convert("CMYK"), "JPEG"),
        "BMP colour": bmp(bmp_rows(blue_first, 8), WIDTH, HEIGHT, 24),
        "BMP from the top": bmp(bmp_rows(blue_first, 8), WIDTH, -HEIGHT, 24),
        "BMP palette": bmp(bmp_rows(grey, 8), WIDTH, HEIGHT, 8, quads),
        "BMP runs": bmp(runs, WIDTH, HEIGHT, 8, quads, compression=1),
        "BMP old": bmp(bmp_rows(blue_first, 8), WIDTH, HEIGHT, 24, old=True),
    }


def _tiffs(colour: npt.NDArray[Any], grey: npt.NDArray[Any], deep: npt.NDArray[Any]) -> dict[str, bytes]:
    rgb: dict[str, Any] = {"photometric": "rgb"}
    channels = np.stack([deep, deep // 2, deep // 3])
    made = {
        f"TIFF {compression} {name}": _written(
            colour, compression=None if compression == "none" else compression, **rgb, **layout
        )
        for compression in COMPRESSIONS
        for name, layout in LAYOUTS.items()
    }
    pyramid = io.BytesIO()
    with tifffile.TiffWriter(pyramid) as writer:
        writer.write(colour, subifds=1, tile=(16, 16), compression="zlib", **rgb)
        writer.write(colour[::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib", **rgb)
    colours = np.arange(768, dtype=np.uint16).reshape(3, 256)
    bits = np.packbits(grey > 99, axis=1)
    return made | {
        "TIFF grey": _written(grey),
        "TIFF big-endian": _written(deep, byteorder=">", compression="zlib", predictor=2),
        "TIFF big": _written(deep, bigtiff=True, compression="lzw"),
        "TIFF float": _written(deep.astype(np.float32), compression="zlib", predictor=3),
        "TIFF planar": _written(colour.transpose(2, 0, 1), planarconfig="separate", rowsperstrip=8, **rgb),
        "TIFF palette": _written(grey, photometric="palette", colormap=colours),
        "TIFF CMYK": _written(np.dstack([colour, grey]), photometric="separated", compression="lzw"),
        "TIFF white": _written(grey, photometric="miniswhite"),
        "TIFF OME": _written(channels, ome=True, metadata={"axes": "CYX"}, compression="zlib"),
        "TIFF ImageJ": _written(channels, imagej=True, metadata={"axes": "CYX"}),
        "TIFF pyramid": pyramid.getvalue(),
        "TIFF 12 bits": _written(deep >> 4, bitspersample=12),
        "TIFF fax": tiff([_fax(grey > 99)], tiff_tags(HEIGHT, WIDTH, 1, compression=4)),
        "TIFF 1 bit": tiff([bits.tobytes()], tiff_tags(HEIGHT, WIDTH, 1)),
        "TIFF odd tiles": tiff(
            [
                zlib.compress(grey[y : y + 10, x : x + 37].tobytes().ljust(370, b"\0"))
                for y in (0, 10, 20)
                for x in (0,)
            ],
            tiff_tags(HEIGHT, WIDTH, 8, compression=8, tile=(10, 37)),
        ),
    }


def _written(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _fax(pixels: npt.NDArray[np.bool_]) -> bytes:
    """Return the strip of a fax file that Pillow writes."""
    data = _saved(Image.fromarray(pixels), "TIFF", compression="group4")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        return data[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]
