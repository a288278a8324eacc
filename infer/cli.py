"""The command line: `flowmask COMMAND ...`, and `python -m infer -i IN -o OUT`, which equals `flowmask segment`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from .arguments import RECORDS, build_commands, build_parser
from .errors import FlowmaskError
from .network.registry import find_networks, shipped_networks
from .options import Options, options_of
from .runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE, run
from .runs.executor import Executor, here
from .runs.messages import QUIET
from .runs.request import Request
from .runs.screen import answer, complain
from .runs.signals import Stopped, stoppable
from .runs.worker import in_worker
from .training import run_training


def console() -> int:
    """Run the command ``flowmask``."""
    return flowmask(own_process=True)


def flowmask(argv: Sequence[str] | None = None, own_process: bool = False) -> int:
    """Run `flowmask COMMAND ...` and return the exit code.

    own_process: segment in a worker process, so that a crash fails only one image. This process must then have imported
    only what this module imports.

    >>> flowmask(["info", "missing.tif"])  # the reason is printed on stderr
    1
    """
    _prepare_streams()
    args = build_commands().parse_args(argv)
    try:
        code = COMMANDS[args.command](args, own_process)
    except FlowmaskError as error:
        complain(str(error))
        return WRONG_USAGE
    return code


def main(argv: Sequence[str] | None = None, own_process: bool = False) -> int:
    """Run `python -m infer -i IN -o OUT ...` and return the exit code.

    >>> main(["-i", "missing.tif", "-o", "labels"])  # the reason is printed on stderr
    2
    """
    _prepare_streams()
    args = build_parser().parse_args(argv)
    args.inputs = [args.input]
    return _segment(args, own_process)


def _options(args: argparse.Namespace) -> Options:
    """Return the options of a command line. Raises SettingsError for an invalid value."""
    records: dict[str, Any] = {
        key: record(**{name: getattr(args, name) for name, _, _ in options_of(record)})
        for key, record in RECORDS.items()
    }
    return Options(**records)


def _segment(args: argparse.Namespace, own_process: bool) -> int:
    arguments = {name: value for name, value in vars(args).items() if name not in ("inputs", "command")}
    arguments["input"] = [str(path) for path in args.inputs] if len(args.inputs) > 1 else args.inputs[0]
    arguments["model"] = [args.model]
    arguments["shard"] = args.shard and str(args.shard)
    with suppress(FlowmaskError):  # make_request raises this error again
        arguments["model"] = [str(path) for path in find_networks(args.model)]

    def make_request() -> Request:
        models, options = find_networks(args.model), _options(args)
        return Request(args.inputs, args.output, models, options, args.resume, args.strict, args.verbosity, args.shard)

    execute = _executor(args.cluster, own_process, args.verbosity == QUIET)
    return run(make_request, args.report, arguments, execute, args.shard)


def _executor(cluster: str | None, own_process: bool, quiet: bool) -> Executor:
    """Return what segments the images."""
    if cluster:
        from .cluster.executor import on_cluster

        return partial(on_cluster, cluster, quiet=quiet)
    return in_worker if own_process else here


def _list_models(args: argparse.Namespace, own_process: bool) -> int:
    for network in shipped_networks():
        notes = [*(["default"] if network.default else []), *([] if network.path.is_file() else ["not installed"])]
        suffix = f" ({', '.join(notes)})" if notes else ""
        line = f"{network.name}{suffix}: {network.about}; F1 {network.f1:.3f}; {network.file}"
        answer(f"{line}; licence: {network.licence}")
    return ALL_DONE


def _info(args: argparse.Namespace, own_process: bool) -> int:
    from .images.report import describe_file, in_words

    failed = False
    for path in args.files:
        try:
            found = describe_file(path)
        except FlowmaskError as error:
            complain(str(error))
            failed = True
            continue
        answer(json.dumps(found) if args.json else in_words(found))
    return SOME_FAILED if failed else ALL_DONE


def _train(args: argparse.Namespace, own_process: bool) -> int:
    try:
        with stoppable():
            run_training(args)
    except Stopped as stopped:
        complain("stopped; no network was written.")
        return stopped.exit_code
    return ALL_DONE


def _score(args: argparse.Namespace, own_process: bool) -> int:
    from .labels.scores import score_pairs, table

    scores, reasons = score_pairs(args.prediction, args.truth)
    if scores:
        answer(table(scores))
    for reason in reasons:
        complain(reason)
    return SOME_FAILED if reasons else ALL_DONE


def _view(args: argparse.Namespace, own_process: bool) -> int:
    from .viewer.server import view

    view(args.folder, args.images, args.port, not args.no_browser, args.plane, args.project)
    return ALL_DONE


COMMANDS: dict[str, Callable[[argparse.Namespace, bool], int]] = {
    "segment": _segment,
    "models": _list_models,
    "info": _info,
    "score": _score,
    "view": _view,
    "train": _train,
}
"""(parsed arguments, whether the process is the command's own) -> exit code."""


def _prepare_streams() -> None:
    """Let any file name be printed, and give closed standard streams a place: no other file may take their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
