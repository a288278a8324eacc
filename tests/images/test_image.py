"""Every format and layout that the README names, read back to the same pixels."""

import struct
import tempfile
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from flowmask.errors import ImageError, SettingsError
from flowmask.images.image import as_image
from flowmask.images.readers import open_image

RNG = np.random.default_rng(11)
GREY = RNG.integers(0, 255, (37, 53)).astype(np.uint8)
COLOUR = RNG.integers(0, 255, (37, 53, 3)).astype(np.uint8)


def everything(image):
    return image.read(0, 0, *image.shape[1:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_grey_tiff(tmp_path, dtype, compression):
    pixels = (GREY * 3.5).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), pixels[None])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff(tmp_path, planar):
    pixels = COLOUR if planar == "contig" else COLOUR.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.TIFF", pixels, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.TIFF")), COLOUR.transpose(2, 0, 1))


def test_tiff_with_alpha(tmp_path):
    pixels = np.dstack([COLOUR, GREY])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), COLOUR.transpose(2, 0, 1))


def test_tiff_with_many_samples(tmp_path):
    pixels = RNG.integers(0, 255, (37, 53, 6)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_tiff_with_named_channels(tmp_path, kind):
    pixels = RNG.integers(0, 60000, (5, 37, 53)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **{kind: True}, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), pixels)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_stack_is_refused_with_the_way_out(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 8, 8), np.uint8), imagej=True, metadata={"axes": axes})
    with pytest.raises(ImageError, match="a.tif: it is a (stack|series) of 9 (planes|frames).*choose one"):
        open_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 3, 8, 8), np.uint8), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ImageError, match="it is a stack of 2 planes"):
        open_image(tmp_path / "b.tif")


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_pictures_come_back_exactly(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"grey{suffix}"), GREY)
    cv2.imwrite(str(tmp_path / f"colour{suffix}"), COLOUR[..., ::-1])
    np.testing.assert_array_equal(everything(open_image(tmp_path / f"colour{suffix}")), COLOUR.transpose(2, 0, 1))
    grey = everything(open_image(tmp_path / f"grey{suffix}"))
    assert all((channel == GREY).all() for channel in grey)


def test_16_bit_and_transparent_png(tmp_path):
    deep = GREY.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "deep.png")), deep[None])
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([COLOUR[..., ::-1], GREY]))
    np.testing.assert_array_equal(everything(open_image(tmp_path / "alpha.png")), COLOUR.transpose(2, 0, 1))


def test_jpeg_is_near_the_original(tmp_path):
    smooth = cv2.GaussianBlur(COLOUR, (0, 0), 5)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    read = everything(open_image(tmp_path / "a.jpg")).astype(int)
    assert abs(read - smooth.transpose(2, 0, 1)).mean() < 3


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.bmp", "notes.txt"])
@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_what_is_no_image_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"{name}: it is no"):
        open_image(tmp_path / name)


def test_a_truncated_tiff_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 255, (400, 400)).astype(np.uint8), compression="zlib")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="a.tif: "):
        open_image(tmp_path / "a.tif")


def test_arrays():
    assert as_image(GREY).shape == (1, 37, 53)
    assert as_image(COLOUR).shape == (3, 37, 53)
    assert as_image(COLOUR.transpose(2, 0, 1)).shape == (3, 37, 53)
    for wrong in (np.zeros(3), np.zeros((2, 3, 4, 5)), np.zeros((0, 4)), GREY.astype(complex)):
        with pytest.raises(ImageError):
            as_image(wrong)


def test_masked_pixels_do_not_count():
    masked = np.ma.masked_array(GREY, mask=GREY > 100)
    expected = np.where(GREY > 100, np.nan, GREY.astype(np.float32))
    np.testing.assert_array_equal(everything(as_image(masked)), expected[None])
    np.testing.assert_array_equal(everything(as_image(np.ma.masked_array(GREY))), GREY[None])
    assert as_image(np.ma.masked_array(GREY)).dtype == np.uint8


def test_a_matrix_is_an_array():
    np.testing.assert_array_equal(everything(as_image(np.matrix(GREY))), GREY[None])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32"])
def test_a_tensor_is_an_array(dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(COLOUR.transpose(2, 0, 1)).to(getattr(torch, dtype))
    np.testing.assert_array_equal(everything(as_image(tensor)), COLOUR.transpose(2, 0, 1))


def test_a_tensor_that_cannot_be_read_is_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match="type Tensor cannot be read .*convert it to a NumPy array"):
        as_image(torch.zeros((8, 8), requires_grad=True))


