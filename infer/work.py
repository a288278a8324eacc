"""One file from pixels to label file; whatever happens on the way becomes an outcome."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from infer.errors import FlowmaskError
from infer.image import open_image
from infer.jobs import Job
from infer.memory import forget_peak, peak_memory
from infer.normalise import check_choice
from infer.outputs import maps_path, remove_partial
from infer.pipeline import segment_rows
from infer.progress import ProgressBar
from infer.report import DONE, FAILED, Outcome
from infer.resume import MapsFile, discard, maps_origin
from infer.session import OnnxNetwork
from infer.settings import Settings
from infer.store import LabelStore
from infer.write import write_labels


def prepare(model: Path, settings: Settings, resume: bool) -> Callable[[Job], Outcome]:
    """Open the network and return what segments one file with it, and raises nothing.

    Raises NetworkError, or SettingsError where the settings do not fit the machine or the network.
    """
    network = OnnxNetwork(model, settings.provider, settings.threads)
    check_choice(network.contract.channels, settings.channels)
    return partial(_outcome, network=network, settings=settings, resume=resume)


def _outcome(job: Job, network: OnnxNetwork, settings: Settings, resume: bool) -> Outcome:
    begun = time.perf_counter()
    forget_peak()
    reason = trace = None
    try:
        outcome = _segmented(job, network, settings, resume)
    except FlowmaskError as error:
        reason = str(error) if str(error).startswith(str(job.path)) else f"{job.path}: {error}"
    except MemoryError:
        reason = f"{job.path}: there is not enough memory for this image; run it on a larger machine."
    except Exception as error:  # whatever it is, it must not cost the other files anything
        reason = (
            f"{job.path}: Flowmask failed ({type(error).__name__}: {error}); report it with the record of --report."
        )
        trace = traceback.format_exc()
    if reason:
        outcome = Outcome(str(job.path), FAILED, reason, trace=trace)
    seconds = time.perf_counter() - begun
    return replace(outcome, seconds=seconds, peak_memory=peak_memory(), provider=network.provider)


def _segmented(job: Job, network: OnnxNetwork, settings: Settings, resume: bool) -> Outcome:
    remove_partial(job.target)
    bar = ProgressBar(job.path.name)
    try:
        image = open_image(job.path)
        scratch = maps_path(job.target)
        origin = maps_origin(job.path, image.shape, network.path, network.runtime, settings) if resume else None
        with (
            MapsFile(scratch, origin) if origin else nullcontext() as kept,
            LabelStore(job.target.parent, image.shape[1:]) as store,
        ):
            diameter, parts = segment_rows(image, network, settings, bar, kept)
            for part in parts:
                store.append(part)
            bar.close()
            written = write_labels(job.target, store, settings.ids)
        discard(scratch)
    finally:
        bar.close()
    return Outcome(str(job.path), DONE, labels=tuple(map(str, written)), cells=store.cells, diameter=diameter)
