"""What people open next: a picture with outlines, tables, outlines for QuPath and ImageJ, labels for viewers of slides.

All outputs of an image are made in one pass over its labels and its pixels, a strip of rows at a time: one thread reads
the rows and gives them to the outputs, another gives them the cells that are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import SettingsError, as_utf8
from ..images.image import Image
from ..images.memmap import Pixels
from ..labels.cell_table import CellTable
from ..labels.labels import Labels
from ..labels.paths import LABEL_SUFFIX
from ..options import named
from ..system.prefetch import prefetch
from . import h5ad, ome_tiff, ome_zarr, parquet, table
from .complete_cells import Cells, complete_cells
from .geojson import geojson_name, write_geojson
from .measurements import Intensities, Measurements
from .overlay import display_ranges, write_overlay
from .pyramid import Pyramid
from .report.card import ENDING as CARD_ENDING
from .report.card import write_card
from .rois import write_rois
from .subject import Subject, channel_names


def exists(path: Path) -> bool:
    """Return whether an output is there: a file, or the folder of an OME-Zarr. Both appear complete or not at all.

    >>> exists(Path("missing.csv"))
    False
    """
    return path.is_file() or (path / "zarr.json").is_file()


class Sink(Protocol):
    """An output of one image that is being written. `rows` and `cells` are called in two threads, each in order."""

    def rows(self, labels: Labels, pixels: Pixels, /) -> None:
        """Add the next rows: labels (n, X) int32, and pixels (C, n, X) in the image's dtype."""
        ...

    def cells(self, cells: Cells, /) -> None:
        """Add some cells all of whose rows have been added."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of output."""

    meaning: str
    """One line for the help text."""
    ending: Callable[[int], str]
    """Number of cells -> how the name of the file or folder ends; it replaces ``_label.tiff``."""
    needs: tuple[str, str] | None = field(default=None, kw_only=True)
    """The package that it needs, and the extra of Flowmask that installs it."""


@dataclass(frozen=True)
class Streamed(Kind):
    """An output that is made from the labels, the pixels or the cells."""

    open: Callable[[Path, Subject], AbstractContextManager[Sink]]
    """Opens the output; the file appears, complete, at the end of the context."""


@dataclass(frozen=True)
class Tabular(Kind):
    """An output that is made from the measurements of all cells."""

    open: Callable[[Path, Measurements], AbstractContextManager[Measurements]]
    """Gives the measurements; the file is written, and appears complete, at the end of the context."""


@dataclass(frozen=True)
class Counted(Kind):
    """An output that is made from the labels, the pixels and the intensities of all cells."""

    open: Callable[[Path, Intensities], AbstractContextManager[Sink]]
    """Opens the output; the file appears, complete, at the end of the context."""


@dataclass(frozen=True)
class Levelled(Kind):
    """An output that is made from the labels and smaller copies of them."""

    open: Callable[[Path, Pyramid], AbstractContextManager[Pyramid]]
    """Gives the pyramid; the file is written, and appears complete, at the end of the context."""


KINDS: dict[str, Streamed | Tabular | Counted | Levelled] = {
    "overlay": Streamed("picture with outlines (JPEG)", lambda _: "_overlay.jpg", write_overlay),
    "table": Tabular("measurements of each cell (CSV)", lambda _: table.ENDING, table.write_table),
    "geojson": Streamed("outlines for QuPath", geojson_name, write_geojson),
    "rois": Streamed("outlines for ImageJ and Fiji (zip)", lambda _: "_rois.zip", write_rois),
    "ome": Levelled("labels as OME-TIFF", lambda _: ome_tiff.ENDING, ome_tiff.write_ome_tiff),
    "zarr": Levelled("labels as OME-Zarr", lambda _: ome_zarr.ENDING, ome_zarr.write_ome_zarr, needs=("zarr", "zarr")),
    "parquet": Tabular(
        "measurements of each cell (Parquet)",
        lambda _: parquet.ENDING,
        parquet.write_parquet,
        needs=("pyarrow", "table"),
    ),
    "anndata": Tabular(
        "measurements of each cell (AnnData)", lambda _: h5ad.ENDING, h5ad.write_h5ad, needs=("h5py", "anndata")
    ),
    "report": Counted("page about all images (HTML)", lambda _: CARD_ENDING, write_card),
}
"""The outputs by their names for --save, beside the label file itself."""


def check_names(names: Iterable[str]) -> None:
    """Raise SettingsError if packages that outputs need are not installed.

    >>> check_names(["overlay", "table"])
    """
    needs = ((name, KINDS[name].needs) for name in names)
    missing = [(name, *needed) for name, needed in needs if needed and find_spec(needed[0]) is None]
    if missing:
        outputs, packages, extras = zip(*missing, strict=True)
        raise SettingsError(
            f"{named('save', ','.join(outputs))} needs {' and '.join(packages)}, not installed; run: pip install "
            f'"flowmask[{",".join(extras)}]".'
        )