class NamedAxes:
    """An array with named axes, as xarray.DataArray has them."""

    def __init__(self, array, dims):
        self.array, self.dims, self.shape, self.dtype = array, dims, array.shape, array.dtype

    def __getitem__(self, index):
        return self.array[index]


@pytest.mark.parametrize("dims", [("x", "channel", "y"), ("X", "C", "Y")])
def test_named_axes_of_an_array_are_used(dims):
    image = as_image(NamedAxes(np.stack([GREY.T] * 7, axis=1), dims))
    np.testing.assert_array_equal(everything(image), np.stack([GREY] * 7))


def test_unknown_names_of_axes_are_guessed_by_shape():
    image = as_image(NamedAxes(COLOUR, ("height", "width", "rgb")))
    np.testing.assert_array_equal(everything(image), COLOUR.transpose(2, 0, 1))


@pytest.mark.parametrize("thing", [GREY.tolist(), Image.fromarray(GREY), None, 5, b"a.tif"])
def test_what_is_no_array_is_named(thing):
    with pytest.raises(ImageError, match=f"of the type {type(thing).__name__} is not an image; .*numpy.asarray"):
        as_image(thing)


def test_axes_that_are_no_text_are_refused():
    with pytest.raises(SettingsError, match="one letter for each axis"):
        as_image(GREY, axes=5)


def test_arrays_of_many_planes_are_refused():
    with pytest.raises(ImageError, match="up to 4 channels"):
        as_image(np.zeros((30, 20, 25)))


def test_a_short_stack_is_no_colour_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ImageError, match="it is a stack of 3 planes"):
        open_image(tmp_path / "a.tif")


def test_white_that_is_stored_as_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", 255 - GREY, photometric="miniswhite")
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), GREY[None])


def test_a_palette_tiff_has_its_colours(tmp_path):
    palette = RNG.integers(0, 65535, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.tif")), palette[:, GREY])


def test_grey_png_with_alpha_has_one_channel(tmp_path):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = GREY.shape
    rows = b"".join(b"\0" + np.dstack([row, row // 2]).tobytes() for row in GREY)
    header = struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    np.testing.assert_array_equal(everything(open_image(tmp_path / "a.png")), GREY[None])


def test_a_header_of_a_million_pixels_a_side_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 10**6, 10**6)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="a.png: "):
        open_image(tmp_path / "a.png")


def test_pages_without_names_are_a_stack(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(3):
            file.write(GREY, contiguous=False, metadata=None)
    with pytest.raises(ImageError, match="a.tif: it is a stack of 3 planes"):
        open_image(tmp_path / "a.tif")


def test_a_file_of_several_images_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:20])
    with pytest.raises(ImageError, match="a.tif: it holds 2 images"):
        open_image(tmp_path / "a.tif")


def test_memory_that_runs_out_is_no_damage(tmp_path, monkeypatch):
    def nothing_left(*_, **__):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib")
    with monkeypatch.context() as patch:
        patch.setattr(tifffile.TiffPage, "decode", property(lambda _: nothing_left))
        image = open_image(tmp_path / "a.tif")
        with pytest.raises(MemoryError):
            image.read(0, 0, 1, 1)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-1])
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", nothing_left)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", nothing_left)
    with pytest.raises(MemoryError):
        open_image(tmp_path / "a.tif")


def test_what_is_large_lies_on_disk(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), COLOUR[..., ::-1])
    made = []
    monkeypatch.setattr("flowmask.images.memmap.LARGE", 1000)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda real=tempfile.TemporaryFile: made.append(real()) or made[-1])
    image = open_image(tmp_path / "a.png")
    assert len(made) == 1
    np.testing.assert_array_equal(everything(image), COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.read(3, 5, 4, 6), COLOUR[3:4, 5:6].transpose(2, 0, 1))


def test_a_disk_without_room_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cv2.imwrite(str(tmp_path / "a.png"), COLOUR)
    monkeypatch.setattr("flowmask.images.memmap.LARGE", 1000)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ImageError, match="a.png: its pixels take 0.0 GiB.*No space left on device.*TMPDIR"):
        open_image(tmp_path / "a.png")
