"""Windows of every TIFF layout: the pixels that decoding the whole file gives, without decoding it."""

import itertools
import struct
import threading

import numpy as np
import pytest
import tifffile

from flowmask.errors import ImageError
from flowmask.images import tiff
from flowmask.images.readers import open_image

RNG = np.random.default_rng(5)
HEIGHT, WIDTH = 131, 203
GREY = RNG.integers(0, 60000, (HEIGHT, WIDTH)).astype(np.uint16)
COLOUR = RNG.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
CHANNELS = RNG.integers(0, 60000, (3, HEIGHT, WIDTH)).astype(np.uint16)
SMOOTH = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))[..., None] // np.array([2, 3, 4])
FIRST = COLOUR.transpose(2, 0, 1)
TILE = {"tile": (16, 48)}
ZLIB = {"compression": "zlib"}
RGB = {"photometric": "rgb"}
CYX = {"metadata": {"axes": "CYX"}}

LAYOUTS = {
    "uncompressed": (GREY, {}),
    "one strip": (GREY, {"rowsperstrip": HEIGHT, **ZLIB}),
    "strips": (GREY, {"rowsperstrip": 7, **ZLIB}),
    "strips of colours": (COLOUR, {"rowsperstrip": 7, "compression": "lzw", **RGB}),
    "uncompressed tiles": (COLOUR, {**TILE, **RGB}),
    "tiles": (COLOUR, {**TILE, **ZLIB, **RGB}),
    "one tile": (GREY, {"tile": (256, 256), **ZLIB}),
    "lzw tiles with predictor": (COLOUR, {**TILE, "compression": "lzw", "predictor": True, **RGB}),
    "float with predictor": (GREY / np.float32(7), {**TILE, **ZLIB, "predictor": True}),
    "planar": (FIRST, {"planarconfig": "separate", **RGB}),
    "planar tiles": (FIRST, {**TILE, **ZLIB, "planarconfig": "separate", **RGB}),
    "planar strips": (FIRST, {"rowsperstrip": 9, **ZLIB, "planarconfig": "separate", **RGB}),
    "big-endian": (GREY, {"byteorder": ">"}),
    "big-endian tiles": (GREY, {**TILE, **ZLIB, "predictor": True, "byteorder": ">"}),
    "bigtiff": (GREY, {**TILE, **ZLIB, "bigtiff": True}),
    "jpeg": (SMOOTH.astype(np.uint8), {"tile": (32, 48), "compression": "jpeg", **RGB}),
    "jpeg 4:2:0": (
        SMOOTH.astype(np.uint8),
        {"tile": (32, 48), "compression": "jpeg", "subsampling": (2, 2), **RGB},
    ),
    "jpeg strips": (SMOOTH[..., 0].astype(np.uint8), {"rowsperstrip": 16, "compression": "jpeg"}),
    "jpeg 2000": (COLOUR, {"tile": (32, 48), "compression": "jpeg2000", **RGB}),
    "1 bit": (GREY > 30000, {"photometric": "minisblack"}),
    "1 bit tiles": (GREY > 30000, {"photometric": "minisblack", **TILE, **ZLIB}),
    "ome": (CHANNELS, {"ome": True, **CYX}),
    "ome tiles": (CHANNELS, {"ome": True, **TILE, **ZLIB, **CYX}),
    "imagej": (CHANNELS, {"imagej": True, **CYX}),
    "imagej zlib": (CHANNELS, {"imagej": True, **ZLIB, **CYX}),
    "unnamed pages": (CHANNELS, {**ZLIB, "photometric": "minisblack"}),
    "unnamed pages, uncompressed": (CHANNELS, {"photometric": "minisblack"}),
}


def windows(height, width):
    """Corners of the whole, of pixels at the corners and of random windows."""
    yield 0, 0, height, width
    for y, x in itertools.product((0, height - 1), (0, width - 1)):
        yield y, x, y + 1, x + 1
    for _ in range(12):
        top, bottom = sorted(RNG.choice(height + 1, 2, replace=False).tolist())
        left, right = sorted(RNG.choice(width + 1, 2, replace=False).tolist())
        yield top, left, bottom, right


def assert_windows(image, whole):
    assert image.shape == whole.shape
    assert image.dtype == whole.dtype
    for top, left, bottom, right in windows(*whole.shape[1:]):
        window = image.read(top, left, bottom, right)
        assert window.dtype == image.dtype
        np.testing.assert_array_equal(window, whole[:, top:bottom, left:right])


