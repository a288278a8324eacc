"""Wall clock and processor time of each stage, in ms per megapixel, on tissue, sparse cells, empty glass and H&E.

`python -m bench.speed.profile --only stages` runs it. No two stages run at the same time, the labels have one thread,
and the smallest time of some repeats counts. The rest of the labelling is mostly the copying of rows. The network
processes one tile of empty glass and no more, as in every run, so there the last row of the table says little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt

from bench.record import Record, table
from flowmask.families import family_of
from flowmask.families.flow import strip
from flowmask.images.image import Image
from flowmask.images.readers import open_image
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.store import LabelStore
from flowmask.labels.writers import write_labels
from flowmask.network.session import Network
from flowmask.options import Runtime, Segmentation
from flowmask.pipeline import plan_image, run_tiles
from flowmask.tiles import blend
from flowmask.tiles.inputs import find_inputs
from flowmask.tiles.plan import ImagePlan
from flowmask.tiles.rescale import NormalisedView
from train.simulate import simulate

Array = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
"""(2,) seconds: wall clock and CPU time of all threads. On a busy machine only the second says much."""
IMAGES = {
    "dense tissue": "dense_tissue",
    "sparse cells": "fluorescence_nuclei",
    "empty glass": None,
    "H&E": "tissue_section",
}
"""What is measured, and the modality of the simulator; None: all pixels have one value."""
GLASS = 240
"""Grey level of empty glass."""
PARTS = {
    "flow field": ("inner_field", "trapping"),
    "path following": ("follow",),
    "sink histogram and seeds": ("count_ends", "peaks", "grow"),
    "labels": ("label", "measure"),
    "flow check": ("quality",),
    "numbers and holes": ("renumber", "fill_holes"),
}
"""The parts of the flow family's labelling, and the functions that `flowmask.families.flow.strip` calls for each."""
NETWORK = "network"


def clocks() -> Times:
    """Return (2,) the wall clock and the CPU time of this process in s."""
    return np.array([time.perf_counter(), time.process_time()])


@dataclass
class Watch:
    """Adds up the times of named stages."""

    seconds: dict[str, Times] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time inside the context to a stage."""
        begun = clocks()
        yield
        spent = clocks() - begun
        self.seconds[stage] = self.seconds.get(stage, np.zeros(2)) + spent

    def watched(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with the time of its calls added to a stage."""

        @wraps(function)
        def call(*arguments: Any) -> Any:
            with self.timed(stage):
                return function(*arguments)

        return call


def write_image(path: Path, modality: str | None, side: int, diameter: float) -> None:
    """Write a simulated image of side x side px as PNG; ``diameter`` in px."""
    glass = np.full((side, side), GLASS, np.uint8)
    pixels = glass if modality is None else simulate(modality, (side, side), 0, diameter).image
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def stages_of(path: Path, network: Network) -> dict[str, Times]:
    """Return the times of each stage for the image of a file whose cells have the network's own diameter."""
    watch, contract = Watch(), network.contract
    options, runtime = Segmentation(diameter=contract.mean_diameter), Runtime(threads=1)
    with watch.timed("reading"):
        image = open_image(path)
        image.read(0, 0, 1, 1)
    with watch.timed("percentiles"):
        inputs = find_inputs(image, contract, options)
    with watch.timed("diameter estimate"):
        family_of(contract).estimate_diameter(image, network, inputs.channels, inputs.ranges, 1)
    plan = plan_image(image, network, options, runtime)
    maps = _maps(watch, image, network, plan)
    rows = _labels(watch, maps, plan)
    with (
        tempfile.TemporaryDirectory() as name,
        watch.timed("compression and label file"),
        LabelStore(Path(name), plan.shape) as store,
    ):
        for part in rows:
            store.append(part)
        write_labels(Path(name) / "a_label.tiff", store, "int32")
    return watch.seconds


def _maps(watch: Watch, image: Image, network: Network, plan: ImagePlan) -> list[Array]:
    """Return the blended maps; time the tiles, the network and the blending, without threads."""
    with (
        patch.object(blend, "prefetch", lambda items: items),
        patch.object(NormalisedView, "read", watch.watched("tiles", NormalisedView.read)),
        patch.object(network, "maps", watch.watched(NETWORK, network.maps)),
        watch.timed("blending"),
    ):
        maps = list(run_tiles(image, network, plan))
    watch.seconds["blending"] -= watch.seconds["tiles"] + watch.seconds[NETWORK]
    return maps


def _labels(watch: Watch, maps: list[Array], plan: ImagePlan) -> list[npt.NDArray[np.int32]]:
    """Return the rows of labels; time the labelling, and inside it its `PARTS` and the table of cells."""
    cells = CellTableBuilder()
    cells.add_rows = watch.watched("cell table", cells.add_rows)  # type: ignore[method-assign]
    with ExitStack() as patches:
        for stage, names in PARTS.items():
            for name in names:
                patches.enter_context(patch.object(strip, name, watch.watched(stage, getattr(strip, name))))
        with watch.timed("labelling"):
            rows = list(family_of(plan.contract).label_rows(iter(maps), plan, cells))
    inside = sum(watch.seconds.get(stage, np.zeros(2)) for stage in (*PARTS, "cell table"))
    watch.seconds["rest of the labelling"] = watch.seconds.pop("labelling") - inside
    return rows


def measure_stages(network: Network, side: int, repeats: int) -> Record:
    """Return the figures of all `IMAGES` of side x side px; ms per megapixel, the smallest of ``repeats``."""
    images: Record = {}
    with tempfile.TemporaryDirectory() as name:
        for image, modality in IMAGES.items():
            path = Path(name) / "image.png"
            write_image(path, modality, side, network.contract.mean_diameter)
            stages_of(path, network)
            runs = [stages_of(path, network) for _ in range(repeats)]
            images[image] = {
                stage: (1e9 / side**2 * np.min([run[stage] for run in runs], axis=0)).tolist() for stage in runs[0]
            }
    return {"side": side, "repeats": repeats, "ms_per_megapixel": images}


def stages_text(figures: Record) -> str:
    """Return the table of `measure_stages` as Markdown: processor time, with the wall clock in brackets."""
    images = figures["ms_per_megapixel"]
    stages = next(iter(images.values()))
    rows: list[list[object]] = [
        [stage, *(f"{images[image][stage][1]:.1f} ({images[image][stage][0]:.1f})" for image in images)]
        for stage in stages
    ]
    rows.append(["everything but network and estimate, % of the network", *map(_added, images.values())])
    measured = (
        f"CPU ms per megapixel, in brackets ms of wall clock. Images of {figures['side']:,} x {figures['side']:,} px "
        f"at scale 1, the smallest of {figures['repeats']} times. The diameter estimate does not grow with the image."
    )
    return f"{table(['stage', *images], rows)}\n\n{measured}"


def _added(stages: dict[str, list[float]]) -> str:
    """Return the processor time of everything but the network and the diameter estimate, in % of the network's."""
    others = sum(times[1] for stage, times in stages.items() if stage not in (NETWORK, "diameter estimate"))
    return f"{100 * others / stages[NETWORK][1]:.1f}"
