"""The phases of `flowmask train`: read, hold back, simulate, score, train, write, score again."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from export.onnx_file import write_onnx
from export.source import Source
from flowmask.errors import OutputError, SettingsError
from retrain.card import Training, card
from retrain.images import Labelled, hold_back, prepared, read_pairs, replay
from retrain.scores import Change, changes_of, mean, scores_of, table, usual_diameter
from retrain.start import read_start, recipe_of, start_file
from retrain.tune import STEPS, tune
from train.checkpoint import save
from train.families import find_family


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    folders: Sequence[Path]
    """Folders of images and labels."""
    output: Path
    """The .onnx file to write."""
    start: str = "small"
    """Name of a network or path of a .pt file."""
    steps: int | None = None
    """None: `STEPS`."""
    held_out: int | None = None
    """Number of images to hold back; None: one of five."""
    test: Path | None = None
    """Folder of images to score with instead; then no image is held back."""
    licence: str = "not stated"
    """Licence of the user's images."""
    device: str | None = None
    """PyTorch's name of where to train; None: cuda if PyTorch finds a GPU, otherwise cpu."""


def train(request: Request) -> list[Change]:
    """Fine-tune a network, write FILE.onnx, FILE.pt and the card FILE.txt, and return the scores.

    Raises a FlowmaskError whose message says what to do; then none of these files was written.
    """
    began = time.monotonic()
    steps = STEPS if request.steps is None else request.steps
    _check(request, steps)
    device = request.device or ("cuda" if torch.cuda.is_available() else "cpu")
    start = start_file(request.start)
    source, extras = read_start(start)
    recipe = recipe_of(start, source, extras["about"])
    field = find_family(recipe.family).field
    with _work_folder(request.output) as folder:
        draft = Path(folder, request.output.name)
        training, scored = _split(request)
        simulated = replay(source.channels, field, source.clahe)
        images = [*prepared(training, source.channels, field, source.clahe), *simulated]
        write_onnx(str(draft), source, request.output.stem)
        diameter = usual_diameter(training)
        before = scores_of(draft, scored, "scoring before", diameter)
        tune(source.network, images, recipe, steps, device)
        tuned = _described(source, training, request)
        write_onnx(str(draft), tuned, request.output.stem)
        changes = changes_of(scored, before, scores_of(draft, scored, "scoring after", diameter))
        about = {**extras["about"], "licence": tuned.licence, "data": tuned.data}
        save(draft.with_suffix(".pt"), tuned.network, half=True, about=about, size=extras["size"])
        minutes = (time.monotonic() - began) / 60
        record = Training(start, training, diameter, len(simulated), steps, minutes, tuned.licence, changes)
        draft.with_suffix(".txt").write_text(card(draft, record), encoding="utf-8")
        for path in _files(draft):
            os.replace(path, request.output.with_suffix(path.suffix))
    _report(changes, request.output, diameter, minutes)
    return changes


def _check(request: Request, steps: int) -> None:
    """Raise before the work what would fail after it."""
    if request.output.suffix != ".onnx":
        raise SettingsError(f"{request.output}: the output is one network file; give a name that ends in .onnx.")
    there = [path.name for path in _files(request.output) if path.exists()]
    if there:
        raise OutputError(f"{request.output.parent}: {', '.join(there)} exists; choose another name for the output.")
    if request.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("PyTorch finds no GPU; choose the device cpu, or install PyTorch with CUDA.")
    if steps < 1:
        raise SettingsError(f"the number of steps is {steps}; give at least 1.")
    if request.held_out is not None and (request.held_out < 1 or request.test):
        raise SettingsError("--held-out must be at least 1 and cannot be combined with --test.")


def _work_folder(output: Path) -> TemporaryDirectory[str]:
    """Return a hidden folder beside the output. It is removed at the end, also after an error."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(dir=output.parent, prefix=".train-")
    except OSError as error:
        raise OutputError(
            f"{output.parent}: no file can be written there ({error.strerror}); choose another folder for the output."
        ) from error


def _files(output: Path) -> list[Path]:
    return [output.with_suffix(suffix) for suffix in (".txt", ".pt", ".onnx")]


def _split(request: Request) -> tuple[list[Labelled], list[Labelled]]:
    """Return the images to train on and those to score with, and say which these are."""
    images, without = read_pairs(request.folders)
    print(f"{len(images)} images with labels", flush=True)
    if request.test is None:
        training, scored = hold_back(images, request.held_out)
    else:
        training, (tested, others) = images, read_pairs([request.test])
        scored, without = [one for one in tested if one.labels.any()], [*without, *others]
        both = {one.item.image.resolve() for one in training} & {one.item.image.resolve() for one in scored}
        if both:
            raise SettingsError(f"{request.test}: training also uses {_names(sorted(both))}; give other images.")
    if without:
        print(f"not used, because they have no label file: {_names(without)}", flush=True)
    print(f"trained on: {_names([one.item.image for one in training])}", flush=True)
    print(f"scored on: {_names([one.item.image for one in scored])}", flush=True)
    return training, scored


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _described(source: Source, training: Sequence[Labelled], request: Request) -> Source:
    """Return the trained network with the sentences that its file holds."""
    folders = ", ".join(folder.resolve().name for folder in request.folders)
    return replace(
        source,
        licence=f"{source.licence}; images of the fine-tuning: {request.licence}",
        data=f"{source.data}; fine-tuned on {len(training)} images of {folders}",
    )


def _report(changes: Sequence[Change], output: Path, diameter: float, minutes: float) -> None:
    """Print the scores, and the command with the diameter that was better on the images that were not trained on."""
    scores = mean(changes)
    print(table(changes))
    print(f"given: with --diameter {diameter:.0f}, the usual diameter of the images that were trained on")
    if max(scores.after, scores.after_given) <= max(scores.before, scores.before_given):
        print("The score did not rise: correct more images, or look at whether their labels follow the same rules.")
    option = f" --diameter {diameter:.0f}" if scores.after_given > scores.after else ""
    print(f"{output}: written after {minutes:.1f} min, with its card {output.with_suffix('.txt').name}")
    print(f"next: flowmask segment IMAGES -o LABELS --model {output}{option}", flush=True)
