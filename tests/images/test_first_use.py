"""Files that people reported trouble with: read rightly, or refused by a true sentence."""

import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile

from bench.trust.encode import png_chunk
from flowmask.errors import ImageError, SettingsError
from flowmask.images.image import as_image
from flowmask.images.readers import open_frames, open_image
from flowmask.images.report import describe_file, in_words
from flowmask.runs.process import set_up_logging

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 250, (40, 56)).astype(np.uint8)
STACK = RNG.integers(0, 60000, (5, 40, 56)).astype(np.uint16)


def everything(image):
    return image.read(0, 0, *image.shape[1:])


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}])
def test_the_table_of_an_imagej_file_is_for_display(tmp_path, layout):
    table = RNG.integers(0, 65536, (3, 256)).astype(np.uint16)
    path = tmp_path / "a.tif"
    lut = {"photometric": "palette", "colormap": table, "metadata": None}
    tifffile.imwrite(path, GREY, description="ImageJ=1.54f\n", **lut, **layout)
    image = open_image(path)
    np.testing.assert_array_equal(everything(image), GREY[None])
    assert "for display" in image.info.notes[0]
    tifffile.imwrite(path, GREY, **lut, **layout)
    np.testing.assert_array_equal(everything(open_image(path)), table[:, GREY])


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"tile": (16, 16), "compression": "lzw"}])
def test_declared_gaps_are_nan(tmp_path, dtype, layout):
    pixels = GREY.astype(dtype)
    pixels[:, :9] = -9999
    tag = [(42113, "s", 0, "-9999", True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, extratags=tag, **layout)
    image = open_image(tmp_path / "a.tif")
    read = everything(image)[0]
    assert np.isnan(read[:, :9]).all()
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read[:, 9:], GREY[:, 9:])
    assert image.info.nodata == -9999


@pytest.mark.parametrize("reduced_first", [True, False])
@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}])
def test_a_reduced_page_is_not_the_image(tmp_path, reduced_first, layout):
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        for reduced in (reduced_first, not reduced_first):
            out.write(GREY[::4, ::4] if reduced else GREY, subfiletype=int(reduced), metadata=None, **layout)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), GREY[None])


def test_reduced_pages_of_another_type_and_of_the_old_tag_are_not_the_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(np.dstack([GREY[::4, ::4]] * 3), photometric="rgb", subfiletype=1, metadata=None)
        out.write(GREY[::2, ::2], metadata=None, extratags=[(255, "H", 1, 2, True)])
        out.write(GREY, metadata=None)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), GREY[None])


@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_palette_with_alpha_is_its_colours(tmp_path, planar, extra):
    table = RNG.integers(0, 65536, (3, 256))
    pixels = np.stack([GREY, 255 - GREY], axis=-1 if planar == "contig" else 0)
    tag = [(320, "H", 768, [int(value) for value in table.ravel()], True)]
    layout = {"photometric": "minisblack", "planarconfig": planar, "extrasamples": [extra], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=tag, **layout)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(3)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), table[:, GREY])


