"""Prepare the segmentation of files: open the network, and meanwhile import everything else in a thread."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ..families import check_options, check_single, open_network, preload
from ..images.file_type import digest
from ..options import Options, named, options_from
from .process import Segment


def prepare(
    models: Sequence[Path], options: Options, resume: bool, targets: Iterable[Path] = (), least_shared: int = 0
) -> Segment:
    """Open the network and return a function that segments one file and yields its outcomes; it raises no errors.

    targets: the label files of all files of the run, which no frame of a series may replace. least_shared: as in
    `flowmask.runs.process_file.Setup`. Raises NetworkError if the network cannot be used, and SettingsError if the
    options do not fit the machine or the network.
    """
    with suppress(RuntimeError):  # if memory is too short for a thread, the modules are imported later
        # Not `threading.Thread`, whose `start` waits for ever for a thread that ends for lack of memory.
        start_new_thread(_preload, ())
    network = open_network(models, options.runtime)
    digests = ",".join(map(digest, models))
    from ..tiles.channels import check_choice
    from .process_file import Setup, outcomes

    check_options(network.contract, options.segmentation)
    if options.output.ids == "challenge":
        check_single(
            network.contract, options.segmentation, f"{named('ids', 'challenge')} means one label file for each image"
        )
    check_choice(network.contract.channels, options.segmentation.channels)
    setup = Setup(network, digests, options, resume, tuple(targets), least_shared)
    if setup.others:
        from ..outputs import check_names

        check_names(setup.others)
    return partial(outcomes, setup)


def prepare_from(
    models: Sequence[str], options: Mapping[str, Any], resume: bool, targets: Sequence[str], least_shared: int = 0
) -> Segment:
    """Return the result of `prepare` for arguments that JSON can store."""
    return prepare([*map(Path, models)], options_from(options), resume, map(Path, targets), least_shared)


def _preload() -> None:
    with suppress(Exception):  # a failed import is repeated where the module is used, and reported there
        import_module(".process_file", __package__)
        preload()