def refuse_to_decode_whole(monkeypatch):
    def whole(*_, **__):
        raise AssertionError("the whole image was decoded")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", whole)


def count_decoded(monkeypatch):
    """Return the list to which every decoded segment adds its index."""
    decoded, decode = [], tifffile.TiffPage.decode.func
    monkeypatch.setattr(
        tifffile.TiffPage,
        "decode",
        property(lambda page: lambda data, index, **more: decoded.append(index) or decode(page)(data, index, **more)),
    )
    return decoded


def segments(path):
    """Offsets and byte counts of the first page."""
    with tifffile.TiffFile(path) as file:
        return file.pages[0].dataoffsets, file.pages[0].databytecounts


@pytest.mark.parametrize("name", LAYOUTS)
def test_windows_are_those_of_the_whole(tmp_path, monkeypatch, name):
    pixels, options = LAYOUTS[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    whole = tifffile.imread(path)
    whole = whole[None] if whole.ndim == 2 else whole if whole.shape[0] == 3 else whole.transpose(2, 0, 1)
    refuse_to_decode_whole(monkeypatch)
    assert_windows(open_image(path), whole)


def test_pages_that_the_ome_xml_does_not_list_are_noted(tmp_path):
    xml = tifffile.OmeXml()
    xml.addimage("uint16", (2, 50, 60), (2, 1, 1, 50, 60, 1), axes="CYX")
    pages = np.arange(5 * 50 * 60, dtype=np.uint16).reshape(5, 50, 60)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number, page in enumerate(pages):
            small = {"subfiletype": 1} if number == 4 else {}
            about = {"description": xml.tostring() if number == 0 else None, "metadata": None}
            file.write(page, photometric="minisblack", **about, **small)
    image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.read(0, 0, 50, 60), pages[:2])
    assert image.info.notes == (
        "2 of its 5 pages are not in its OME-XML and are not segmented; if they are planes or frames, save the file "
        "again with complete metadata.",
    )


@pytest.mark.parametrize("options", [{}, {**TILE, **ZLIB}])
def test_photometry_is_applied_to_windows(tmp_path, options):
    path, levels = tmp_path / "a.tif", COLOUR[..., 0]
    tifffile.imwrite(path, 255 - levels, photometric="miniswhite", **options)
    assert_windows(open_image(path), levels[None])
    palette = RNG.integers(0, 65535, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, levels, photometric="palette", colormap=palette, **options)
    assert_windows(open_image(path), palette[:, levels])
    alpha = np.dstack([COLOUR, levels])
    tifffile.imwrite(path, alpha, extrasamples=["unassalpha"], **RGB, **options)
    assert_windows(open_image(path), FIRST)


@pytest.mark.parametrize("options", [{}, {**TILE, **ZLIB}])
def test_pages_that_do_not_lie_together(tmp_path, monkeypatch, options):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(CHANNELS, **CYX, **options, subifds=1)
        file.write(CHANNELS[:, ::2, ::2], **options, subfiletype=1)
    refuse_to_decode_whole(monkeypatch)
    assert_windows(open_image(path), CHANNELS)


@pytest.mark.parametrize("suffix", [".tif", ".svs"])
def test_a_pyramid_is_read_at_full_resolution(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(COLOUR, **TILE, **ZLIB, **RGB, subifds=2)
        for step in (2, 4):
            file.write(COLOUR[::step, ::step], **TILE, **ZLIB, **RGB, subfiletype=1)
    refuse_to_decode_whole(monkeypatch)
    assert_windows(open_image(path), FIRST)


def test_an_aperio_slide_with_thumbnail_label_and_macro(tmp_path, monkeypatch):
    path = tmp_path / "a.svs"
    jpeg = {"compression": "jpeg", "metadata": None, "description": "Aperio Image Library v1|AppMag = 20", **RGB}
    levels = np.ascontiguousarray(SMOOTH, np.uint8)
    with tifffile.TiffWriter(path) as file:
        file.write(levels, tile=(64, 64), **jpeg)
        file.write(levels[::8, ::8], **jpeg)
        file.write(levels[::2, ::2], tile=(64, 64), **jpeg)
        file.write(levels[:40, :40], **jpeg, subfiletype=1)
        file.write(levels[:30, :50], **jpeg, subfiletype=9)
    whole = tifffile.imread(path)
    refuse_to_decode_whole(monkeypatch)
    assert_windows(open_image(path), whole.transpose(2, 0, 1))


def test_a_window_decodes_the_tiles_that_it_meets_once(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1000, 900), np.uint8) + 7, tile=(64, 64), **ZLIB)
    decoded = count_decoded(monkeypatch)
    image = open_image(tmp_path / "a.tif")
    assert decoded == []
    image.read(64, 128, 128, 256)
    assert decoded == [17, 18]
    image.read(63, 127, 129, 257)
    assert sorted(decoded) == sorted(15 * y + x for y in range(3) for x in range(1, 5))