@pytest.mark.parametrize("mct", [True, False])
def test_aperio_33003(tmp_path, mct):
    colour = np.dstack([GREY // 2 + 60, GREY // 3 + 90, GREY // 4 + 100]).repeat(2, 0).repeat(2, 1)
    luma = colour @ [0.299, 0.587, 0.114]
    blue, red = (colour[..., 2] - luma) / 1.772 + 128, (colour[..., 0] - luma) / 1.402 + 128
    stored = colour if mct else np.rint(np.dstack([luma, blue, red])).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.svs", stored, compression=33003, compressionargs={"mct": mct}, photometric="rgb",
        tile=(64, 64), metadata=None, description="Aperio x|MPP = 0.4990",
    )  # fmt: skip
    image = open_image(tmp_path / "a.svs")
    assert abs(everything(image).astype(int) - colour.transpose(2, 0, 1)).max() <= 2
    assert image.info.pixel_size_um == 0.499


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX", "ZCYX"])
@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_planes_and_frames(tmp_path, axes, layout, kind):
    if kind == "imagej" and "tile" in layout:
        pytest.skip("ImageJ writes no tiles")
    pixels = STACK if len(axes) == 3 else np.stack([STACK, STACK[::-1]], axis=axes.index("Z") ^ 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **{kind: True}, metadata={"axes": axes}, **layout)
    if axes == "TZYX":
        frames = open_frames(path, plane=2)
        assert [suffix for suffix, _ in frames] == ["_t001", "_t002"]
        for index, (_, image) in enumerate(frames):
            np.testing.assert_array_equal(everything(image)[0], pixels[index, 1])
        np.testing.assert_array_equal(everything(open_frames(path, project="max")[1][1])[0], pixels[1].max(0))
    elif axes == "TYX":
        assert [suffix for suffix, _ in open_frames(path)] == [f"_t00{n}" for n in range(1, 6)]
        np.testing.assert_array_equal(everything(open_frames(path)[3][1])[0], pixels[3])
    if axes != "TZYX":
        expected = pixels[2] if axes == "ZCYX" else pixels[2][None]
        np.testing.assert_array_equal(everything(open_image(path, plane=3)), expected)
        mean = pixels.mean(0) if axes == "ZCYX" else pixels.mean(0)[None]
        np.testing.assert_allclose(everything(open_image(path, project="mean")), mean, rtol=1e-6)
    with pytest.raises(ImageError, match="a.tif: .*there is no plane 99"):
        open_image(path, plane=99)
    with pytest.raises(SettingsError, match="exclude each other"):
        open_image(path, plane=1, project="max")


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}])
def test_the_positions_of_an_ome_file_are_frames(tmp_path, layout):
    positions = [("A1", STACK[:2]), ("B7", STACK[2:4, :30, :41]), ("label image", STACK[4])]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as out:
        for number, (name, pixels) in enumerate(positions, 1):
            metadata = {
                "axes": "CYX"[-pixels.ndim :],
                "Name": name,
                "PhysicalSizeX": number / 4,
                "Channel": {"Name": [f"{name} {channel}" for channel in range(len(pixels) if pixels.ndim == 3 else 1)]},
            }
            out.write(pixels, photometric="minisblack", metadata=metadata, **layout)
    frames = open_frames(tmp_path / "a.ome.tif")
    assert frames.suffixes == ("_p001", "_p002")
    for number, ((suffix, image), (name, pixels)) in enumerate(zip(frames, positions, strict=False), 1):
        assert suffix == f"_p00{number}"
        np.testing.assert_array_equal(everything(image), pixels)
        assert (image.info.name, image.info.pixel_size_um) == (name, number / 4)
        assert image.info.channel_names == (f"{name} 0", f"{name} 1")
    assert frames[0][1].info.notes == ("Photos of the slide in it are not segmented: label image.",)
    with pytest.raises(ImageError, match=r"a.ome.tif: it is a series of 2 frames \(p001 to p002\)"):
        open_image(tmp_path / "a.ome.tif")
    assert describe_file(tmp_path / "a.ome.tif")["positions"] == ["A1", "B7"]
    assert "p001 A1, p002 B7" in in_words(describe_file(tmp_path / "a.ome.tif"))