def output_path(name: str, target: Path, cells: int) -> Path:
    """Return the file of an output beside the label file ``target``.

    >>> output_path("table", Path("out/a_label.tiff"), 3).as_posix()
    'out/a_cells.csv'
    """
    return target.with_name(target.name.removesuffix(LABEL_SUFFIX) + KINDS[name].ending(cells))


def save_outputs(
    names: Sequence[str],
    target: Path,
    image: Image,
    cells: CellTable,
    pixel_size_um: float | None,
    strips: Iterable[npt.NDArray[np.integer]],
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write outputs of a segmented image and return their paths; see `write_outputs`.

    facts: as in `Subject`.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.images.image import as_image
    >>> from flowmask.labels.cell_table import CellTableBuilder
    >>> empty, labels = CellTableBuilder().table(), np.zeros((4, 5), np.int32)
    >>> with TemporaryDirectory() as folder:
    ...     (path,) = save_outputs(["table"], Path(folder, "a_label.tiff"), as_image(labels), empty, None, [labels], {})
    ...     path.name, len(path.read_text().splitlines())  # a header alone
    ('a_cells.csv', 1)
    """
    channels, height, width = image.shape
    names_of_channels = channel_names(image.info.channel_names, channels)
    display = display_ranges(image) if {"overlay", "report"} & set(names) else np.zeros((channels, 2))
    name = as_utf8(target.name.removesuffix(LABEL_SUFFIX))
    sides = image.info.pixel_sides_um if pixel_size_um == image.info.pixel_size_um else None
    subject = Subject((height, width), names_of_channels, pixel_size_um, cells, display, facts, name, sides)
    return write_outputs(names, target, subject, image, (strip.astype(np.int32) for strip in strips))


def write_outputs(
    names: Sequence[str], target: Path, subject: Subject, image: Image, strips: Iterable[Labels]
) -> list[Path]:
    """Write outputs of an image and return their paths. Each file appears complete or not at all.

    names: keys of `KINDS`. target: the label file, beside which they are written. strips: the labels (n, X) int32 from
    the top down. Raises OutputError if a file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> from flowmask.images.image import as_image
    >>> from flowmask.labels.cell_table import CellTableBuilder
    >>> labels = np.array([[0, 1, 1]], np.int32)
    >>> builder = CellTableBuilder()
    >>> builder.add_cells([0.9], [0.1])
    >>> builder.add_rows(labels)
    >>> subject = Subject((1, 3), ("0",), None, builder.table(), np.array([[0.0, 1.0]]))
    >>> with TemporaryDirectory() as folder:
    ...     (path,) = write_outputs(["table"], Path(folder, "a_label.tiff"), subject, as_image(labels), [labels])
    ...     path.name, len(path.read_text().splitlines())  # a header and one cell
    ('a_cells.csv', 2)
    """
    paths = [(name, output_path(name, target, len(subject.cells))) for name in names]
    with ExitStack() as stack:
        intensities = Intensities(subject)
        measured, pyramid = Measurements(intensities), Pyramid(subject)
        opened = [stack.enter_context(_open(KINDS[name], path, measured, pyramid)) for name, path in paths]
        counted = any(isinstance(KINDS[name], Tabular | Counted) for name in names)
        sinks = list(dict.fromkeys([*opened, *([intensities] if counted else [])]))  # each once: outputs share some
        complete = complete_cells(_given_to(sinks, image, strips), subject.cells.bbox)
        with closing(prefetch(complete)) as found:  # its thread must end before the files are closed
            for cells in found:
                for sink in sinks:
                    sink.cells(cells)
    return [path for _, path in paths]


def _open(
    kind: Streamed | Tabular | Counted | Levelled, path: Path, measured: Measurements, pyramid: Pyramid
) -> AbstractContextManager[Sink]:
    match kind:
        case Tabular():
            return kind.open(path, measured)
        case Counted():
            return kind.open(path, measured.intensities)
        case Levelled():
            return kind.open(path, pyramid)
        case Streamed():
            return kind.open(path, measured.subject)


def _given_to(sinks: list[Sink], image: Image, strips: Iterable[Labels]) -> Iterator[Labels]:
    """Yield the strips after giving them, and the pixels of the same rows, to the sinks."""
    top = 0
    for strip in strips:
        labels = np.ascontiguousarray(strip, np.int32)
        bottom = top + len(labels)
        pixels = image.read(top, 0, bottom, labels.shape[1])
        for sink in sinks:
            sink.rows(labels, pixels)
        yield labels
        top = bottom
