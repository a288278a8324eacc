"""The command line: a folder or a file of images in, one label file for each out."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from .errors import FlowmaskError, printable
from .options import Settings
from .runs.jobs import Job, find_images, plan
from .runs.record import DONE, FAILED, INTERRUPTED, NOT_REACHED, SKIPPED, Outcome, make_room, write_report
from .runs.signals import Stopped, stoppable
from .runs.worker import Segment, apart
from .system.atomic_write import make_folder

MODEL = Path(__file__).parent.parent / "models" / "cyto-small.onnx"
ALL_DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2
Outcomes = Generator[Outcome, None, None]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: paths, and an option for every field of `Settings`."""
    parser = argparse.ArgumentParser(
        prog="python -m infer",
        description="Segment the cells of microscopy images: NAME.png becomes NAME_label.tiff.",
        epilog="Exit code: 0 all images done, 1 some failed (each named on stderr), 2 nothing could start, 143 stopped "
        "by SIGTERM, 130 by Ctrl-C (what was done until then is complete).",
    )
    parser.add_argument("-i", "--input", type=Path, required=True, help="folder of images, or one image")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the labels; made when absent")
    parser.add_argument("-m", "--model", type=Path, default=MODEL, help="network file (default models/cyto-small.onnx)")
    parser.add_argument("--report", type=Path, help="JSON file to be written about the run: what became of each image")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that fails")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip images whose labels are there already, made of the same image, network and settings; keep what "
        "the network says in a hidden file of the output folder until an image is done, and go on from there when a "
        "run was killed",
    )
    for knob in fields(Settings):
        option = f"--{knob.name.replace('_', '-')}"
        if knob.default is False:
            parser.add_argument(option, action="store_true", help=knob.metadata["meaning"])
            continue
        default = "" if knob.default is None else f" (default {knob.default})"
        parser.add_argument(
            option,
            type=_PARSERS.get(knob.name) or _kind(knob.default),
            default=knob.default,
            metavar="|".join(knob.metadata["choices"]) or None,
            help=knob.metadata["meaning"] + default,
        )
    return parser


def _kind(default: object) -> type:
    return float if default is None else type(default)


def _number_list(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


_PARSERS: dict[str, Callable[[str], object]] = {"channels": _number_list, "memory": str, "gpu_memory": str}


def run(args: argparse.Namespace, outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Segment every image and add what became of it to ``outcomes``; one that fails costs the others nothing.

    Returns the exit code and, where not all images had their turn, what ended the run.
    """
    settings = Settings(**{knob.name: getattr(args, knob.name) for knob in fields(Settings)})
    paths = find_images(args.input, own_labels=args.input.resolve() == args.output.resolve())
    jobs, refused = plan(paths, args.output)
    make_folder(args.output)
    code, ending = ALL_DONE, None
    try:
        with closing(_segmented(args, settings, jobs, own_process)) as segmented:
            for outcome in chain(refused, segmented):
                outcomes.append(outcome)
                _tell(outcome)
                if outcome.status == FAILED:
                    code = SOME_FAILED
                    if args.strict:
                        ending = "--strict"
                        break
    except Stopped as stop:
        code, ending = stop.exit_code, str(stop)
    if ending:
        outcomes += _left(jobs, outcomes, INTERRUPTED if code != SOME_FAILED else NOT_REACHED)
    _sum_up(outcomes, ending)
    return code, ending


def _segmented(args: argparse.Namespace, settings: Settings, jobs: list[Job], own_process: bool) -> Outcomes:
    def prepare() -> Segment:
        from .runs.process_file import prepare

        return prepare(args.model, settings, args.resume)

    yield from apart(prepare, jobs) if own_process else map(prepare(), jobs)


def _left(jobs: list[Job], outcomes: list[Outcome], first: str) -> list[Outcome]:
    """Return outcomes for the jobs that have none: the status ``first``, and `NOT_REACHED` for those after it."""
    reached = {outcome.file for outcome in outcomes}
    left = [str(job.path) for job in jobs if str(job.path) not in reached]
    return [Outcome(path, NOT_REACHED if index else first) for index, path in enumerate(left)]


def _tell(outcome: Outcome) -> None:
    """Say what became of an image in one line."""
    if outcome.status == FAILED:
        _complain(outcome.reason or "")
    else:
        took = "done before" if outcome.status == SKIPPED else f"{outcome.seconds:.2f} s"
        facts = f"{outcome.cells} cells, diameter {outcome.diameter:.1f} px, {took}"
        print(printable(f"{Path(outcome.file).name}: {facts}"), flush=True)


def _complain(reason: str) -> None:
    print(printable(f"error: {reason}"), file=sys.stderr, flush=True)


def _sum_up(outcomes: list[Outcome], ending: str | None) -> None:
    """Say in one line what the lines about single images do not say."""
    count = Counter(outcome.status for outcome in outcomes)
    if ending:
        done = count[DONE] + count[SKIPPED]
        print(
            f"stopped by {ending}: {done} of {len(outcomes)} files are done; --resume goes on from there.",
            file=sys.stderr,
        )
    elif count[FAILED]:
        print(f"{count[FAILED]} of {len(outcomes)} files failed; their errors stand above.", file=sys.stderr)


def main(argv: Sequence[str] | None = None, own_process: bool = False) -> int:
    """Parse, run, write the record of the run where one is asked for, and return the exit code.

    An error that stops everything becomes one sentence and exit code 2. With ``own_process`` the work is done in a
    process apart from this one, which must not have imported more than this file; see `flowmask.runs.worker`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    # What tifffile finds odd and can read all the same is no news; what it cannot read, it raises.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    args = build_parser().parse_args(argv)
    begun = datetime.now(UTC)
    outcomes: list[Outcome] = []
    with stoppable() as ignore:
        try:
            if args.report:
                make_room(args.report)
        except FlowmaskError as error:
            _complain(str(error))
            return WRONG_USAGE
        code, ending = _ended(args, outcomes, own_process)
        ignore()
        try:
            if args.report:
                write_report(args.report, begun, vars(args), outcomes, code, ending)
        except FlowmaskError as error:
            _complain(str(error))
            code = code or SOME_FAILED
    return code


def _ended(args: argparse.Namespace, outcomes: list[Outcome], own_process: bool) -> tuple[int, str | None]:
    """Run, and return the exit code and what ended the run early, whatever it was."""
    try:
        return run(args, outcomes, own_process)
    except Stopped as stop:
        print(f"stopped by {stop}.", file=sys.stderr)
        return stop.exit_code, str(stop)
    except FlowmaskError as error:
        _complain(str(error))
        return WRONG_USAGE, str(error)
