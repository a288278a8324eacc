"""Segment one file: from the image file to its label files. Every result and every error becomes an outcome."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DeviceError, FlowmaskError, FolderError, ImageError, OutputError, one_line
from ..families import label_sets
from ..images.axes import CHOOSE
from ..images.file_type import fingerprint
from ..images.image import Image
from ..images.readers import open_frames
from ..labels.cell_table import CellTable, CellTableBuilder
from ..labels.paths import bands_path, counts_path, frame_path, maps_path, may_be_frame, remove_partials
from ..labels.provenance import Origin, description, finished, is_ours, labels_origin, maps_origin
from ..labels.store import LabelStore
from ..labels.verdict import judge
from ..labels.writers import write_labels
from ..map_cache import MapCache
from ..network.mean import MeanNetwork
from ..network.session import OnnxNetwork
from ..options import Options, named
from ..pipeline import plan_image
from ..records import FileInUse
from ..sharing.bands import Bands
from ..sharing.counts import CountShare
from ..sharing.share import Share
from ..system.memory import forget_peak, peak_memory
from ..system.write_errors import FULL, no_temporary_room
from ..tiles.counts import Count
from ..tiles.plan import ImagePlan
from .jobs import Job
from .maps import SharedProgress, discard_maps
from .parts import Part, parts_of
from .process import Report
from .record import DONE, Advanced, Opened, Outcome, failure
from .resume import output_paths, skipped
from .shared import count, help_others, label_rows

T = TypeVar("T")
MANY = 10**9
"""More cells than an image can have."""


@dataclass(frozen=True)
class Setup:
    """The network and the options, which are the same for all files of a run."""

    network: OnnxNetwork | MeanNetwork
    digest: str
    """SHA-256 of the network file."""
    options: Options
    resume: bool
    """As in `flowmask.runs.batch.Request`."""
    targets: Sequence[Path]
    """The label files of all files of the run."""
    least_shared: int = 0
    """Network pixels of an image from which on other processes may help with it; 0: they never do."""

    @property
    def others(self) -> list[str]:
        """The names of the outputs beside the labels."""
        return [name for name in self.options.output.save if name != "labels"]

    def parts(self, frames: Sequence[str]) -> list[Part]:
        """Return the label images of a file with these suffixes of its frames."""
        return parts_of(frames, label_sets(self.network.contract, self.options.segmentation))

    def for_part(self, part: Part) -> Setup:
        """Return the setup whose options ask for this label image alone."""
        return replace(self, options=replace(self.options, segmentation=part.options))

    def labels_origin(self, image: str) -> Origin:
        """Return everything that determines the labels of the image with this fingerprint."""
        return labels_origin(image, self.digest, self.network.runtime, self.options)

    def maps_origin(self, image: str) -> Origin:
        """Return everything that determines the maps of the image with this fingerprint."""
        return maps_origin(image, self.digest, self.network.runtime, self.options)


@dataclass(frozen=True)
class Source:
    """An opened file."""

    fingerprint: str
    """SHA-256 that identifies its contents."""
    suffixes: Sequence[str]
    """The suffix of each frame; ("",) for a file of one image."""
    image: Callable[[int], Image]
    """Opens a frame, counted from 0."""
    rivals: Sequence[Path] = ()
    """Label files of other files of the run whose names are also those of label files of this file."""


def outcomes(setup: Setup, job: Job, report: Report = lambda _: None) -> Iterator[Opened | Outcome]:
    """Segment a file: yield that it was opened, and the outcome of each label image from number ``job.frame`` on.

    Of a job with a share, only the outcome, which is about its maps.
    """
    begun = time.perf_counter()
    if job.share is not None:
        helped = _measured(setup, job, partial(_helped, setup, job, report), begun)
        if helped.reason:
            logging.getLogger(__name__).warning("help for another worker ended early: %s", helped.reason)
        yield helped
        return
    source = _measured(setup, job, lambda: _open(setup, job), begun)
    if isinstance(source, Outcome):
        yield source
        return
    parts = setup.parts(source.suffixes)
    yield Opened([part.suffix for part in parts])
    for part in parts[job.frame :]:
        work = partial(_processed, setup.for_part(part), job, part, source, report, begun)
        outcome = _measured(setup, job, work, begun, part.name)
        yield replace(outcome, frame=part.name, frames=len(parts))
        begun = time.perf_counter()


def _measured(setup: Setup, job: Job, work: Callable[[], T], begun: float, frame: str | None = None) -> T | Outcome:
    """Return the result of ``work``, or a failed outcome after any error; an outcome with time, memory and device."""
    forget_peak()
    failed = partial(failure, job.path, frame=frame)
    outcome: T | Outcome
    try:
        outcome = work()
    except DeviceError as error:
        outcome = replace(failed(str(error)), last=True)
    except FolderError as error:
        outcome = replace(failed(str(error)), ends_run=True)
    except FlowmaskError as error:
        outcome = failed(str(error))
    except MemoryError:
        outcome = failed("there is not enough memory for this image; run it on a larger machine.")
    except Exception as error:  # an unexpected error must not stop the other files
        if isinstance(error, OSError) and error.errno in FULL:
            return _with_measures(setup, begun, failed(str(no_temporary_room(error))))
        summary = f"{type(error).__name__}: {one_line(error)}"
        reason = f"Flowmask failed unexpectedly ({summary}); please report this with the record that --report writes."
        outcome = replace(failed(reason), trace=traceback.format_exc())
    return _with_measures(setup, begun, outcome) if isinstance(outcome, Outcome) else outcome


def _with_measures(setup: Setup, begun: float, outcome: Outcome) -> Outcome:
    """Return an outcome with the time since ``begun``, the memory, the device and the network."""
    return replace(
        outcome,
        seconds=time.perf_counter() - begun,
        peak_memory=peak_memory() or None,
        peak_gpu_memory=setup.network.used_gpu_memory(),
        device=setup.network.device,
        fallback=setup.network.fallback,
        network=setup.digest,
    )


def _open(setup: Setup, job: Job) -> Source | Outcome:
    """Open a file. With --resume, a file of one image whose labels are finished is skipped without opening it.

    The fingerprint is computed in every run, because the provenance in the label files needs it: a later run with
    --resume recognises finished labels by it, also those of a run without --resume. For 4 MiB it takes 10 ms.
    With --ids challenge a series is refused, because the challenge has one label file for each image file.
    """
    remove_partials(job.target)
    fingerprinted = fingerprint(job.path)
    done = _finished(setup, job, fingerprinted)
    if done:
        discard_maps(job.target)
        return done
    rivals = [one for one in setup.targets if one != job.target and may_be_frame(one, job.target)]
    return Source(fingerprinted, *_frames(setup, job), rivals)


def _frames(setup: Setup, job: Job) -> tuple[Sequence[str], Callable[[int], Image]]:
    """Return the suffixes of the frames of a file, and what opens a frame."""
    chosen = setup.options.segmentation
    if setup.options.output.ids == "challenge":
        frames = open_frames(job.path, chosen.plane, chosen.project)
        if len(frames) > 1:
            raise ImageError(
                f"{job.path}: it is a series of {len(frames)} frames, and {named('ids', 'challenge')} means one label "
                f"file for each image; {CHOOSE}, or leave out {named('ids')}."
            )
        image = frames[0][1]
        return ("",), lambda _: image
    frames = open_frames(job.path, chosen.plane, chosen.project)
    return frames.suffixes, lambda number: frames[number][1]


def _helped(setup: Setup, job: Job, report: Report) -> Outcome:
    """Help the process that segments a frame, until nothing is left to do or that process ended."""
    share = job.share
    assert share is not None
    outcome = Outcome(str(job.path), DONE)
    if share.origin["runtime"] != setup.network.runtime:
        return replace(outcome, reason="the maps of another device would not be the same.")
    frames, opened = _frames(setup, job)
    image = opened(setup.parts(frames)[job.frame].frame)
    help_others(
        share,
        image,
        setup.network,
        setup.options.runtime,
        alive=lambda: report(Advanced(str(job.path), None, 0.0)),  # raises Cancelled when the run has ended
    )
    return outcome  # also without the folder: the image is finished


def _finished(setup: Setup, job: Job, identity: str) -> Outcome | None:
    """Return the outcome of an image whose labels are finished, with --resume, otherwise None."""
    if not setup.resume:
        return None
    return skipped(job, setup.labels_origin(identity), setup.others)


def _processed(setup: Setup, job: Job, part: Part, source: Source, report: Report, begun: float) -> Outcome:
    """Make one label image of a file, whose job this is; with --resume, skip finished labels.

    The cached and the shared maps of a frame are kept until its last label image is finished.
    """
    frame_target = frame_path(job.target, part.frame_suffix)
    try:
        outcome = _labelled(setup, job, part, source, report, begun)
    except Exception:
        if part.last and not setup.resume:
            with suppress(OutputError):  # the first error says more
                discard_maps(frame_target)
        raise
    if part.last:
        discard_maps(frame_target)
    return outcome


def _labelled(setup: Setup, given: Job, part: Part, source: Source, report: Report, begun: float) -> Outcome:
    """Return the outcome of one label image: finished before, or from cached maps and the network.

    The maps of a frame with several label images are cached, so that the network runs once.
    """
    job = replace(given, target=frame_path(given.target, part.suffix))
    frame_target = frame_path(given.target, part.frame_suffix)
    identity = source.fingerprint + part.frame_suffix
    if part.suffix:
        remove_partials(job.target)
        _check_frame(job, source.rivals)
    done = _finished(setup, job, identity)
    if done:
        return done
    _check_overwrite(setup, job)
    origin, maps = setup.labels_origin(identity), setup.maps_origin(identity)

    def progress(fraction: float, share: Share | CountShare | None = None) -> bool | None:
        return report(Advanced(str(job.path), part.name, fraction, share))

    bands = partial(Bands, bands_path(frame_target), maps)
    counting = partial(count, setup.least_shared, counts_path(frame_target), maps, progress)
    opened = partial(source.image, part.frame)
    segmented = partial(_segmented, setup, job, opened, origin, bands, counting, progress, begun)
    try:
        with MapCache(maps_path(frame_target), maps) if setup.resume or part.several else nullcontext() as cache:
            return segmented(cache)
    except FileInUse:  # another run works on this image too; both write complete labels
        return segmented(None)


def _segmented(
    setup: Setup,
    job: Job,
    open_one: Callable[[], Image],
    origin: Origin,
    bands: Callable[[ImagePlan], Bands],
    counting: Count,
    progress: SharedProgress,
    begun: float,
    cache: MapCache | None,
) -> Outcome:
    """Segment one image and write its label files."""
    options = setup.options
    progress(0.0, None)
    image = open_one()
    with LabelStore(job.target.parent, image.shape[1:]) as store:
        cached_diameter = cache.diameter if cache else None
        plan = plan_image(image, setup.network, options.segmentation, options.runtime, cached_diameter, counting)
        cells = CellTableBuilder()
        least = setup.least_shared
        for rows in label_rows(image, setup.network, bands(plan), least, origin, progress, cache, cells):
            store.append(rows)
        pixel_size = options.segmentation.pixel_size or image.info.pixel_size_um
        sides = None if options.segmentation.pixel_size else image.info.pixel_sides_um
        table = cells.table()
        outcome = _judged(job, image, plan, table)
        before = finished(job.target, origin)  # read again: another run may have finished the image meanwhile
        outputs = tuple(dict.fromkeys([*setup.others, *(before.outputs if before else ())]))
        judged = {"verdict": outcome.verdict, "reasons": outcome.reasons, "outputs": outputs}
        about = description(origin, store.cells, plan.diameter, **judged)
        if before is None and setup.others:  # a run that ends now must not leave older labels beside new outputs
            with suppress(OSError):  # what keeps the file from being removed is reported when it is replaced
                job.target.unlink(missing_ok=True)
        facts = {"provenance": json.loads(about), "outcome": asdict(_with_measures(setup, begun, outcome))}
        saved = _save_others(setup, job, image, table, pixel_size, store, facts)
        written = write_labels(job.target, store, options.output.ids, about, sides or pixel_size)
    return replace(outcome, labels=tuple(map(str, written)), outputs=tuple(map(str, saved)))


def _judged(job: Job, image: Image, plan: ImagePlan, cells: CellTable) -> Outcome:
    """Return the outcome of an image whose cells are known, before its files are written."""
    verdict = judge(cells, plan)
    notes, warnings = plan.messages(len(cells))
    return Outcome(
        str(job.path),
        DONE,
        cells=len(cells),
        diameter=plan.diameter,
        verdict=verdict.level,
        reasons=verdict.reasons,
        notes=(*image.info.notes, *notes),
        warnings=warnings,
    )


def _save_others(
    setup: Setup,
    job: Job,
    image: Image,
    cells: CellTable,
    pixel_size: float | None,
    store: LabelStore,
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write the files that ``--save`` asks for beside the label file, and return their paths."""
    if not setup.others:
        return []
    from ..outputs import save_outputs

    return save_outputs(setup.others, job.target, image, cells, pixel_size, store.rows(), facts)


def _check_overwrite(setup: Setup, job: Job) -> None:
    """Raise OutputError if a result, written beside the image, would overwrite a file of the user."""
    if job.path.parent.resolve() != job.target.parent.resolve() or is_ours(job.target):
        return
    others = [path for cells in (0, MANY) for path in output_paths(setup.others, job.target, cells)]
    existing = [path for path in (job.target, *others) if path.exists()]
    if existing:
        raise OutputError(
            f"{existing[0]}: the file exists and Flowmask did not write it; move it or choose another output folder."
        )


def _check_frame(job: Job, rivals: Sequence[Path]) -> None:
    """Raise OutputError if the label file of a frame is also that of another file of the run, or of a frame of it."""
    rival = next((target for target in rivals if may_be_frame(job.target, target)), None)
    if rival:
        raise OutputError(
            f"{job.target}: two images of this run would be written to {rival.name}; "
            "rename one of the two images, or segment them into different folders."
        )
