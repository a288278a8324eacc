"""A cell for each kind of pixels, layout and encoding: the pixels that were stored, or one sentence and the way out."""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from bench.trust.encode import bmp, bmp_rows, packed, png, tiff, tiff_tags
from flowmask.errors import ImageError
from flowmask.images.readers import open_image

RNG = np.random.default_rng(17)
HEIGHT, WIDTH = 37, 53
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
FIRST = COLOUR.transpose(2, 0, 1)
ALPHA = RNG.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
SMOOTH = cv2.normalize(cv2.GaussianBlur(COLOUR, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
LAYOUTS = {"strip": {}, "strips": {"rowsperstrip": 8}, "tiles": {"tile": (16, 32)}}
BYTES = {"little": {"byteorder": "<"}, "big": {"byteorder": ">"}, "bigtiff": {"bigtiff": True}}


def read(path):
    image = open_image(path)
    pixels = image.read(0, 0, *image.shape[1:])
    assert pixels.shape == image.shape
    assert pixels.dtype == image.dtype
    return pixels


def assert_reads(path, expected):
    pixels = read(path)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


def assert_refused(path, reason):
    with pytest.raises(ImageError, match=f"{path.name}: .*{reason}"):
        read(path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.tif"


def extremes(dtype):
    """Random values over the whole range of a type, its ends among them; what is not finite for floats."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = RNG.normal(size=(HEIGHT, WIDTH)).astype(kind)
        values[:5, 0] = np.nan, np.inf, -np.inf, np.finfo(kind).max, np.finfo(kind).tiny
        return values
    if kind.kind == "b":
        return GREY > 99
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    values = RNG.integers(low, high, (HEIGHT, WIDTH), kind, endpoint=True)
    values[:2, 0] = low, high
    return values


DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", BYTES)
@pytest.mark.parametrize("dtype", DTYPES + FLOATS)
def test_every_type_in_every_layout(file, dtype, order, layout):
    pixels = extremes(dtype)
    for compression in (None, "zlib"):
        options = {**LAYOUTS[layout], **BYTES[order], "compression": compression, "photometric": "minisblack"}
        tifffile.imwrite(file, pixels, **options)
        assert_reads(file, pixels[None])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_complex_numbers_are_refused(file, dtype, layout):
    tifffile.imwrite(file, GREY.astype(dtype), **LAYOUTS[layout])
    assert_refused(file, f"pixels of type {dtype} cannot be segmented; save the image as integers or floats")


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14, 24])
def test_packed_bits(file, bits):
    pixels = RNG.integers(0, 2**bits, (HEIGHT, WIDTH)).astype(np.uint8 if bits <= 8 else "u2" if bits <= 16 else "u4")
    if bits == 1:
        pixels = pixels.astype(bool)
        tifffile.imwrite(file, pixels, photometric="minisblack")
    else:
        tifffile.imwrite(file, pixels, photometric="minisblack", bitspersample=bits)
    assert_reads(file, pixels[None])


def channels(count):
    return RNG.integers(0, 60000, (count, HEIGHT, WIDTH)).astype(np.uint16)


MANY = {
    "OME": ({"ome": True, "metadata": {"axes": "CYX"}}, False),
    "OME, tiles": ({"ome": True, "metadata": {"axes": "CYX"}, "tile": (16, 32), "compression": "zlib"}, False),
    "ImageJ": ({"imagej": True, "metadata": {"axes": "CYX"}}, False),
    "planar": ({"photometric": "minisblack", "planarconfig": "separate"}, False),
    "planar tiles": ({"photometric": "minisblack", "planarconfig": "separate", "tile": (16, 32)}, False),
    "interleaved": ({"photometric": "minisblack", "planarconfig": "contig"}, True),
    "interleaved tiles": ({"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 32)}, True),
}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 60])
@pytest.mark.parametrize("kind", MANY)
def test_channels_first_and_last(file, kind, count):
    pixels, (options, last) = channels(count), MANY[kind]
    tifffile.imwrite(file, pixels.transpose(1, 2, 0) if last else pixels, **options)
    assert_reads(file, pixels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("base", "extra", "channels"),
    [
        (1, ["unassalpha"], [0]),
        (1, ["assocalpha"], [0]),
        (1, ["unspecified"], [0, 1]),
        (3, [], [0, 1, 2]),
        (3, ["unassalpha"], [0, 1, 2]),
        (3, ["assocalpha"], [0, 1, 2]),
        (3, ["unspecified", "unassalpha"], [0, 1, 2, 3]),
        (3, ["unassalpha", "unspecified"], [0, 1, 2, 4]),
    ],
)
def test_alpha_is_left_out_and_nothing_else(file, base, extra, channels, planar, layout):
    pixels = np.concatenate([FIRST[:base], ALPHA[None], 255 - ALPHA[None]])[: base + len(extra)]
    photometric = "minisblack" if base == 1 else "rgb"
    stored = pixels.transpose(1, 2, 0) if planar == "contig" else pixels
    options = {"photometric": photometric, "planarconfig": planar, "extrasamples": extra, **LAYOUTS[layout]}
    tifffile.imwrite(file, stored, **options)
    assert_reads(file, pixels[channels])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_white_that_is_zero(file, dtype):
    pixels = extremes(dtype)
    tifffile.imwrite(file, pixels, photometric="miniswhite")
    assert_reads(file, (np.invert(pixels) if dtype in (np.uint8, np.uint16) else pixels)[None])


def test_a_page_that_does_not_say_what_zero_is_has_black_there(file):
    tags = tiff_tags(HEIGHT, WIDTH, 8)
    del tags[262]
    file.write_bytes(tiff([GREY.tobytes()], tags))
    assert_reads(file, GREY[None])


@pytest.mark.parametrize("depth", [1, 4, 8])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_palettes(file, depth, tile):
    colours = RNG.integers(0, 65536, (3, 2**depth)).astype(np.uint16)
    indices = RNG.integers(0, 2**depth, (HEIGHT, WIDTH))
    tags = tiff_tags(HEIGHT, WIDTH, depth, photometric=3, tile=tile) | {320: (3, colours.ravel().tolist())}
    file.write_bytes(tiff([packed(part, depth) for part in cut(indices, tile)], tags))
    assert_reads(file, colours[:, indices])


def test_inks_become_the_colours_that_pillow_makes_of_them(file):
    inks = RNG.integers(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")).transpose(2, 0, 1)
    for planar in ("contig", "separate"):
        stored = inks if planar == "contig" else inks.transpose(2, 0, 1)
        tifffile.imwrite(file, stored, photometric="separated", planarconfig=planar, compression="lzw")
        assert abs(read(file).astype(int) - expected).max() <= 1
    tifffile.imwrite(file, inks.astype(np.uint16) * 257, photometric="separated")
    assert abs(read(file) / 257 - expected).max() <= 1
    tifffile.imwrite(file, np.dstack([inks, ALPHA]), photometric="separated", extrasamples=["unassalpha"])
    assert abs(read(file).astype(int) - expected).max() <= 1


def test_inks_that_are_not_those_of_print_are_channels(file):
    inks = channels(4)
    tifffile.imwrite(file, inks.transpose(1, 2, 0), photometric="separated", extratags=[(332, 3, 1, 2, True)])
    assert_reads(file, inks)


@pytest.mark.parametrize("name", ["cielab", "ycbcr", "logl", "cfa", "mask", "separated"])
def test_colours_without_a_meaning_here_are_refused(file, name):
    count = {"logl": 1, "cfa": 1, "mask": 1, "separated": 4}.get(name, 3)
    pixels = GREY if count == 1 else np.dstack([COLOUR, ALPHA])[..., :count]
    pixels = pixels.astype(np.float32) if name == "separated" else pixels
    tifffile.imwrite(file, pixels, photometric=name)
    assert_refused(file, rf"its colours \({name.upper()}\) cannot be read; save it as grey or RGB")


@pytest.mark.parametrize("axes", ["".join(order) + "YX" for order in itertools.permutations("TCZ")])
def test_ome_axes_in_any_order(file, axes):
    pixels = channels(3)
    tifffile.imwrite(file, pixels.reshape([3 if axis == "C" else 1 for axis in axes[:3]] + [HEIGHT, WIDTH]), ome=True,
                     metadata={"axes": axes}, photometric="minisblack")  # fmt: skip
    assert_reads(file, pixels)


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CZYX", "TCYX", "ZYXS"])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_stacks_are_refused_with_the_way_out(file, axes, kind):
    shape = [{"Y": HEIGHT, "X": WIDTH, "C": 2, "S": 3}.get(axis, 4) for axis in axes]
    stack = np.zeros(shape, np.uint8)
    if kind == "imagej":
        stack, axes = (stack.transpose(1, 0, 2, 3), "ZCYX") if axes == "CZYX" else (stack, axes)
    tifffile.imwrite(file, stack, **{kind: True}, metadata={"axes": axes})
    assert_refused(file, "(stack|series) of .*choose one with `plane`")


def test_pages_of_one_size_and_pages_of_two(file):
    with tifffile.TiffWriter(file) as writer:
        for _ in range(5):
            writer.write(GREY, contiguous=False, metadata=None)
    assert_refused(file, "stack of 5 planes.*choose one")
    with tifffile.TiffWriter(file) as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[:20], metadata=None)
    assert_refused(file, "it holds 2 images; save each as a file of its own")


def test_an_ome_file_whose_planes_lie_in_others_is_refused(tmp_path):
    pixels, parts = channels(2), [tmp_path / "a_0.ome.tif", tmp_path / "a_1.ome.tif"]
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in range(2)]
    where = "".join(
        f'<TiffData IFD="0" FirstC="{i}" PlaneCount="1"><UUID FileName="{part.name}">{uuids[i]}</UUID></TiffData>'
        for i, part in enumerate(parts)
    )
    for i, part in enumerate(parts):
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="2" SizeZ="1" SizeT="1">{where}</Pixels></Image></OME>'
        )
        tifffile.imwrite(part, pixels[i], description=xml.encode(), metadata=None, photometric="minisblack")
    assert_refused(parts[0], "it is part of a multi-file OME-TIFF")
    parts[1].unlink()
    assert_refused(parts[0], "multi-file OME-TIFF .*a_1.ome.tif")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pyramids_are_read_at_full_resolution(file, layout):
    with tifffile.TiffWriter(file, bigtiff=True) as writer:
        writer.write(COLOUR, photometric="rgb", subifds=1, **LAYOUTS[layout])
        writer.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1, **LAYOUTS[layout])
    assert_reads(file, FIRST)


def cut(pixels, tile):
    """Return the tiles of an image, filled up with zeros, or the image itself."""
    if tile is None:
        return [pixels]
    down, across = -(-HEIGHT // tile[0]), -(-WIDTH // tile[1])
    padded = np.pad(pixels, ((0, down * tile[0] - HEIGHT), (0, across * tile[1] - WIDTH)))
    return padded.reshape(down, tile[0], across, tile[1]).transpose(0, 2, 1, 3).reshape(-1, *tile)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [(16, 16), (7, 11), (40, 9), (1, 60), (64, 64), (37, 53)])
def test_tiles_of_any_size(file, tile, order):
    """The standard wants multiples of 16; files do not all know."""
    pixels = GREY.astype(np.uint16) * 3
    tiles = cut(pixels, tile)
    for compression in (1, 8):
        raw = [t.astype(f"{order}u2").tobytes() for t in tiles]
        segments = raw if compression == 1 else [zlib.compress(t) for t in raw]
        file.write_bytes(tiff(segments, tiff_tags(HEIGHT, WIDTH, 16, compression=compression, tile=tile), order))
        assert_reads(file, pixels[None])


def test_one_strip_of_more_rows_than_there_are(file):
    for rows in (2**32 - 1, HEIGHT + 1):
        file.write_bytes(tiff([GREY.tobytes()], tiff_tags(HEIGHT, WIDTH, 8, rows=rows)))
        assert_reads(file, GREY[None])
        tags = tiff_tags(HEIGHT, WIDTH, 8, rows=rows, compression=8)
        file.write_bytes(tiff([zlib.compress(GREY.tobytes())], tags))
        assert_reads(file, GREY[None])


EXACT = ["zlib", "deflate", "lzw", "packbits", "lzma", "zstd", "lerc", "png", "webp", "jpeg2000", "jpegxl", "jpegxr"]
NEAR = ["jpeg", "jpeg_2000_lossy"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", EXACT + NEAR)
def test_every_compression_that_is_read(file, compression, layout):
    tifffile.imwrite(file, SMOOTH, photometric="rgb", compression=compression, **LAYOUTS[layout])
    if compression in EXACT:
        assert_reads(file, SMOOTH.transpose(2, 0, 1))
    else:
        assert abs(read(file).astype(int) - SMOOTH.transpose(2, 0, 1)).mean() < 4


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax(file, compression):
    pixels = SMOOTH[..., 0] > 128
    Image.fromarray(pixels).save(file, compression=compression)
    assert_reads(file, pixels[None])


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("order", BYTES)
def test_predictors(file, predictor, order):
    pixels = extremes("float32" if predictor == 3 else "uint16")
    for compression in ("zlib", "lzw", "zstd"):
        tifffile.imwrite(file, pixels, compression=compression, predictor=predictor, **BYTES[order])
        assert_reads(file, pixels[None])


def test_a_compression_that_is_not_read_is_named(file):
    file.write_bytes(tiff([b"something"], tiff_tags(HEIGHT, WIDTH, 8, compression=32809)))
    assert_refused(file, "THUNDERSCAN")


def test_an_orientation_is_left_alone(tmp_path):
    """As in ImageJ, scikit-image and tifffile, on whose pixels the labels are to lie."""
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(274, 3, 1, 6, True)])
    assert_reads(tmp_path / "a.tif", GREY[None])
    plain, turned = io.BytesIO(), tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SMOOTH).save(plain, "JPEG", quality=95)
    Image.fromarray(SMOOTH).save(turned, quality=95, exif=exif)
    expected = np.asarray(Image.open(plain)).transpose(2, 0, 1)
    assert abs(read(turned).astype(int) - expected).max() <= 1
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    assert_reads(tmp_path / "a.png", FIRST)


PNGS = (
    [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(t, d) for t in (2, 4, 6) for d in (8, 16)]
)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour_type", "depth"), PNGS)
def test_png(tmp_path, colour_type, depth, interlaced, transparent):
    count = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    samples = RNG.integers(0, 2**depth, (HEIGHT, WIDTH, count))
    palette = RNG.integers(0, 256, (2**depth, 3)).astype(np.uint8) if colour_type == 3 else None
    marked = bytes(range(2**depth)) if colour_type == 3 else struct.pack(f">{count}H", *samples[0, 0])
    marked = marked if transparent and colour_type < 4 else None
    data = png(samples, depth, colour_type, interlaced, None if palette is None else palette.tobytes(), marked)
    (tmp_path / "a.png").write_bytes(data)
    values = samples if palette is None else palette[samples[..., 0]]
    values = values[..., :-1] if colour_type in (4, 6) else values
    values = values * 255 // (2**depth - 1) if depth < 8 and palette is None else values
    assert_reads(tmp_path / "a.png", values.transpose(2, 0, 1).astype(np.uint16 if depth == 16 else np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"optimize": True}])
def test_jpeg_is_what_pillow_reads(tmp_path, mode, options):
    Image.fromarray(SMOOTH).convert(mode).save(tmp_path / "a.jpg", quality=97, **options)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("L" if mode == "L" else "RGB"))
    expected = expected[None] if mode == "L" else expected.transpose(2, 0, 1)
    assert abs(read(tmp_path / "a.jpg").astype(int) - expected).max() <= 2


def bmp_variants():
    order = COLOUR[..., ::-1].reshape(HEIGHT, -1)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
    grey[:, 3] = 0
    four = np.dstack([COLOUR[..., ::-1], ALPHA]).reshape(HEIGHT, -1)
    few = COLOUR >> 3
    fives = (few[..., 0].astype(int) << 10) | (few[..., 1].astype(int) << 5) | few[..., 2]
    runs = b"".join(b"".join(bytes([1, v]) for v in row) + b"\0\0" for row in GREY[::-1]) + b"\0\1"
    wide = (few.astype(int) << 3) | (few >> 2)
    yield "24 bits", bmp(bmp_rows(order[::-1], 8), WIDTH, HEIGHT, 24), FIRST
    yield "24 bits from the top", bmp(bmp_rows(order, 8), WIDTH, -HEIGHT, 24), FIRST
    yield "24 bits, old header", bmp(bmp_rows(order[::-1], 8), WIDTH, HEIGHT, 24, old=True), FIRST
    yield "32 bits", bmp(bmp_rows(four[::-1], 8), WIDTH, HEIGHT, 32), FIRST
    yield "32 bits from the top", bmp(bmp_rows(four, 8), WIDTH, -HEIGHT, 32), FIRST
    yield "16 bits", bmp(bmp_rows(fives[::-1], 16), WIDTH, HEIGHT, 16), wide.transpose(2, 0, 1)
    yield "grey palette", bmp(bmp_rows(GREY[::-1], 8), WIDTH, HEIGHT, 8, grey.tobytes()), GREY[None]
    yield "grey palette from the top", bmp(bmp_rows(GREY, 8), WIDTH, -HEIGHT, 8, grey.tobytes()), GREY[None]
    yield "runs", bmp(runs, WIDTH, HEIGHT, 8, grey.tobytes(), compression=1), GREY[None]
    for depth in (1, 4, 8):
        indices = RNG.integers(0, 2**depth, (HEIGHT, WIDTH))
        palette = RNG.integers(0, 256, (2**depth, 4)).astype(np.uint8)
        data = bmp(bmp_rows(indices[::-1], depth), WIDTH, HEIGHT, depth, palette.tobytes())
        yield f"palette of {depth} bits", data, palette[indices][..., 2::-1].transpose(2, 0, 1)


def rle(rows, depth, end=b"\0\1"):
    """Run-length encode rows of indices, the bottom row last: runs where pixels repeat, else stored pixels."""
    out = b""
    for row in rows[::-1]:
        at = 0
        while at < len(row):
            run = next((n for n in range(1, min(255, len(row) - at)) if row[at + n] != row[at]), len(row) - at)
            run = min(run, 255)
            stored = row[at : at + min(5, len(row) - at)]
            if run >= 3 or len(stored) < 3:
                out += bytes([run, row[at] * (17 if depth == 4 else 1)])
                at += run
            else:
                data = packed(stored[None], depth)
                out += bytes([0, len(stored)]) + data + bytes(len(data) % 2)
                at += len(stored)
        out += b"\0\0"
    return out[:-2] + end


@pytest.mark.parametrize("depth", [4, 8])
def test_bmp_with_runs_is_what_its_rows_are(tmp_path, depth):
    indices = (SMOOTH[..., 0] // (16 if depth == 4 else 1)).astype(np.uint8)
    indices[5:9] = 3
    palette = RNG.integers(0, 256, (2**depth, 4)).astype(np.uint8)
    data = bmp(rle(indices, depth), WIDTH, HEIGHT, depth, palette.tobytes(), compression={8: 1, 4: 2}[depth])
    (tmp_path / "a.bmp").write_bytes(data)
    assert_reads(tmp_path / "a.bmp", palette[indices][..., 2::-1].transpose(2, 0, 1))
    with Image.open(tmp_path / "a.bmp") as other:
        np.testing.assert_array_equal(read(tmp_path / "a.bmp"), np.asarray(other.convert("RGB")).transpose(2, 0, 1))


def full(row, count=WIDTH):
    return bytes([count, row])


ROWS = [full(row) for row in range(HEIGHT)]
DISAGREED = {
    "a row that ends early": ([full(1, 20), *ROWS[1:]], "leaves pixels undefined"),
    "an image that ends early": (ROWS[:9], "leaves pixels undefined"),
    "a jump": ([bytes([20, 1, 0, 2, 3, 0, WIDTH - 23, 1]), *ROWS[1:]], "skips pixels"),
    "a run past the end of its row": ([full(1, WIDTH + 7), *ROWS[1:]], "runs past the end of a row"),
    "codes that end": ([full(1), bytes([0, 30, 1])], "is incomplete"),
}


@pytest.mark.parametrize("name", DISAGREED)
def test_bmp_with_runs_on_which_decoders_disagree(tmp_path, name):
    rows, reason = DISAGREED[name]
    palette = RNG.integers(0, 256, (256, 4)).astype(np.uint8).tobytes()
    (tmp_path / "a.bmp").write_bytes(bmp(b"\0\0".join(rows) + b"\0\1", WIDTH, HEIGHT, 8, palette, compression=1))
    assert_refused(tmp_path / "a.bmp", f"its run-length encoding {reason}.*save it as PNG")


def old_jpeg(kind, pixels, subsampling):
    """Return a TIFF file of old-style JPEG, and the pixels of its JPEG stream."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=92, **({"subsampling": subsampling} if pixels.ndim == 3 else {}))
    jpeg = held.getvalue()
    scan = jpeg.index(b"\xff\xda") + 2
    scan += struct.unpack_from(">H", jpeg, scan)[0]
    samples = 1 if pixels.ndim == 2 else 3
    tags = tiff_tags(*pixels.shape[:2], 8, 1 if samples == 1 else 6, compression=6, samples=samples)
    stream = {513: (4, [8]), 514: (4, [len(jpeg)])}
    if kind == "strip is the stream":
        data = tiff([jpeg], tags)
    elif kind == "strip in the stream":
        data = tiff([jpeg], tags | stream)
        for tag, before, after in ((273, 8, 8 + scan), (279, len(jpeg), len(jpeg) - scan)):
            data = data.replace(struct.pack("<HHII", tag, 4, 1, before), struct.pack("<HHII", tag, 4, 1, after))
    elif kind == "header and scan":
        data = tiff([jpeg[scan:]], tags | {513: (4, [2**20]), 514: (4, [scan])})
        data = data.replace(struct.pack("<I", 2**20), struct.pack("<I", len(data))) + jpeg[:scan]
    else:
        data = tiff([jpeg[scan:]], tags)
    held.seek(0)
    return data, np.atleast_3d(np.asarray(Image.open(held))).transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["strip is the stream", "strip in the stream", "header and scan"])
@pytest.mark.parametrize(("colour", "subsampling"), [(False, 0), (True, 0), (True, 2)])
def test_old_jpeg(file, kind, colour, subsampling):
    data, expected = old_jpeg(kind, SMOOTH if colour else SMOOTH[..., 0], subsampling)
    file.write_bytes(data)
    assert abs(read(file).astype(int) - expected).max() <= 1
    if colour:  # libtiff does not read grey files of this kind, and interpolates chroma in another way
        other = np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)
        assert abs(read(file).astype(int) - other).mean() < (4 if subsampling else 1)


def test_old_jpeg_that_is_tables_and_scans_is_refused(file):
    file.write_bytes(old_jpeg("scan alone", SMOOTH, 0)[0])
    assert_refused(
        file, r"its compression \(old-style JPEG, 6\) is stored in a way that cannot be read: it has no JPEG"
    )


BMPS = {name: (data, expected) for name, data, expected in bmp_variants()}


@pytest.mark.parametrize("name", BMPS)
def test_bmp(tmp_path, name):
    data, expected = BMPS[name]
    (tmp_path / "a.bmp").write_bytes(data)
    pixels = read(tmp_path / "a.bmp")
    tolerance = 7 if name == "16 bits" else 0
    assert pixels.shape == expected.shape
    assert abs(pixels.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("shape", [(1, 1), (1, 53), (37, 1), (2, 3)])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp"])
def test_images_of_hardly_any_pixel(tmp_path, shape, suffix):
    pixels = COLOUR[: shape[0], : shape[1]]
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        cv2.imwrite(str(path), pixels[..., ::-1])
    assert_reads(path, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "name", ["a.PNG", "a.TIF", "a.bmp", "a.jpeg", "a", "a.txt", "ünï cödé 細胞.png", "a b.c.png", "-o"]
)
@pytest.mark.parametrize("kind", ["TIFF", "PNG", "BMP"])
def test_the_contents_and_not_the_name_say_what_a_file_is(tmp_path, name, kind):
    path = tmp_path / name
    Image.fromarray(COLOUR).save(path, format=kind)
    assert_reads(path, FIRST)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft compound document"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"%PDF-1.4", "PDF"),
    ],
)
def test_other_formats_are_named(tmp_path, head, name):
    (tmp_path / "a.tif").write_bytes(head + bytes(100))
    assert_refused(
        tmp_path / "a.tif", f"it is not a TIFF, PNG, JPEG, BMP, CZI, ND2 or LIF image but {name}.*; save it as TIFF"
    )