def test_positions_of_several_times(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as out:
        for pixels in (STACK, STACK[::-1][:2]):
            out.write(pixels, photometric="minisblack", metadata={"axes": "TYX"})
    frames = open_frames(tmp_path / "a.ome.tif")
    assert frames.suffixes == (*(f"_p001_t00{n}" for n in range(1, 6)), "_p002_t001", "_p002_t002")
    np.testing.assert_array_equal(everything(frames[6][1])[0], STACK[3])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_series_that_was_cut_off_loses_its_last_frames_only(tmp_path, compression):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TYX"}, compression=compression)
    with tifffile.TiffFile(path) as file:
        last = file.pages[4]
        where = last.tags["StripOffsets"].valueoffset
    data = bytearray(path.read_bytes())
    data[where : where + 4] = (len(data) - 8).to_bytes(4, "little")  # the last frame ends outside the file
    path.write_bytes(data)
    frames = open_frames(path)
    for number in range(4):
        np.testing.assert_array_equal(everything(frames[number][1])[0], STACK[number])
    with pytest.raises(ImageError, match="a.ome.tif: it is (incomplete|.*damaged)"):
        frames[4]


@pytest.mark.parametrize(("stored", "described"), [(1, 4), (2, 4), (4, 4), (1, 40_000)])
def test_an_imagej_stack_that_was_cut_off_says_so(tmp_path, stored, described):
    """ImageJ describes the whole stack in the one page that it writes for stacks above 4 GB."""
    path = tmp_path / "a.tif"
    text = f"ImageJ=1.54f\nimages={described}\nslices={described}\n"
    tifffile.imwrite(path, STACK[0], description=text, metadata=None)
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[0] + STACK[0].nbytes
    path.write_bytes(path.read_bytes()[:end] + STACK[1:stored].tobytes())
    if stored == described:
        for plane in range(stored):
            np.testing.assert_array_equal(everything(open_image(path, plane=plane + 1))[0], STACK[plane])
        return
    image = open_image(path)
    np.testing.assert_array_equal(everything(image)[0], STACK[0])
    assert image.info.notes == (
        f"Its description tells of {described:,} images, but 1 can be read; the file may be cut off.",
    )


@pytest.mark.parametrize("layout", [{"compression": "zlib"}, {"tile": (16, 16)}])
def test_tiles_and_strips_that_are_not_stored_are_counted(tmp_path, layout):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, metadata=None, **({"rowsperstrip": 8} if "tile" not in layout else {}), **layout)
    wanted = GREY.copy()
    with tifffile.TiffFile(path, mode="r+b") as file:
        page = file.pages[0]
        rows, columns = (16, 16) if "tile" in layout else (8, 56)
        for name in page.tags:
            if name.name.endswith(("Offsets", "ByteCounts")):
                name.overwrite([0, *name.value[1:]])
        number = len(page.dataoffsets)
    wanted[:rows, :columns] = 0
    image = open_image(path)
    np.testing.assert_array_equal(everything(image)[0], wanted)
    assert image.info.notes == (f"1 of its {number} tiles or strips are not stored; they count as 0.",)


@pytest.mark.parametrize("uuids", [1, 2])
def test_a_renamed_ome_file(tmp_path, uuids):
    texts = [f"urn:uuid:11111111-2222-3333-4444-55555555555{n % uuids}" for n in range(2)]
    planes = "".join(
        f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1"><UUID FileName="old{c % uuids}.tif">{text}</UUID></TiffData>'
        for c, text in enumerate(texts)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="56" SizeY="40" SizeC="2" SizeZ="1" '
        'SizeT="1">'
        f'<Channel ID="Channel:0:0" Name="PanCK"/><Channel ID="Channel:0:1" Name="DAPI"/>'
        f"{planes}"
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:2], photometric="minisblack", metadata=None, description=xml)
    if uuids == 2:
        with pytest.raises(ImageError, match="multi-file OME-TIFF .*old0.tif"):
            open_image(tmp_path / "a.ome.tif")
        return
    image = open_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(everything(image), STACK[:2])
    assert image.info.channel_names == ("PanCK", "DAPI")


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [((40000, 40000), 3, 0.25), ((300, 300), 2, None), ((72, 72), 2, None), ((1, 1), 1, None)],
)
def test_the_resolution_of_a_printer_is_no_pixel_size(tmp_path, resolution, unit, size):
    tifffile.imwrite(tmp_path / "a.tif", GREY, resolution=resolution, resolutionunit=unit)
    assert open_image(tmp_path / "a.tif").info.pixel_size_um == size


def test_names_and_pixel_size_of_imagej(tmp_path):
    metadata = {"axes": "CYX", "Labels": ["c:1/5 - CD3", "CD8", "a", "b", "DAPI"], "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=metadata, resolution=(4, 4))
    found = describe_file(tmp_path / "a.tif")
    assert found["channel_names"] == ["CD3", "CD8", "a", "b", "DAPI"]
    assert found["pixel_size_um"] == 0.25
    assert "5 (CD3, CD8, a, b, DAPI)" in in_words(found)


class Sliced:
    """Slices like an array and cannot be turned into one."""

    def __init__(self, pixels):
        self._pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.read = 0

    def __getitem__(self, index):
        window = self._pixels[index]
        self.read += window.size
        return window


def test_what_slices_like_an_array_is_read_in_windows():
    array = Sliced(STACK)
    image = as_image(array, axes="CYX")
    np.testing.assert_array_equal(image.read(3, 4, 8, 10), STACK[:, 3:8, 4:10])
    assert array.read == 5 * 5 * 6
    np.testing.assert_array_equal(everything(as_image(array, axes="ZYX", plane=2))[0], STACK[1])
    np.testing.assert_array_equal(everything(as_image(STACK.transpose(1, 2, 0), axes="YXC")), STACK)
    with pytest.raises(ImageError, match="one letter for each axis"):
        as_image(array, axes="YX")


def as_zarr(pixels, folder):
    zarr = pytest.importorskip("zarr", reason="the package zarr is missing")
    array = zarr.open_array(folder / "a.zarr", mode="w", shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 16, 16))
    array[:] = pixels
    return array


