"""The command line: a folder or a file of images in, one label file for each out."""

from __future__ import annotations

import argparse
import io
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from infer.errors import FlowmaskError, ImageError, InputError, OutputError, RunError, SettingsError
from infer.settings import Settings

if TYPE_CHECKING:
    from infer.session import OnnxNetwork

MODEL = Path(__file__).parent.parent / "models" / "flowmask.onnx"
SIDE_FILES = ("thumbs.db", "desktop.ini")
"""Files that file managers leave in folders, in lower case."""
DONE, SOME_FAILED, WRONG_USAGE = 0, 1, 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: paths, and an option for every field of `Settings`."""
    parser = argparse.ArgumentParser(
        prog="python -m infer",
        description="Segment the cells of microscopy images: NAME.png becomes NAME_label.tiff.",
        epilog="Exit code: 0 all images done, 1 some failed (each named on stderr), 2 nothing could start.",
    )
    parser.add_argument("-i", "--input", type=Path, required=True, help="folder of images, or one image")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the labels; made when absent")
    parser.add_argument("-m", "--model", type=Path, default=MODEL, help="network file (default models/flowmask.onnx)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep what the network says in a hidden file of the output folder until an image is done, and go on "
        "from there when a run was killed",
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


_PARSERS: dict[str, Callable[[str], object]] = {"channels": _number_list, "memory": str}


def find_images(path: Path, own_labels: bool = False) -> list[Path]:
    """Return the files to segment: the path itself, or the files of a folder without hidden ones, by name.

    ``own_labels``: the folder is the output folder too, so its label files are results and no images.
    Raises InputError when there is none.
    """
    from infer.write import FULL_SUFFIX, LABEL_SUFFIX

    try:
        if path.is_file():
            return [path]
        exists = path.is_dir()
        found = sorted(p for p in path.iterdir() if p.is_file()) if exists else []
    except OSError as error:
        raise InputError(
            f"{path}: it cannot be read ({error.strerror}); check its name and its permissions."
        ) from error
    if not exists:
        raise InputError(f"{path}: there is no such file or folder; give the images' folder with -i.")
    found = [p for p in found if not p.name.startswith(".") and p.name.lower() not in SIDE_FILES]
    if own_labels:
        found = [p for p in found if not p.name.endswith((LABEL_SUFFIX, FULL_SUFFIX))]
    if not found:
        raise InputError(f"{path}: the folder is empty; put TIFF, PNG, JPEG or BMP images into it.")
    return found


def run(args: argparse.Namespace) -> int:
    """Segment every image; a file that fails is named on stderr and costs the others nothing."""
    settings = Settings(**{knob.name: getattr(args, knob.name) for knob in fields(Settings)})
    paths = find_images(args.input, own_labels=args.input.resolve() == args.output.resolve())
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{args.output}: the folder cannot be made ({error.strerror}); give another with -o."
        ) from error
    from infer.normalise import check_choice
    from infer.session import OnnxNetwork
    from infer.write import label_path

    network = OnnxNetwork(args.model, settings.provider, settings.threads)
    check_choice(network.contract.channels, settings.channels)
    taken: dict[Path, Path] = {}
    failed = 0
    for path in paths:
        target = label_path(args.output, path.name)
        try:
            if target in taken:
                raise ImageError(
                    f"{path}: {taken[target].name} has the same name up to its first dot; rename one of them."
                )
            _segment_file(path, target, network, settings, args.resume)
            taken[target] = path
        except FlowmaskError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(paths)} files failed; their errors stand above.", file=sys.stderr)
    return SOME_FAILED if failed else DONE


def _segment_file(path: Path, target: Path, network: OnnxNetwork, settings: Settings, resume: bool) -> None:
    from infer.image import open_image
    from infer.pipeline import segment_rows
    from infer.progress import ProgressBar
    from infer.resume import MapsFile, discard, maps_origin, maps_path
    from infer.store import LabelStore
    from infer.write import write_labels

    begun = time.perf_counter()
    bar = ProgressBar(path.name)
    try:
        image = open_image(path)
        scratch = maps_path(target)
        origin = maps_origin(path, image.shape, network.path, network.runtime, settings) if resume else None
        with (
            MapsFile(scratch, origin) if origin else nullcontext() as kept,
            LabelStore(target.parent, image.shape[1:]) as store,
        ):
            diameter, parts = segment_rows(image, network, settings, bar, kept)
            for part in parts:
                store.append(part)
            bar.close()
            write_labels(target, store, settings.ids)
        discard(scratch)
    except MemoryError as error:
        raise RunError(f"{path}: there is not enough memory for this image; run it on a larger machine.") from error
    except (SettingsError, RunError) as error:
        raise type(error)(f"{path}: {error}") from error
    finally:
        bar.close()
    seconds = time.perf_counter() - begun
    print(f"{path.name}: {store.cells} cells, diameter {diameter:.1f} px, {seconds:.2f} s", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn an error that stops everything into one sentence and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    args = build_parser().parse_args(argv)
    try:
        return run(args)
    except FlowmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE
