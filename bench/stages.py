"""How long each stage of an image takes by itself, with nothing beside it: what the threads of the engine overlap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnxruntime
from flowmask.families.flow.strip import label_rows
from flowmask.images.image import open_image
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.network.session import OnnxNetwork
from flowmask.options import Settings, parse_device
from flowmask.tiles.blend import finished_rows, groups
from flowmask.tiles.grid import TileGrid, tile_grid
from flowmask.tiles.normalise import channel_map, intensity_ranges
from flowmask.tiles.rescale import NormalisedView

from bench.dynamics import parts
from bench.mosaic import mosaic, network_like

Array = npt.NDArray[np.float32]
TEMPLATE = 1000
Seconds = dict[str, float]


def resident(network: OnnxNetwork, tiles: Array) -> Callable[[], None]:
    """Return what runs a network on tiles (B, C, Y, X) that lie on its device and leaves the maps there."""
    kind, index = parse_device(network.device)
    place = ("cpu", 0) if kind == "cpu" else ("cuda", index)
    binding = network.session.io_binding()
    binding.bind_ortvalue_input("image", onnxruntime.OrtValue.ortvalue_from_numpy(tiles, *place))
    binding.bind_output("maps", *place)

    def run() -> None:
        network.session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


class Still:
    """A view (Y, X) that gives the same tile of noise wherever it is read."""

    def __init__(self, shape: tuple[int, int], tile: Array) -> None:
        self.shape, self._tile = shape, tile

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        return self._tile


def stages(path: Path, network: OnnxNetwork, batch: int, share: float) -> Seconds:
    """Return the seconds that each stage takes for an image at scale 1, found on the uppermost ``share`` of its rows.

    The percentiles are those of the whole image. Nothing is copied to and from the bare network. Blending gets the same
    maps again and again, the dynamics maps of simulated cells of the network's mean diameter.
    """
    image, contract = open_image(path), network.contract
    height, width = image.shape[1:]
    some = min(height, max(contract.tile * 2, round(share * height)))
    plan, scale = channel_map(contract.channels, image.shape[0]), height / some
    found: Seconds = {}
    with _timed(found, "percentiles"):
        level = intensity_ranges(image, plan, contract.percentiles)
    view = NormalisedView(image, plan, level, 1.0)
    rows, columns = tile_grid(some, contract.tile), tile_grid(width, contract.tile)
    with _timed(found, "reading and tiles", scale):
        for tile in _tiles(view, rows, columns):
            last = tile
    together = [len(group) for group in groups(columns.starts, batch)]
    tiles = np.stack([last] * max(together))
    maps = network.maps(tiles)
    with _timed(found, "network", scale):
        for _ in rows.starts:
            for count in together:
                network.maps(tiles[:count])
    bare = resident(network, tiles)
    bare()
    with _timed(found, "bare network", scale):
        for _ in range(len(rows.starts) * len(together)):
            bare()
    still = Still((some, width), last)
    given: Callable[[Array], Array] = lambda tiles: maps[: len(tiles)]  # noqa: E731
    with _timed(found, "blending", scale):
        for _ in finished_rows(still, given, rows, columns, contract.tile, batch):  # type: ignore[arg-type]
            pass
    template = network_like(mosaic(TEMPLATE, TEMPLATE, contract.mean_diameter)[1])
    wide = np.tile(template, (1, 1, -(-width // TEMPLATE)))[:, :, :width]
    with _timed(found, "dynamics", scale):
        labels = list(label_rows(parts(wide, some), (some, width), (some, width), Settings()))
    with (
        TemporaryDirectory() as folder,
        _timed(found, "label file", scale),
        LabelStore(Path(folder), (some, width)) as store,
    ):
        for part in labels:
            store.append(part)
        write_labels(Path(folder) / "a_label.tiff", store, "int32")
    return found


def _tiles(view: NormalisedView, rows: TileGrid, columns: TileGrid) -> Iterator[Array]:
    for top in rows.starts:
        for left in columns.starts:
            yield view.read(top, left, top + rows.tile, left + columns.tile)


@contextmanager
def _timed(found: Seconds, stage: str, scale: float = 1.0) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    found[stage] = scale * (time.perf_counter() - begun)
