"""A request for labels of many files: its jobs, their outcomes as they come, and the table of all their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import as_utf8
from ..images.file_type import image_name, is_zarr
from ..options import Options
from ..system.atomic_write import make_folder
from .executor import Executor
from .folders import images_below
from .jobs import Job, find_images, plan
from .messages import NORMAL
from .page import NAME as PAGE
from .page import check_free
from .process import Preparation, Report
from .record import NOT_REACHED, Outcome
from .shard import Shard, in_shard


@dataclass(frozen=True)
class Request:
    """The files and options of a run."""

    inputs: Sequence[Path]
    """Image files and folders of image files."""
    output: Path
    """Folder for the label files."""
    models: Sequence[Path]
    """Network files: one, or several whose maps are averaged."""
    options: Options
    resume: bool = False
    """Skip images with finished labels, and continue an interrupted image from its cached maps."""
    strict: bool = False
    """Stop at the first image that fails."""
    verbosity: str = NORMAL
    """How much is printed: `flowmask.runs.messages.QUIET`, `NORMAL` or `VERBOSE`."""
    shard: Shard | None = None
    """The part of the images that this run segments; None for all."""

    @property
    def page(self) -> Path:
        """The report for readers that ``--save report`` asks for."""
        return in_shard(self.output / PAGE, self.shard)


@dataclass(frozen=True)
class Work:
    """What a request asks for, once its inputs are listed."""

    jobs: Sequence[Job]
    """The images to segment."""
    conflicts: Sequence[Outcome]
    """Images that would overwrite the label file of another one."""
    others: Sequence[Path]
    """Files in folders that are no images."""
    below: Sequence[str]
    """What there is in subfolders of the inputs and is not looked at, one sentence each."""
    images: int
    """Number of images, in all shards."""
    targets: Sequence[Path]
    """The label files of all images, in all shards."""


def list_work(request: Request) -> Work:
    """Return what a request asks for, and make its output folder.

    Raises InputError for inputs that cannot be listed, and OutputError if the outputs cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "c.png"):
    ...         Path(folder, name).touch()
    ...     work = list_work(Request([Path(folder)], Path(folder, "out"), [], Options(), shard=Shard(2, 2)))
    >>> [job.path.name for job in work.jobs], work.images
    (['b.png'], 3)
    """
    paths, others = find_images(request.inputs, request.output)
    jobs, conflicts = plan(paths, request.output, request.options.output.ids == "challenge")
    mine = request.shard.of(paths) if request.shard else frozenset(paths)
    make_folder(request.output)
    if "report" in request.options.output.save:
        check_free(request.page)
    return Work(
        [job for job in jobs if job.path in mine],
        [outcome for outcome in conflicts if Path(outcome.file) in mine],
        others,
        _below(request),
        len(paths),
        [job.target for job in jobs],
    )


def _below(request: Request) -> list[str]:
    """Return a sentence for each input folder with images in subfolders that are no input."""
    taken = {path.resolve() for path in (*request.inputs, request.output)}
    folders = [path for path in request.inputs if path.is_dir() and not is_zarr(path)]
    found = [(folder, images_below(folder, taken)) for folder in folders]
    return [
        f"not looked at: {below.count} of {folder}; to segment them too, add {below.give}"
        for folder, below in found
        if below
    ]


def segmented(request: Request, work: Work, execute: Executor, report: Report) -> Generator[Outcome]:
    """Yield the outcome of each image, and of each frame of a series, as soon as it is known.

    The last one may be of a file that ended the run (`Outcome.ends_run`): no other image is begun after it. report:
    gets the progress. Raises NetworkError and SettingsError if the network cannot be opened with the options.
    """
    arguments = {
        "models": [str(path) for path in request.models],
        "options": asdict(request.options),
        "resume": request.resume,
        "targets": [str(target) for target in work.targets],
    }
    yield from work.conflicts
    prepare = Preparation(f"{__package__}.prepare", "prepare_from", arguments)
    with closing(execute(prepare, work.jobs, report)) as outcomes:
        for outcome in outcomes:
            yield outcome
            if outcome.ends_run:
                return


def in_order(outcomes: Sequence[Outcome], work: Work) -> list[Outcome]:
    """Return the outcomes in the order of the images; an executor may have finished them in another one.

    >>> jobs = [Job(Path(f"{name}.png"), Path(f"{name}_label.tiff")) for name in "ab"]
    >>> work = Work(jobs, [], [], [], 2, [])
    >>> [outcome.file for outcome in in_order([Outcome("b.png", "done"), Outcome("a.png", "done")], work)]
    ['a.png', 'b.png']
    """
    position = {str(job.path): number for number, job in enumerate(work.jobs)}
    return sorted(outcomes, key=lambda outcome: position.get(outcome.file, -1))


def unprocessed(jobs: Sequence[Job], outcomes: Sequence[Outcome], first: str = NOT_REACHED) -> list[Outcome]:
    """Return outcomes for the jobs that are not done: status ``first`` for the first, `NOT_REACHED` for the others.

    A series is done when there is an outcome for each of its frames.

    >>> jobs = [Job(Path(f"{name}.png"), Path(f"{name}_label.tiff")) for name in "ab"]
    >>> [outcome.file for outcome in unprocessed(jobs, [Outcome("a.png", "done")])]
    ['b.png']
    """
    processed = Counter(outcome.file for outcome in outcomes)
    frames = {outcome.file: outcome.frames for outcome in outcomes}
    left = [str(job.path) for job in jobs if processed[str(job.path)] < frames.get(str(job.path), 1)]
    return [Outcome(path, NOT_REACHED if index else first) for index, path in enumerate(left)]


def save_folder_table(request: Request, outcomes: Sequence[Outcome]) -> None:
    """Write one table of the cells of all finished images into the output folder, if ``--save table`` asks for it."""
    if "table" not in request.options.output.save:
        return
    from ..outputs.folder import NAME, write_folder_table
    from ..outputs.table import ENDING

    tables = [
        (as_utf8(" ".join(filter(None, (image_name(Path(outcome.file)), outcome.frame)))), Path(path))
        for outcome in outcomes
        for path in outcome.outputs
        if path.endswith(ENDING)
    ]
    write_folder_table(in_shard(request.output / NAME, request.shard), tables)