def as_dask(pixels, folder):
    array = pytest.importorskip("dask.array", reason="the package dask is missing")
    return array.from_array(pixels, chunks=(2, 16, 16))


def as_memmap(pixels, folder):
    np.save(folder / "a.npy", pixels)
    return np.load(folder / "a.npy", mmap_mode="r")


@pytest.mark.parametrize("make", [as_zarr, as_dask, as_memmap])
def test_zarr_dask_and_memory_maps_are_read_in_windows(tmp_path, make):
    array = make(STACK, tmp_path)
    image = as_image(array, axes="CYX")
    assert (image.shape, image.dtype) == (STACK.shape, STACK.dtype)
    for top, left, bottom, right in ((0, 0, 1, 1), (3, 4, 33, 50), (39, 55, 40, 56)):
        np.testing.assert_array_equal(image.read(top, left, bottom, right), STACK[:, top:bottom, left:right])
    np.testing.assert_array_equal(everything(as_image(array, axes="ZYX", plane=4))[0], STACK[3])
    np.testing.assert_array_equal(everything(as_image(array, axes="TYX", project="max"))[0], STACK.max(0))
    np.testing.assert_array_equal(everything(as_image(array[:3])), STACK[:3])


def test_a_few_planes_without_axes_are_channels_and_say_so(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:3], photometric="minisblack")
    image = open_image(tmp_path / "a.tif")
    assert image.shape[0] == 3
    assert "read as channels" in image.info.notes[0]
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif", plane=2))[0], STACK[1])


def test_decoders_print_nothing(tmp_path, capfd, caplog):
    """Neither about a damaged BMP file, which OpenCV reads, nor about an interlaced PNG, whose pixels are right."""
    set_up_logging()
    data = cv2.imencode(".bmp", np.dstack([GREY] * 3))[1].tobytes()
    (tmp_path / "a.bmp").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="a.bmp: it is a damaged or unsupported BMP file"):
        open_image(tmp_path / "a.bmp")
    header = struct.pack(">IIBBBBB", 56, 40, 8, 0, 0, 0, 1)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (GREY[top::down, left::across] for top, left, down, across in passes)  # Adam7, each row without a filter
    stored = zlib.compress(b"".join(b"\0" + row.tobytes() for part in parts for row in part))
    chunks = ((b"IHDR", header), (b"IDAT", stored), (b"IEND", b""))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.png"))[0], GREY)
    assert (capfd.readouterr().err, caplog.records) == ("", [])