@pytest.mark.parametrize("planar", [False, True])
def test_bands_decode_each_tile_once_with_the_smallest_cache(tmp_path, monkeypatch, planar):
    layout = {"planarconfig": "separate"} if planar else {}
    tifffile.imwrite(tmp_path / "a.tif", FIRST if planar else COLOUR, **layout, **RGB, **TILE, **ZLIB)
    monkeypatch.setattr(tiff, "CACHE", 1)
    decoded = count_decoded(monkeypatch)
    image = open_image(tmp_path / "a.tif")
    bands = [image.read(top, 0, min(top + 21, HEIGHT), WIDTH) for top in range(0, HEIGHT, 21)]
    np.testing.assert_array_equal(np.concatenate(bands, 1), FIRST)
    assert sorted(decoded) == list(range(9 * 5 * (3 if planar else 1)))


def test_the_cache_is_bounded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, **RGB, **TILE, **ZLIB)
    monkeypatch.setattr(tiff, "CACHE", 30000)
    decoded = count_decoded(monkeypatch)
    image = open_image(tmp_path / "a.tif")
    for _ in range(2):
        image.read(0, 0, HEIGHT, WIDTH)
    assert len(decoded) == 2 * 9 * 5


def test_a_huge_strip_is_decoded_once_onto_the_disk(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, rowsperstrip=HEIGHT, **ZLIB, **RGB)
    monkeypatch.setattr(tiff, "CACHE", 1000)
    monkeypatch.setattr("flowmask.images.memmap.LARGE", 1000)
    decoded = count_decoded(monkeypatch)
    image = open_image(tmp_path / "a.tif")
    assert_windows(image, FIRST)
    assert decoded == [0]


def test_a_tile_that_the_file_leaves_out_is_zero(tmp_path):
    path = tmp_path / "a.tif"
    tiles = [GREY[y : y + 16, x : x + 48] for y in range(0, 128, 16) for x in range(0, 192, 48)]
    tifffile.imwrite(
        path, (b"" if i == 5 else tile.tobytes() for i, tile in enumerate(tiles)), shape=(128, 192), dtype="u2", **TILE
    )
    assert segments(path)[1][5] == 0
    whole = tifffile.imread(path)
    assert not whole[16:32, 48:96].any()
    np.testing.assert_array_equal(whole[:16], GREY[:16, :192])
    assert_windows(open_image(path), whole[None])


def test_a_damaged_tile_names_the_file_when_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILE, **ZLIB)
    offsets, _ = segments(path)
    data = bytearray(path.read_bytes())
    data[offsets[7] : offsets[7] + 40] = bytes(40)
    path.write_bytes(data)
    image = open_image(path)
    np.testing.assert_array_equal(image.read(0, 0, 16, WIDTH)[0], GREY[:16])
    with pytest.raises(ImageError, match="a.tif: it is damaged"):
        image.read(16, 96, 17, 97)


def test_a_file_that_goes_away_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **TILE, **ZLIB)
    image = open_image(tmp_path / "a.tif")
    (tmp_path / "a.tif").unlink()
    with pytest.raises(ImageError, match="a.tif: it cannot be read"):
        image.read(0, 0, 1, 1)


def test_an_uncompressed_file_cut_short_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-1])
    with pytest.raises(ImageError, match="a.tif: it is incomplete"):
        open_image(tmp_path / "a.tif")


