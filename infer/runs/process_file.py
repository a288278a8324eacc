"""One file from pixels to label file; whatever happens on the way becomes an outcome."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

from ..errors import DeviceError, FlowmaskError, OutputError, one_line
from ..images.file_type import digest
from ..images.image import open_image
from ..labels.paths import full_path, maps_path, remove_partials
from ..labels.provenance import (
    Made,
    Origin,
    description,
    finished,
    is_ours,
    labels_origin,
    maps_origin,
    says,
)
from ..labels.store import LabelStore
from ..labels.writers import write_labels
from ..map_cache import MapsFile, discard
from ..network.session import OnnxNetwork
from ..options import Settings
from ..pipeline import segment_rows
from ..system.memory import forget_peak, peak_memory
from ..tiles.normalise import check_choice
from .jobs import Job
from .progress import ProgressBar
from .record import DONE, FAILED, SKIPPED, Outcome

OriginOf = Callable[[str], Origin]
"""From the digest of an image."""


def prepare(model: Path, settings: Settings, resume: bool) -> Callable[[Job], Outcome]:
    """Open the network and return what segments one file with it, and raises nothing.

    Raises NetworkError, or SettingsError where the settings do not fit the machine or the network.
    """
    with suppress(RuntimeError):  # there is no room for a thread
        Thread(target=_load_dynamics, daemon=True).start()
    network = OnnxNetwork(model, settings.device, settings.threads, settings.gpu_memory)
    check_choice(network.contract.channels, settings.channels)
    origin = partial(labels_origin, network=digest(model), runtime=network.runtime, settings=settings)
    return partial(_outcome, network=network, settings=settings, resume=resume, origin_of=origin)


def _load_dynamics() -> None:
    """Load the compiled dynamics: that takes as long as the network on a small image, so both happen at once."""
    # Numba looks for SciPy's linear algebra: unused here, slow to load, and where memory is short it never ends.
    hidden = "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        with suppress(Exception):  # what is the matter shows again where they are needed
            import flowmask.families.flow.strip  # noqa: F401
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]


def _outcome(job: Job, network: OnnxNetwork, settings: Settings, resume: bool, origin_of: OriginOf) -> Outcome:
    begun = time.perf_counter()
    forget_peak()
    try:
        remove_partials(job.target)
        origin = origin_of(digest(job.path))
        made = finished(job.target, origin) if resume else None
        if not made:
            _check_own(job)
        outcome = _kept(job, made) if made else _segmented(job, network, settings, origin, resume)
    except DeviceError as error:
        outcome = replace(_failed(job, str(error)), last=True)
    except FlowmaskError as error:
        outcome = _failed(job, str(error))
    except MemoryError:
        outcome = _failed(job, "there is not enough memory for this image; run it on a larger machine.")
    except Exception as error:  # whatever it is, it must not cost the other files anything
        what = f"{type(error).__name__}: {one_line(error)}"
        reason = f"Flowmask failed ({what}); please report it with the record of --report."
        outcome = replace(_failed(job, reason), trace=traceback.format_exc())
    seconds = time.perf_counter() - begun
    return replace(
        outcome,
        seconds=seconds,
        peak_memory=peak_memory(),
        peak_gpu_memory=network.used_gpu_memory(),
        device=network.device,
        fallback=network.fallback,
    )


def _failed(job: Job, reason: str) -> Outcome:
    """Return a failure whose reason names the file."""
    path = str(job.path)
    return Outcome(path, FAILED, reason if reason.startswith(path) else f"{path}: {reason}")


def _kept(job: Job, made: Made) -> Outcome:
    discard(maps_path(job.target))
    labels = tuple(str(path) for path in (job.target, full_path(job.target)) if says(path, made))
    return Outcome(str(job.path), SKIPPED, labels=labels, cells=made.cells, diameter=made.diameter)


def _check_own(job: Job) -> None:
    """Raise OutputError where labels beside their image would replace a file that Flowmask has not made."""
    beside = job.path.parent.resolve() == job.target.parent.resolve()
    if beside and job.target.exists() and not is_ours(job.target):
        raise OutputError(
            f"{job.target}: it is there already and Flowmask has not made it; move it, or give another folder with -o."
        )


def _segmented(job: Job, network: OnnxNetwork, settings: Settings, origin: Origin, resume: bool) -> Outcome:
    bar = ProgressBar(job.path.name)
    try:
        image = open_image(job.path)
        scratch = maps_path(job.target)
        with (
            MapsFile(scratch, maps_origin(origin)) if resume else nullcontext() as kept,
            LabelStore(job.target.parent, image.shape[1:]) as store,
        ):
            diameter, parts = segment_rows(image, network, settings, bar, kept)
            for part in parts:
                store.append(part)
            bar.close()
            written = write_labels(job.target, store, settings.ids, description(origin, store.cells, diameter))
        discard(scratch)
    finally:
        bar.close()
    return Outcome(str(job.path), DONE, labels=tuple(map(str, written)), cells=store.cells, diameter=diameter)
