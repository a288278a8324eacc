"""The Python interface for many files: `segment_many` writes labels into a folder, here or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import changed, check_call, path_of, record_of
from .network.registry import find_networks
from .options import Options, Output, Runtime, Segmentation
from .runs.executor import Executor, here
from .runs.page import write_report
from .runs.record import FAILED, Outcome, run_record
from .runs.request import Request, in_order, list_work, save_folder_table, segmented, unprocessed

if TYPE_CHECKING:
    from .cluster.address import Client


def segment_many(
    paths: str | Path | Sequence[str | Path],
    output: str | Path,
    network: str | Path | None = None,
    options: Segmentation | None = None,
    runtime: Runtime | None = None,
    outputs: Output | None = None,
    client: Client | None = None,
    resume: bool = False,
    finished: Callable[[Outcome], object] | None = None,
    **changes: Any,
) -> list[Outcome]:
    """Segment image files, write their labels into a folder, and return what became of each file.

    paths: images and folders of images, or one of them. output: the folder, which is made if it does not exist; the
    files in it are those of the command line (docs/outputs.md). network: a name or the path of a file; by default the
    default network.
    options, runtime, outputs: records of options; ``changes`` replace fields of ``options``, such as ``diameter=30``.
    client: of a Dask cluster, whose workers must see the same files under the same paths; threads and memory of
    ``runtime`` are then those of one worker, and by default its own. None: one image after the other, here.
    resume: skip images whose labels are finished. finished: a function that gets each outcome as soon as it is known.

    The outcomes (`flowmask.Outcome`) are in the order of the images. A file that cannot be segmented has the status
    "failed" and a reason, and does not affect the others. If nothing can be written any more, for example because the
    disk is full, the work ends with that image, and the others have the status "not reached". Raises InputError,
    OutputError, NetworkError, SettingsError or RunError if the work cannot begin or the cluster cannot be reached any
    more.

    >>> import tempfile, numpy as np, tifffile
    >>> y, x = np.mgrid[:64, :64]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", np.uint8(200 * ((y - 32) ** 2 + (x - 32) ** 2 < 14**2)))
    ...     outcomes = segment_many([f"{folder}/a.tif"], f"{folder}/out", diameter=28)
    >>> outcomes[0].status, outcomes[0].cells
    ('done', 1)
    """
    begun = datetime.now(UTC)
    check_call(finished, "finished")
    chosen = Options(
        changed(options, changes), record_of(runtime, Runtime, "runtime"), record_of(outputs, Output, "outputs")
    )
    inputs = paths if isinstance(paths, Iterable) and not isinstance(paths, str | Path) else [paths]
    request = Request(
        [path_of(one, "paths") for one in inputs], path_of(output, "output"), find_networks(network), chosen, resume
    )
    work = list_work(request)
    outcomes: list[Outcome] = []
    with closing(segmented(request, work, _executor(client, chosen.runtime), lambda _: None)) as found:
        for outcome in found:
            outcomes.append(outcome)
            if finished:
                finished(outcome)
    outcomes = in_order(outcomes, work)
    outcomes += unprocessed(work.jobs, outcomes)
    save_folder_table(request, outcomes)
    if "report" in chosen.output.save:
        write_report(request.page, _record(begun, request, outcomes))
    return outcomes


def _executor(client: Client | None, runtime: Runtime) -> Executor:
    """Return what segments the images."""
    if client is None:
        return here
    from .cluster.executor import over_workers

    return partial(over_workers, client, threads=runtime.threads)


def _record(begun: datetime, request: Request, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the record of a run that did not start on the command line."""
    records = (request.options.segmentation, request.options.runtime, request.options.output)
    options = {name: value for record in records for name, value in asdict(record).items()}
    options |= {"input": [*map(str, request.inputs)], "output": request.output, "model": [*map(str, request.models)]}
    failed = any(outcome.status == FAILED for outcome in outcomes)
    return run_record(begun, {**options, "resume": request.resume}, outcomes, int(failed), None)