@pytest.mark.parametrize("masks", [(0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000), (0x3FF00000, 0xFFC00, 0x3FF)])
@pytest.mark.parametrize("header", [40, 108])
def test_the_masks_of_a_bmp_file(tmp_path, masks, header):
    """OpenCV reads masks in a long header, and takes those behind the short one for the usual ones."""
    colours = RNG.integers(0, 250, (3, 40, 56)).astype(np.uint8)
    stored = np.zeros((40, 56), "<u4")
    for mask, colour in zip(masks, colours, strict=True):
        lowest, bits = (mask & -mask).bit_length() - 1, mask.bit_count()
        stored |= colour.astype(np.uint32) << (lowest + bits - 8)
    start = 14 + header + (12 if header == 40 else 0)
    fields = struct.pack("<IiiHHIIiiII", header, 56, -40, 1, 32, 3, stored.nbytes, 0, 0, 0, 0)
    about = (fields + struct.pack("<III4s", *masks, bytes(4)) + b"BGRs" + bytes(64))[: start - 14]
    first = b"BM" + struct.pack("<IHHI", start + stored.nbytes, 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(first + about + stored.tobytes())
    if header == 40 and masks[0] != 0xFF0000:
        with pytest.raises(ImageError, match="a.bmp: its colours are in an unusual order"):
            open_image(tmp_path / "a.bmp")
    else:
        np.testing.assert_allclose(everything(open_image(tmp_path / "a.bmp")), colours, atol=masks[2] != 0xFF)


def test_an_animation_says_that_one_picture_is_read(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), GREY)
    data = path.read_bytes()
    assert open_image(path).info.notes == ()
    end = data.index(b"IHDR") + 21  # behind the checksum
    path.write_bytes(data[:end] + png_chunk(b"acTL", struct.pack(">II", 2, 0)) + data[end:])
    image = open_image(path)
    np.testing.assert_array_equal(everything(image)[0], GREY)
    assert image.info.notes == ("It is an animation, and only its first picture is read.",)


def test_pixels_that_are_no_squares(tmp_path):
    """Areas and diameters are those of squares of the same area."""
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "um", "PhysicalSizeYUnit": "um"}
    pixels = np.zeros((40, 60), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "YX", **sizes})
    tifffile.imwrite(tmp_path / "b.tif", pixels, resolution=(20_000, 40_000), resolutionunit="CENTIMETER")
    for name in ("a.ome.tif", "b.tif"):
        info = open_image(tmp_path / name).info
        assert info.pixel_sides_um == (0.25, 0.5)
        assert info.pixel_size_um == pytest.approx(np.sqrt(0.125))
        assert "0.5 x 0.25 um (width x height)" in in_words(describe_file(tmp_path / name))
    tifffile.imwrite(tmp_path / "c.tif", pixels, resolution=(20_000, 20_001), resolutionunit="CENTIMETER")
    assert open_image(tmp_path / "c.tif").info.pixel_sides_um is None


def test_a_part_of_an_ome_file_names_the_other_parts(tmp_path):
    """Also if it was renamed: its own old name is not among them."""
    first, other = "urn:uuid:00000000-0000-0000-0000-000000000001", "urn:uuid:00000000-0000-0000-0000-000000000002"
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="part{t}.ome.tif">{uuid}</UUID></TiffData>'
        for t, uuid in enumerate((first, other))
    )
    xml = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{first}"><Image ID="Image:0"><Pixels '
        'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="60" SizeY="40" SizeZ="1" SizeC="1" SizeT="2">'
        f'<Channel ID="Channel:0:0"/>{data}</Pixels></Image></OME>'
    )
    for name in ("part0.ome.tif", "renamed.ome.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((40, 60), np.uint8), description=xml, metadata=None)
        with pytest.raises(ImageError, match=r"some planes are in part1\.ome\.tif\)"):
            open_image(tmp_path / name)


def test_the_declared_entry_of_a_palette_is_read_as_its_colour(tmp_path):
    pixels = np.full((40, 60), 7, np.uint8)
    table = np.full((3, 256), 5, np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="palette", colormap=table, extratags=[(42113, "s", 0, "7", True)]
    )
    image = open_image(tmp_path / "a.tif")
    assert (image.read(0, 0, 40, 60) == 5).all()
    assert image.info.nodata is None
    assert image.info.notes == ("The entry 7 of its palette is declared as no data, but is read as its colour.",)


def test_a_damaged_profile_in_a_png_file_prints_nothing(tmp_path):
    """In a new process: pytest takes the messages that Python prints if nobody handles them."""
    data = cv2.imencode(".png", np.zeros((40, 60), np.uint8))[1].tobytes()
    at = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:at] + png_chunk(b"iCCP", b"bad\0\0" + zlib.compress(b"x" * 200)) + data[at:])
    code = f"import flowmask; print(flowmask.open_frames({str(tmp_path / 'a.png')!r})[0][1].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("(1, 40, 60)", "")


def test_an_array_of_unknown_shape_is_refused():
    array = SimpleNamespace(shape=(np.nan, 60), dtype=np.dtype(np.uint8))
    with pytest.raises(ImageError, match="unknown shape"):
        as_image(array)