def test_a_byte_count_past_the_end_of_the_file_costs_nothing(tmp_path):
    """Some writers round the last byte count up; zlib knows where its data end."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, rowsperstrip=66, **ZLIB)
    _, counts = segments(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", *counts), struct.pack("<II", counts[0], counts[1] + 2**20)))
    assert segments(path)[1] != counts
    assert_windows(open_image(path), GREY[None])


def test_threads_read_the_same(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, **RGB, **TILE, **ZLIB)
    monkeypatch.setattr(tiff, "CACHE", 1)
    image = open_image(tmp_path / "a.tif")
    wrong, same = [], []

    def check(corners):
        for top, left, bottom, right in corners:
            if (image.read(top, left, bottom, right) != FIRST[:, top:bottom, left:right]).any():
                wrong.append((top, left))
            else:
                same.append((top, left))

    threads = [threading.Thread(target=check, args=(list(windows(HEIGHT, WIDTH)),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wrong), len(same)) == (0, 4 * 17)


def test_pixels_of_a_type_that_cannot_be_read_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.int16), compression="jpeg2000", bitspersample=12)
    with pytest.raises(ImageError, match="a.tif: it has no pixels, or pixels of a type"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_an_image_of_which_no_pixel_is_stored_is_refused(tmp_path, tile):
    """As libtiff leaves it if a compression is not available; libtiff and tifffile read it as zeros."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.ones((128, 128), np.uint8), compression="zlib", tile=tile, rowsperstrip=None if tile else 64
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages.first.tags["TileByteCounts" if tile else "StripByteCounts"]
        tag.overwrite([0] * tag.count)
    with pytest.raises(ImageError, match="a.tif: its pixels are missing"):
        open_image(path)


def write_pages(path, pages):
    """Write TIFF pages: (pixels, arguments of tifffile)."""
    with tifffile.TiffWriter(path) as file:
        for pixels, more in pages:
            file.write(pixels, metadata=None, **more)


def test_thumbnail_and_macro_of_a_qptiff_file_are_no_images(tmp_path):
    """A QPTIFF file has the channels, a thumbnail, their reduced levels, and photos of the slide and its label."""
    channels = np.random.default_rng(0).integers(0, 200, (5, 256, 320)).astype(np.uint8)
    rgb = np.dstack([channels[0]] * 3)
    names = ("DAPI", "CD3", "CD8", "CD20", "PanCK")

    def about(kind, name):
        xml = f"<PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType><Biomarker>{name}</Biomarker>"
        return {"description": f"{xml}</PerkinElmer-QPI-ImageDescription>", "software": "PerkinElmer-QPI"}

    tiles = {"tile": (64, 64)}
    pages = [(plane, tiles | about("FullResolution", name)) for plane, name in zip(channels, names, strict=True)]
    pages += [(rgb[::4, ::4], {"photometric": "rgb", **about("Thumbnail", "")})]
    reduced = [(plane[::2, ::2], about("ReducedResolution", name)) for plane, name in zip(channels, names, strict=True)]
    pages += [(pixels, {"subfiletype": 1, **tiles, **more}) for pixels, more in reduced]
    pages += [(rgb[::2, ::3], {"photometric": "rgb", **about("Overview", "")})]
    write_pages(tmp_path / "a.qptiff", pages)
    image = open_image(tmp_path / "a.qptiff")
    assert image.info.channel_names == names
    assert image.info.levels == ((256, 320), (128, 160))
    np.testing.assert_array_equal(image.read(0, 0, 256, 320), channels)


@pytest.mark.parametrize("second", [1, 2])
def test_the_overview_before_a_scan_of_leica_is_no_image(tmp_path, second):
    """An SCN file lists the overview of the slide first. ``second``: how many scans of tissue follow."""
    scan = np.random.default_rng(0).integers(0, 200, (256, 320, 3)).astype(np.uint8)
    shapes = [scan[::4, ::4], scan, scan[:200]][: 1 + second]
    images = "".join(
        f'<image name="image_{number}"><pixels><dimension r="0" ifd="{number}"/></pixels></image>'
        for number in range(len(shapes))
    )
    xml = f'<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>{images}</collection></scn>'
    rgb = {"photometric": "rgb"}
    write_pages(
        tmp_path / "a.scn",
        [(pixels, {"description": xml, **rgb} if n == 0 else rgb) for n, pixels in enumerate(shapes)],
    )
    image = open_image(tmp_path / "a.scn")
    np.testing.assert_array_equal(image.read(0, 0, 256, 320), scan.transpose(2, 0, 1))
    two = ("This slide has 2 scans (image_1, image_2), and only the largest is segmented.",)
    assert image.info.notes == (two if second == 2 else ())
