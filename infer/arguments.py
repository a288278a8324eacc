"""The arguments of the command line: the parsers of `flowmask COMMAND ...` and of `python -m infer -i IN -o OUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

from .errors import FlowmaskError
from .network.registry import shipped_networks
from .options import Option, Output, Runtime, Segmentation, option_name, options_of
from .runs.batch import WRONG_USAGE
from .runs.messages import NORMAL, QUIET, VERBOSE
from .runs.screen import complain
from .runs.shard import parse_shard
from .training import add_train_arguments
from .version import __version__

T = TypeVar("T")
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""The commands of the parser of ``flowmask``."""
RECORDS = {"segmentation": Segmentation, "runtime": Runtime, "output": Output}
TITLES = {
    "segmentation": "segmentation (these options change the labels)",
    "runtime": "device, threads and memory (on the CPU these options do not change the labels)",
    "output": "what is written",
}
EXIT_CODES = (
    "Exit code: 0 all images done; 1 some images failed (stderr lists them); 2 the\n"
    "run could not start; 143 stopped by SIGTERM; 130 stopped by Ctrl-C. Label files\n"
    "are always complete, also after an interruption."
)
EXAMPLE = "Example: flowmask segment images/ -o labels/ --diameter 30"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as those of a run are, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the command line on stderr, and exit."""
        lists = "commands" if self.prog == "flowmask" else "options"
        complain(f"{message.rstrip('.')}; `{self.prog} --help` lists the {lists}.")
        sys.exit(WRONG_USAGE)


def build_parser() -> Parser:
    """Return the parser of `python -m infer`.

    >>> build_parser().parse_args(["-i", "a.png", "-o", "labels", "--diameter", "30"]).diameter
    30.0
    """
    parser = Parser(
        prog="python -m infer",
        description="Segment the cells of microscopy images.\nThe labels of NAME.png are written to NAME_label.tiff.",
        epilog=f"{EXAMPLE.replace('flowmask segment', 'python -m infer -i')}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flowmask {__version__}")
    parser.add_argument("-i", "--input", type=Path, required=True, help="an image or a folder of images")
    _add_segment_arguments(parser)
    return parser


def build_commands() -> Parser:
    """Return the parser of the command ``flowmask``.

    >>> build_commands().parse_args(["segment", "a.png", "b.png", "-o", "labels", "--resume"]).resume
    True
    """
    parser = Parser(
        prog="flowmask",
        description="Segment the cells of microscopy images.",
        epilog=f"{EXAMPLE}\n`flowmask COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flowmask {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for add in (_add_segment, _add_models, _add_info, _add_score, _add_view, _add_train):
        add(commands)
    return parser


def _add_segment(commands: Commands) -> None:
    segment = commands.add_parser(
        "segment",
        help="segment images",
        description="Segment the cells of images.\nThe labels of NAME.png are written to OUT/NAME_label.tiff.",
        epilog=f"{EXAMPLE}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    segment.add_argument("inputs", type=Path, nargs="+", metavar="IN", help="images or folders of images")
    _add_segment_arguments(segment)


def _add_models(commands: Commands) -> None:
    commands.add_parser(
        "models",
        help="list the networks that are part of Flowmask",
        description="Print a line for each network that is part of Flowmask: its name for --model, what it is for, "
        "its mean F1 on held-out images, its file and its licence.",
    )


def _add_info(commands: Commands) -> None:
    info = commands.add_parser(
        "info",
        help="show size, type, axes, channels and pixel size of image files",
        description="Print size, type, axes, channel names, pixel size, pyramid levels and notes of image files.",
    )
    info.add_argument("files", type=Path, nargs="+", metavar="FILE", help="image files")
    info.add_argument("--json", action="store_true", help="print one JSON object for each file, one per line")


def _add_score(commands: Commands) -> None:
    score = commands.add_parser(
        "score",
        help="score label images against true label images",
        description="Compare label images with true label images. Print the scores of each pair, and their mean. F1: "
        "IoU 0.5, without cells at the border, as in the NeurIPS 2022 challenge. AP and AFNR: IoU 0.50 to 0.95, all "
        "cells, as in LIVECell; label images hold no confidence, so AP takes the cells in the order of their ids. Dice "
        "and pixel IoU: all pixels of cells against all pixels of true cells. Also the numbers of cells.",
    )
    score.add_argument(
        "prediction", type=Path, metavar="PRED", help="predicted label file, or folder of NAME_label.tiff files"
    )
    score.add_argument("truth", type=Path, metavar="TRUTH", help="true label file, or folder with the same file names")


def _add_view(commands: Commands) -> None:
    view = commands.add_parser(
        "view",
        help="look at labels on their images in the browser",
        description="Show the labels of a run on their images in the browser, for crops and for slides. Only this "
        "computer can open the page. Ctrl-C ends it.",
        epilog="Example: flowmask view labels/ images/",
    )
    view.add_argument("folder", type=Path, metavar="OUT", help="the folder of the label files")
    view.add_argument(
        "images",
        type=Path,
        nargs="*",
        metavar="IMAGE",
        help="the segmented images or their folders; not needed after --save report, if the images have not been moved",
    )
    view.add_argument("--port", type=int, default=0, help="port on this computer (default 0: any free one)")
    view.add_argument("--no-browser", action="store_true", help="print the address of the page, and open no browser")
    chosen = ("plane", "project")
    for name, default, option in options_of(Segmentation):
        if name in chosen:
            metavar = "|".join(option.choices) or name.upper()
            view.add_argument(
                option_name(name),
                type=_understood(option),
                default=default,
                metavar=metavar,
                help=f"as in the run: {option.meaning}",
            )


def _add_train(commands: Commands) -> None:
    train = commands.add_parser(
        "train",
        help="continue the training of a network with your corrected images",
        description="Continue the training of a network with a few images and their corrected labels. Some images are "
        "held back, and the network is scored on them before and after. Needs PyTorch.",
        epilog="Example: flowmask train corrected/ -o my_cells.onnx",
    )
    add_train_arguments(train)


def _add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    _add_run(parser)
    _add_records(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options for the output folder and the network."""
    files = parser.add_argument_group("output folder and network")
    files.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the label files; created if needed"
    )
    names = ", ".join(network.name for network in shipped_networks())
    files.add_argument(
        "-m",
        "--model",
        default=None,
        metavar="NAME|FILE",
        help=f"network: a name ({names}) or an .onnx file; several, separated by commas, are averaged",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options for the run as a whole."""
    the_run = parser.add_argument_group("the run as a whole")
    the_run.add_argument("--report", type=Path, metavar="FILE", help="write a record of the run to this JSON file")
    the_run.add_argument("--strict", action="store_true", help="stop at the first image that fails")
    the_run.add_argument(
        "--resume",
        action="store_true",
        help="skip images with finished labels of the same image, network and options; for every other image, "
        "cache the network's output in a hidden file in the output folder, so that an interrupted run can continue",
    )
    the_run.add_argument(
        "--cluster",
        type=_stated(_cluster_address),
        metavar="ADDRESS",
        help="segment the images on the workers of a Dask cluster: the address of its scheduler, such as "
        "tcp://scheduler:8786; local: processes on this machine, one for each core; local:4: four of them. --threads "
        "and --memory are then those of one worker",
    )
    the_run.add_argument(
        "--shard",
        type=_stated(parse_shard),
        metavar="N/COUNT",
        help="segment only a part of the images, such as 3/20: every 20th of the images sorted by path, from the third "
        "one on; the names of cells.csv, report.html and the file of --report then contain the shard",
    )
    _add_verbosity(the_run)


def _add_verbosity(the_run: argparse._ArgumentGroup) -> None:
    """Add --quiet and --verbose, which exclude each other."""
    verbosity = the_run.add_mutually_exclusive_group()
    verbosity.add_argument(
        "--quiet",
        action="store_const",
        dest="verbosity",
        const=QUIET,
        default=NORMAL,
        help="print only errors and warnings",
    )
    verbosity.add_argument(
        "--verbose",
        action="store_const",
        dest="verbosity",
        const=VERBOSE,
        help="also print the files, device and memory of each image, and the traceback of unexpected errors",
    )


def _stated(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return the parser of an option whose errors argparse prints as they are."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except FlowmaskError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _cluster_address(text: str) -> str:
    """Return the address of a cluster if it is one; imports what clusters need, which the other runs do not."""
    from .cluster.address import check_address

    return check_address(text)


def _understood(option: Option) -> Callable[[str], object]:
    """Return the parser of an option whose errors say what to give."""

    def parsed(text: str) -> object:
        try:
            return option.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be understood; {option.advice}") from error

    return parsed


def _add_records(parser: argparse.ArgumentParser) -> None:
    """Add a group of options for each record of options."""
    for key, record in RECORDS.items():
        group = parser.add_argument_group(TITLES[key])
        for name, default, option in options_of(record):
            if default is False:
                group.add_argument(option_name(name), action="store_true", help=option.meaning)
                continue
            shown = ",".join(default) if isinstance(default, tuple) else default
            suffix = "" if default is None else f" (default {shown})"
            unit = f", in {option.unit}" if option.unit and option.unit not in option.meaning else ""
            metavar = "|".join(option.choices) or name.split("_")[-1].upper()
            group.add_argument(
                option_name(name),
                type=_understood(option),
                default=default,
                metavar=metavar,
                help=option.meaning + unit + suffix,
            )
