"""Detect the format of a file from its first bytes, not from its name."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..errors import InputError

WHOLE, END = 4 * 2**20, 2**20
"""`fingerprint` reads a file of up to WHOLE bytes completely, and of a larger file END bytes at each end."""
HEAD = 16
"""Number of first bytes that are enough to detect a format."""
KINDS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"ZISRAWFILE": "CZI",
    b"\xda\xce\xbe\x0a": "ND2",
    b"\x70\0\0\0": "LIF",
}
"""First bytes of the formats that Flowmask reads."""
FORMATS = " or ".join(", ".join(dict.fromkeys(KINDS.values())).rsplit(", ", 1))
"""Their names, as a message lists them."""
LIF_TEST = b"\x2a"
"""The ninth byte of a LIF file, whose first bytes alone would say little."""
OTHERS = {
    b"GIF8": "GIF",
    b"RIFF": "WebP or AVI",
    b"\0\0\0\x0cjP  ": "JPEG 2000, as old Nikon ND2 files are",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xd0\xcf\x11\xe0": "Microsoft compound document, as Olympus OIB and Zeiss ZVI are",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"P2\n": "PGM",
    b"P5\n": "PGM",
    b"P6\n": "PPM",
    b"NRRD": "NRRD",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
}
"""First bytes of other formats, so that the error message can name them."""
IMAGE_SUFFIXES = frozenset(
    (
        *(".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".lsm", ".stk", ".png", ".jpg"),
        *(".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".czi", ".nd2", ".lif", ".oib", ".oif", ".zvi"),
        *(".vsi", ".mrxs", ".ims", ".dcm", ".fits", ".pgm", ".ppm", ".pnm", ".avif", ".heic", ".jxl", ".tga", ".exr"),
        *(".nrrd", ".dv", ".ics", ".oir"),
    )
)
"""Suffixes, in lower case, of files that people take for images; Flowmask does not read all of them."""

ZARR = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
"""Files that make a folder a Zarr array or group, of versions 3 and 2."""
ZARR_SUFFIX = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)
"""What the name of such a folder ends with."""


def kind_of(head: bytes) -> str | None:
    r"""Return the format of a file whose first `HEAD` bytes are ``head``: a value of `KINDS`, or None.

    >>> kind_of(b"II*\0"), kind_of(b"GIF89a")
    ('TIFF', None)
    """
    kind = next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)
    return None if kind == "LIF" and head[8:9] != LIF_TEST else kind


def read_kind(path: Path) -> str | None:
    """Return the format of a file: a value of `KINDS`, or None. Raises OSError when the file cannot be read.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as file:
    ...     _ = Path(file.name).write_bytes(b"BM")
    ...     read_kind(Path(file.name))
    'BMP'
    """
    with path.open("rb") as file:
        return kind_of(file.read(HEAD))


def other_kind(head: bytes) -> str | None:
    """Return the name of a format that Flowmask does not read, or None if the format is unknown.

    >>> other_kind(b"GIF89a"), other_kind(b"text")
    ('GIF', None)
    """
    return next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)


def is_meant_as_image(path: Path) -> bool:
    """Return whether a file in a folder is to be segmented, or reported if that fails: by its suffix or first bytes.

    A file that cannot be read counts as one, so that the error is reported.

    >>> is_meant_as_image(Path("cells.czi"))
    True
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        return read_kind(path) is not None
    except OSError:
        return True


def is_zarr(path: Path) -> bool:
    """Return whether a path is a folder that holds a Zarr array or an OME-Zarr image.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     before = is_zarr(Path(folder))
    ...     Path(folder, ".zattrs").touch()
    ...     before, is_zarr(Path(folder))
    (False, True)
    """
    # Path.is_dir raises an error for a link to a name that is too long; os.path.isdir does not.
    return os.path.isdir(path) and any((path / name).is_file() for name in ZARR)


def image_name(path: Path) -> str:
    """Return the name of an image in messages and in the names of its files.

    It is that of its file. For an image inside of a Zarr folder, such as one of the wells of a plate, it is the way to
    the image from the outermost Zarr folder.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     well = Path(folder, "plate.ome.zarr", "A", "1")
    ...     well.mkdir(parents=True)
    ...     for group in (well, well.parent, well.parent.parent):
    ...         (group / ".zgroup").touch()
    ...     image_name(well), image_name(Path("a.tif"))
    ('plate_A_1', 'a.tif')
    """
    whole = Path(os.path.abspath(path))
    parts = [path.name]
    for folder in whole.parents:
        if not is_zarr(folder):
            break
        parts.append(folder.name)
    outer, *inner = reversed(parts)
    return "_".join([ZARR_SUFFIX.sub("", outer), *inner]) if inner else path.name


def fingerprint(path: Path) -> str:
    """Return a SHA-256 that identifies an image file or an OME-Zarr folder, without reading all of a large one.

    For a file of up to `WHOLE` bytes it is the hash of the contents. For a larger file it is the hash of the size, the
    time of the last change, and the first and last `END` bytes. A copy of a large file can therefore have another
    fingerprint. The same holds for a folder, with the sizes and times of all its files if it is large. Raises
    InputError when the file cannot be read.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as file:
    ...     fingerprint(Path(file.name))[:12]  # of an empty file
    'e3b0c44298fc'
    """
    try:
        if os.path.isdir(path):
            return _fingerprint_of_folder(path)
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size <= WHOLE:
                return hashlib.file_digest(file, "sha256").hexdigest()
            partial = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
            partial.update(file.read(END))
            file.seek(-END, os.SEEK_END)
            partial.update(file.read(END))
            return partial.hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: it cannot be read ({error.strerror}); check the file and its permissions."
        ) from error


def _fingerprint_of_folder(path: Path) -> str:
    """Return a SHA-256 of the names and the contents of all files in a folder; above `WHOLE` bytes, see `fingerprint`.

    Raises OSError if a file or a folder cannot be read.
    """
    found: dict[str, os.stat_result] = {}
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders.sort()
        found |= {str(Path(folder, name)): os.stat(Path(folder, name)) for name in sorted(names)}
    whole = sum(status.st_size for status in found.values()) <= WHOLE
    total = hashlib.sha256()
    for name, status in found.items():
        contents = hashlib.sha256(Path(name).read_bytes()).hexdigest() if whole else status.st_mtime_ns
        total.update(f"{os.path.relpath(name, path)}\0{status.st_size} {contents}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _raise(error: OSError) -> None:
    raise error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's contents, 64 hexadecimal digits. Raises InputError when it cannot be read.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as file:
    ...     digest(Path(file.name))[:12]  # of an empty file
    'e3b0c44298fc'
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: it cannot be read ({error.strerror}); check the file and its permissions."
        ) from error
