"""Segment one file: from the image file to the label file. Every result and every error becomes an outcome."""

from __future__ import annotations

import time
import traceback
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread

from ..errors import DeviceError, FlowmaskError, OutputError, one_line
from ..families import check_options, open_network, preload
from ..images.file_type import digest, fingerprint
from ..images.image import open_image
from ..labels.cells import CellTableBuilder
from ..labels.paths import full_path, maps_path, remove_partials
from ..labels.provenance import (
    Origin,
    Provenance,
    description,
    finished,
    has_provenance,
    is_ours,
    labels_origin,
    maps_origin,
)
from ..labels.store import LabelStore
from ..labels.verdict import judge
from ..labels.writers import write_labels
from ..map_cache import CacheInUse, MapCache, discard
from ..network.session import OnnxNetwork
from ..options import Options
from ..pipeline import label_rows, plan_image
from ..system.memory import forget_peak, peak_memory
from ..tiles.channels import check_choice
from .jobs import Job
from .progress import ProgressBar
from .record import DONE, FAILED, SKIPPED, Outcome
from .worker import Segment


@dataclass(frozen=True)
class Setup:
    """The network and the options, which are the same for all files of a run."""

    network: OnnxNetwork
    digest: str
    """SHA-256 of the network file."""
    options: Options
    resume: bool
    """As in `flowmask.runs.batch.Request`."""


def prepare(model: Path, options: Options, resume: bool) -> Segment:
    """Open the network and return a function that segments one file and returns its outcome; it raises no errors.

    Raises NetworkError if the network cannot be used, and SettingsError if the options do not fit the machine or the
    network.
    """
    with suppress(RuntimeError):  # if memory is too short for a thread, the modules are imported later
        Thread(target=_preload, daemon=True).start()
    runtime = options.runtime
    network = open_network(model, runtime)
    check_options(network.contract, options.segmentation)
    check_choice(network.contract.channels, options.segmentation.channels)
    return partial(_outcome, Setup(network, digest(model), options, resume))


def _preload() -> None:
    with suppress(Exception):  # a failed import is repeated where the module is used, and reported there
        preload()


def _outcome(setup: Setup, job: Job) -> Outcome:
    """Segment a file and return its outcome, also after any error, with time, memory and device."""
    begun = time.perf_counter()
    forget_peak()
    try:
        outcome = _processed(setup, job)
    except DeviceError as error:
        outcome = replace(_failed(job, str(error)), last=True)
    except FlowmaskError as error:
        outcome = _failed(job, str(error))
    except MemoryError:
        outcome = _failed(job, "there is not enough memory for this image; run it on a larger machine.")
    except Exception as error:  # an unexpected error must not stop the other files
        summary = f"{type(error).__name__}: {one_line(error)}"
        reason = f"Flowmask failed unexpectedly ({summary}); please report this with the record that --report writes."
        outcome = replace(_failed(job, reason), trace=traceback.format_exc())
    return replace(
        outcome,
        seconds=time.perf_counter() - begun,
        peak_memory=peak_memory(),
        peak_gpu_memory=setup.network.used_gpu_memory(),
        device=setup.network.device,
        fallback=setup.network.fallback,
        network=setup.digest,
    )


def _failed(job: Job, reason: str) -> Outcome:
    """Return a failed outcome; the reason starts with the path of the file."""
    path = str(job.path)
    return Outcome(path, FAILED, reason if reason.startswith(path) else f"{path}: {reason}")


def _processed(setup: Setup, job: Job) -> Outcome:
    """Segment a file; with --resume, skip it if its labels are finished."""
    remove_partials(job.target)
    source = fingerprint(job.path)
    origin = labels_origin(source, setup.digest, setup.network.runtime, setup.options)
    provenance = finished(job.target, origin) if setup.resume else None
    if provenance:
        return _skipped(job, provenance)
    _check_overwrite(job)
    cached_maps = maps_path(job.target)
    maps = maps_origin(source, setup.digest, setup.network.runtime, setup.options)
    try:
        with MapCache(cached_maps, maps) if setup.resume else nullcontext() as cache:
            outcome = _segmented(setup, job, origin, cache)
    except CacheInUse:  # another run works on this image too; both write complete labels
        return _segmented(setup, job, origin, None)
    discard(cached_maps)
    return outcome


def _segmented(setup: Setup, job: Job, origin: Origin, cache: MapCache | None) -> Outcome:
    """Segment a file and write its label files."""
    bar = ProgressBar(job.path.name)
    options = setup.options
    try:
        image = open_image(job.path, options.segmentation.plane, options.segmentation.project)
        with LabelStore(job.target.parent, image.shape[1:]) as store:
            cached_diameter = cache.diameter if cache else None
            plan = plan_image(image, setup.network, options.segmentation, options.runtime, cached_diameter)
            cells = CellTableBuilder()
            for rows in label_rows(image, setup.network, plan, cells, bar, cache):
                store.append(rows)
            bar.close()
            about = description(origin, store.cells, plan.diameter)
            written = write_labels(job.target, store, options.output.ids, about, image.info.pixel_size_um)
    finally:
        bar.close()
    verdict = judge(cells.table(), plan)
    return Outcome(
        str(job.path),
        DONE,
        labels=tuple(map(str, written)),
        cells=store.cells,
        diameter=plan.diameter,
        verdict=verdict.level,
        reasons=verdict.reasons,
        notes=image.info.notes,
    )


def _skipped(job: Job, provenance: Provenance) -> Outcome:
    """Return the outcome of a file whose labels are finished, and delete its cached maps."""
    discard(maps_path(job.target))
    labels = tuple(str(path) for path in (job.target, full_path(job.target)) if has_provenance(path, provenance))
    return Outcome(str(job.path), SKIPPED, labels=labels, cells=provenance.cells, diameter=provenance.diameter)


def _check_overwrite(job: Job) -> None:
    """Raise OutputError if the labels, written beside the image, would overwrite a file of the user."""
    same_folder = job.path.parent.resolve() == job.target.parent.resolve()
    if same_folder and job.target.exists() and not is_ours(job.target):
        raise OutputError(
            f"{job.target}: the file exists and Flowmask did not write it; move it or choose another folder with -o."
        )
