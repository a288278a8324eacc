"""Files of microscopes: CZI written by the vendor's library, LIF written here byte by byte, a stand-in for ND2."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from flowmask.errors import ImageError
from flowmask.images.readers import open_frames, open_image
from flowmask.images.report import describe_file
from tests.conftest import ROOT

RNG = np.random.default_rng(8)
STACK = RNG.integers(0, 60000, (2, 3, 2, 40, 56)).astype(np.uint16)
"""(T, Z, C, Y, X)."""
COLOUR = RNG.integers(0, 256, (40, 56, 3)).astype(np.uint8)


def everything(image):
    pixels = image.read(0, 0, *image.shape[1:])
    assert (pixels.shape, pixels.dtype) == (image.shape, image.dtype)
    return pixels


def assert_windows(image, expected):
    np.testing.assert_array_equal(everything(image), expected)
    for top, left, bottom, right in ((0, 0, 1, 1), (3, 5, 20, 41), (39, 55, 40, 56)):
        window = image.read(top, left, bottom, right)
        np.testing.assert_array_equal(window, expected[:, top:bottom, left:right])


@pytest.fixture
def czi():
    return pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw, of the extra formats, is missing")


def test_czi(czi, tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as out:
        for t, z, c in np.ndindex(2, 3, 2):
            pixels, plane = STACK[t, z, c][..., None], {"T": t, "Z": z, "C": c}
            for left in (0, 28):  # two tiles of a mosaic
                out.write(pixels[:, left : left + 28], location=(100 + left, -50), plane=plane, scene=0)
            out.write(pixels[:20, :30], location=(900, 70), plane=plane, scene=1)
        out.write_metadata("a", channel_names={0: "DAPI", 1: "PanCK"}, scale_x=0.25e-6, scale_y=0.25e-6)
    frames = open_frames(tmp_path / "a.czi", plane=3)
    assert frames.suffixes == ("_p001_t001", "_p001_t002", "_p002_t001", "_p002_t002")
    assert_windows(frames[1][1], STACK[1, 2])
    np.testing.assert_array_equal(everything(frames[2][1]), STACK[0, 2, :, :20, :30])
    np.testing.assert_array_equal(everything(open_frames(tmp_path / "a.czi", project="max")[0][1]), STACK[0].max(0))
    info = frames[0][1].info
    assert (info.file_type, info.channel_names, info.pixel_size_um) == ("Zeiss CZI", ("DAPI", "PanCK"), 0.25)
    with pytest.raises(ImageError, match="a.czi: it is a stack of 3 planes"):
        open_image(tmp_path / "a.czi")
    assert describe_file(tmp_path / "a.czi")["frames"] == ["T2"]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (COLOUR[..., ::-1], COLOUR.transpose(2, 0, 1)),
        (COLOUR[..., ::-1] * np.uint16(200), COLOUR.transpose(2, 0, 1) * np.uint16(200)),
        (COLOUR[..., :1], COLOUR[None, ..., 0]),
        (STACK[0, 0, 0][..., None] / np.float32(3), STACK[0, 0, 0][None] / np.float32(3)),
    ],
)
def test_czi_of_every_type(czi, tmp_path, pixels, expected):
    with czi.create_czi(str(tmp_path / "a.czi")) as out:
        out.write(np.ascontiguousarray(pixels))
    image = open_image(tmp_path / "a.czi")
    assert image.dtype == expected.dtype
    assert_windows(image, expected)


def test_czi_that_was_cut_off(czi, tmp_path):
    with czi.create_czi(str(tmp_path / "a.czi")) as out:
        out.write(STACK[0, 0, 0][..., None])
    (tmp_path / "a.czi").write_bytes((tmp_path / "a.czi").read_bytes()[:2000])
    with pytest.raises(ImageError, match="a.czi: its Zeiss CZI data cannot be read"):
        open_image(tmp_path / "a.czi")


DIMENSION = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


def lif_block(text, data=None):
    """Return a block of a LIF file: the XML text, or the pixels ``data`` of the memory block ``text``."""
    words = text.encode("utf-16-le")
    named = b"\x2a" + len(text).to_bytes(4, "little") + words
    if data is not None:
        named = b"\x2a" + len(data).to_bytes(8, "little") + named
    return b"\x70\0\0\0" + len(named).to_bytes(4, "little") + named + (data or b"")


def lif(images):
    """Return a LIF file of images: name -> (pixels, axes). The channels C or colours S of all have the same type."""
    elements, blocks = "", b""
    for number, (name, (pixels, axes)) in enumerate(images.items()):
        steps = dict(zip(axes, pixels.strides, strict=True))
        lengths = dict(zip(axes, pixels.shape, strict=True))
        channel = "S" if "S" in axes else "C"
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="{index + 1 if channel == "S" else 0}" '
            f'Resolution="{8 * pixels.itemsize}" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" '
            f'LUTName="dye {index}" IsLUTInverted="0" BytesInc="{index * steps.get(channel, 0)}" BitInc="0"/>'
            for index in range(lengths.get(channel, 1))
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{DIMENSION[axis]}" NumberOfElements="{lengths[axis]}" Origin="0" '
            f'Length="{0.5e-6 * (lengths[axis] - 1)}" Unit="m" BytesInc="{steps[axis]}" BitInc="0"/>'
            for axis in axes[::-1]
            if axis not in "CS"
        )
        elements += (
            f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{channels}</Channels><Dimensions>'
            f"{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        blocks += lif_block(f"MemBlock_{number}", pixels.tobytes())
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="all"><Children>{elements}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    return lif_block(xml) + blocks


@pytest.fixture
def lif_file(tmp_path):
    pytest.importorskip("liffile", reason="liffile, of the extra formats, is missing")
    return tmp_path / "a.lif"


@pytest.mark.parametrize("axes", ["TZCYX", "TCZYX", "CTZYX"])
def test_lif(lif_file, axes):
    pixels = np.ascontiguousarray(STACK.transpose(["TZCYX".index(axis) for axis in axes]))
    lif_file.write_bytes(lif({"cells": (pixels, axes)}))
    frames = open_frames(lif_file, plane=2)
    assert frames.suffixes == ("_t001", "_t002")
    for number, (_, image) in enumerate(frames):
        assert_windows(image, STACK[number, 1])
    info = frames[0][1].info
    assert (info.file_type, info.name, info.channel_names) == ("Leica LIF", "cells", ("dye 0", "dye 1"))
    assert info.pixel_size_um == pytest.approx(0.5)


def test_lif_of_several_images(lif_file):
    images = {
        "first": (STACK[0, 0, 0], "YX"),
        "a mosaic": (STACK[0, 0], "MYX"),
        "a section": (STACK[0, :, 0, 0], "ZX"),
        "colours": (COLOUR, "YXS"),
    }
    lif_file.write_bytes(lif(images))
    frames = open_frames(lif_file)
    assert frames.suffixes == ("_p001", "_p002_p001", "_p002_p002", "_p003")
    assert_windows(frames[0][1], STACK[0, 0, 0][None])
    assert_windows(frames[2][1], STACK[0, 0, 1][None])
    assert_windows(frames[3][1], COLOUR.transpose(2, 0, 1))
    assert frames[0][1].info.notes == (
        "These images in it are not single images or stacks and are not segmented: a section.",
    )
    assert describe_file(lif_file)["positions"] == ["first", "a mosaic", "colours"]


def test_lif_that_was_cut_off(lif_file):
    data = lif({"first": (STACK[0, 0, 0], "YX")})
    for length in (60, 900, len(data) - 10):
        lif_file.write_bytes(data[:length])
        with pytest.raises(ImageError, match="a.lif: its? "):
            open_image(lif_file)
    lif_file.write_bytes(lif({"a section": (STACK[0, :, 0, 0], "ZX")}))
    with pytest.raises(ImageError, match="a.lif: it holds no image with the axes Y and X"):
        open_image(lif_file)


class StandIn:
    """Has the members of `nd2.ND2File` that are used; no package writes ND2 files."""

    components_per_channel = 1
    dtype = np.dtype("uint16")

    def __init__(self, path):
        self.sizes = {"T": 2, "P": 2, "Z": 3, "C": 2, "Y": 40, "X": 56}
        self.loop_indices = tuple({"T": t, "P": p, "Z": z} for t, p, z in np.ndindex(2, 2, 3))
        channels = [SimpleNamespace(channel=SimpleNamespace(name=name)) for name in ("DAPI", "GFP")]
        self.metadata = SimpleNamespace(channels=channels)
        points = [SimpleNamespace(name=name) for name in ("A1", "B2")]
        self.experiment = [SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points))]
        self.closed, self.read = False, []

    def voxel_size(self):
        return SimpleNamespace(x=0.325)

    def read_frame(self, number):
        self.read.append(number)
        t, p, z = self.loop_indices[number].values()
        return STACK[t, z] + np.uint16(p)

    def close(self):
        self.closed = True


class Coloured(StandIn):
    components_per_channel = 3
    dtype = np.dtype("uint8")

    def __init__(self, path):
        super().__init__(path)
        self.sizes, self.loop_indices, self.experiment = {"Y": 40, "X": 56, "S": 3}, ({},), []
        self.metadata = SimpleNamespace(channels=[])

    def read_frame(self, number):
        return COLOUR[..., ::-1]


@pytest.fixture
def nd2_file(tmp_path):
    (tmp_path / "a.nd2").write_bytes(b"\xda\xce\xbe\x0a" + bytes(100))
    return tmp_path / "a.nd2"


def stand_in(monkeypatch, opener):
    monkeypatch.setitem(sys.modules, "nd2", SimpleNamespace(ND2File=opener))


def test_nd2(nd2_file, monkeypatch):
    stand_in(monkeypatch, StandIn)
    frames = open_frames(nd2_file, plane=2)
    assert frames.suffixes == ("_p001_t001", "_p001_t002", "_p002_t001", "_p002_t002")
    assert_windows(frames[1][1], STACK[1, 1])
    assert_windows(frames[2][1], STACK[0, 1] + np.uint16(1))
    info = frames[2][1].info
    assert (info.name, info.channel_names, info.pixel_size_um) == ("B2", ("DAPI", "GFP"), 0.325)
    np.testing.assert_array_equal(everything(open_frames(nd2_file, project="max")[0][1]), STACK[0].max(0))


def test_a_frame_of_nd2_is_read_once_for_its_channels_and_the_file_is_closed(nd2_file, monkeypatch):
    opened = []
    stand_in(monkeypatch, lambda path: opened.append(StandIn(path)) or opened[-1])
    frames = open_frames(nd2_file, plane=2)
    everything(frames[3][1])
    assert opened[0].read == [10]
    del frames
    assert opened[0].closed


def test_nd2_of_colours(nd2_file, monkeypatch):
    stand_in(monkeypatch, Coloured)
    assert_windows(open_image(nd2_file), COLOUR.transpose(2, 0, 1))


def test_nd2_that_is_damaged(nd2_file):
    pytest.importorskip("nd2", reason="nd2, of the extra formats, is missing")
    with pytest.raises(ImageError, match="a.nd2: its Nikon ND2 data cannot be read"):
        open_image(nd2_file)


@pytest.mark.parametrize(
    ("head", "package", "kind"),
    [
        (b"ZISRAWFILE\0\0\0", "pylibCZIrw", "Zeiss CZI"),
        (b"\xda\xce\xbe\x0a", "nd2", "Nikon ND2"),
        (lif_block("x"), "liffile", "Leica LIF"),
    ],
)
def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path, monkeypatch, head, package, kind):
    (tmp_path / "a").write_bytes(head + bytes(100))
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"{package}.czi", raising=False)
    with pytest.raises(ImageError) as error:
        open_image(tmp_path / "a")
    assert str(error.value) == (
        f"{tmp_path / 'a'}: the package {package}, which reads {kind}, is not installed; install it with "
        'pip install "flowmask[formats]", or save the image as TIFF.'
    )


def test_other_files_do_not_load_the_readers(tmp_path):
    code = (
        "import sys, numpy, tifffile; from pathlib import Path; from flowmask.images.readers import open_image\n"
        f"path = Path({str(tmp_path / 'a.tif')!r}); tifffile.imwrite(path, numpy.eye(9)); open_image(path)\n"
        "assert not {'pylibCZIrw', 'nd2', 'liffile', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
