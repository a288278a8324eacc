"""The tables of the two studies of LIVECell from the start: train small networks of each design, export and score them.

    python -m bench.quality.seeds --data DATA [--test TEST] [--minutes 2.5] [--each 4] [--pretrained]
        [--work FOLDER] [--device cuda]

Each design has the same minutes of training, measured by its first steps: PanopticNets (Mesmer) of several backbones
and heads, U-Nets of three depths, CenterMasks of two backbones, and a light PanopticNet and a U-Net for each cell type,
which share the minutes of one design. The tables are those of `bench.quality.livecell`.

Without ``--test``, DATA is the project's data folder: its phase-contrast images stand in for LIVECell, a source for a
cell type, and `SPLIT` says which are scored. With ``--test``, all images of DATA are trained on and all images of TEST
scored, for example those of LIVECell's training and test files. Exported networks stay in the work folder, and a
stopped run continues with them. The backbones except ``light`` need the package timm.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from bench.quality.livecell import ALL, Networks, about, by_split, first_of_each, measure, measure_each
from bench.record import Record, table, write_record
from export.onnx_file import write_onnx
from export.parity import ParityError
from export.source import read_checkpoint
from flowmask.api import load_network
from flowmask.network.session import Network
from train.checkpoint import parameters
from train.config import Fresh, Recipe, Split
from train.data.prepared import Prepared, prepare_items
from train.data.readers import Item, read_folder
from train.families.base import FamilyNetwork, no_field
from train.families.semantic.network import DEEP, DOUBLE_DEEP, STANDARD
from train.families.watershed.network import PUBLISHED
from train.recipes import nuclei_boxes, nuclei_semantic, nuclei_watershed
from train.recipes.held_out import HELD_OUT
from train.run import finish, save_finished, train_stage
from train.start import starting_network
from train.validate import TorchNetwork

SPLIT = Split(
    held_out=(
        *HELD_OUT.held_out,
        "phase_fibroblast_bubil/m[34]*",
        "phase_smoothmuscle_rabbit_bubil/P*",
        "phase_bacteria_omnipose/Sample0000*",
        "phase_bacteria_omnipose/Sample0001*",
    ),
    left_out=("[!puy]*/*",),
)
"""The stand-ins for LIVECell: those that are scored, and those that are no phase contrast."""
CROP = 128
"""Sides of the crops in px, small so that each design makes as many steps as possible."""
BATCH = 2
"""Crops a step, as in the study of Mesmer."""
NORM_BATCHES = 20
"""See `Stage`; after so few steps the averages of the batch-norms would still be those of the start."""
TRIAL = 5
"""Steps by which the time of a step is measured."""
WORK = Path("checkpoints/seeds")
BOXES = (128, 128)
"""Features of the CenterMasks, those of the light published one."""


@dataclass(frozen=True)
class Design:
    """A network of one of the studies."""

    base: Recipe
    """Its optimiser, target and augmentation."""
    architecture: str
    widths: tuple[int, ...]
    pretrained: bool = False
    """Whether the encoder starts with published weights."""
    types: bool = False
    """Whether it is one network for each cell type."""


MESMER = partial(Design, nuclei_watershed.RECIPE, widths=PUBLISHED)
UNET = partial(Design, nuclei_semantic.RECIPE, "unet")
CENTERMASK = partial(Design, nuclei_boxes.RECIPE, widths=BOXES)
BACKBONES = {
    "light, ImageNet": MESMER("light", pretrained=True),
    "light": MESMER("light"),
    "ResNet50": MESMER("resnet50"),
    "DenseNet201": MESMER("densenet201"),
    "EfficientNet-B7": MESMER("efficientnet-b7"),
}
BOTH = "inner distance, pixelwise"
HEADS = {
    f"{BOTH}, outer distance": MESMER("light-outer", pretrained=True),
    f"{BOTH}, foreground": MESMER("light-foreground", pretrained=True),
}
"""Besides the first of `BACKBONES`, which has two heads."""
MESMER_TYPES = {"light, ImageNet, one a cell type": MESMER("light", pretrained=True, types=True)}
UNETS = {
    "U-Net": UNET(STANDARD),
    "deep U-Net": UNET(DEEP),
    "double-deep U-Net": UNET(DOUBLE_DEEP),
    "U-Net, one a cell type": UNET(STANDARD, types=True),
}
CENTERMASKS = {"CenterMask 19-slim": CENTERMASK("vovnet19-slim-dw"), "CenterMask 39": CENTERMASK("vovnet39")}
DESIGNS = BACKBONES | UNETS | CENTERMASKS | HEADS | MESMER_TYPES


def recipe_of(name: str, design: Design, pretrained: bool) -> Recipe:
    """Return the recipe of a design, whose only stage has no steps yet; ``pretrained``: of every PanopticNet."""
    published = design.pretrained or (pretrained and name in BACKBONES and name != "light")
    first = design.base.stages[0]
    stage = replace(
        first,
        start=Fresh(pretrained=published),
        steps=0,
        batch=BATCH,
        rate=min(first.rate, 1e-3),
        norm_batches=NORM_BATCHES,
        split=SPLIT,
        augmentation=replace(first.augmentation, crop=CROP),
    )
    own = replace(design.base, name=name, architecture=design.architecture, widths=design.widths, stages=(stage,))
    return replace(own, data="a benchmark's short training, not for use")


@dataclass(frozen=True)
class Trainings:
    """What the trainings of all designs have in common."""

    images: Sequence[Prepared]
    minutes: float
    work: Path
    """Folder of the exported networks."""
    device: str
    """PyTorch's name of where to train."""


def trained(recipe: Recipe, own: Trainings, name: str) -> Record:
    """Train a network for some minutes, export it to WORK/NAME.onnx and return the facts of the training.

    If the export refuses it, the checkpoint stays instead. The facts are written beside the file; if they exist, they
    are returned. Ends the program if they are of another training.
    """
    stage, facts, checkpoint = recipe.stages[0], own.work / f"{name}.json", own.work / f"{name}.pt"
    settings = repr((replace(recipe, stages=()), stage, own.minutes, Counter(image.source for image in own.images)))
    if facts.exists():
        known: Record = json.loads(facts.read_text())
        if known["settings"] != settings:
            raise SystemExit(f"{facts}: it is of a training with other settings; give another --work.")
        return known
    trial = replace(stage, steps=TRIAL, norm_batches=0)
    each = train_stage(_starting(recipe), own.images, trial, recipe, device=own.device) / TRIAL
    stage, network = replace(stage, steps=max(TRIAL, round(60 * own.minutes / each))), _starting(recipe)
    spent = train_stage(network, own.images, stage, recipe, device=own.device)
    save_finished(checkpoint, network, finish(network, own.images, recipe), recipe)
    found: Record = {
        "settings": settings,
        "steps": stage.steps,
        "minutes": spent / 60,
        "ms": 1000 * spent / stage.steps,
        "parameters": parameters(network),
        "exported": exported(checkpoint),
    }
    facts.write_text(json.dumps(found, indent=1))
    return found


def exported(checkpoint: Path) -> bool:
    """Export a checkpoint and remove it; if the file would compute something else, say so, keep it and return False."""
    try:
        write_onnx(str(checkpoint.with_suffix(".onnx")), read_checkpoint(str(checkpoint)), checkpoint.stem)
    except ParityError as error:
        print(error, flush=True)
        return False
    checkpoint.unlink()
    return True


def network_of(own: Trainings, name: str, facts: Record) -> Network:
    """Return the network that `trained` exported, or that of its checkpoint if the export refused it."""
    if facts["exported"]:
        return load_network(own.work / f"{name}.onnx")
    source = read_checkpoint(str(own.work / f"{name}.pt"))
    return TorchNetwork(source.network, source.contract(name))


def _starting(recipe: Recipe) -> FamilyNetwork:
    """Return the network with which the training starts, the same each time."""
    stage = recipe.stages[0]
    torch.manual_seed(stage.seed)
    return starting_network(stage.start, recipe, Path())


def measured(recipe: Recipe, own: Trainings, items: Sequence[Item]) -> Record:
    """Train a design and return the facts of its training with its figures for each split."""
    name = file_name(recipe.name)
    facts = trained(recipe, own, name)
    splits = measure(items, network_of(own, name, facts))
    return {key: value for key, value in facts.items() if key != "settings"} | {"splits": splits}


def measured_by_type(recipe: Recipe, own: Trainings, items: Sequence[Item]) -> Record:
    """Do the same with one network for each source, which share the minutes; each is scored on its source alone."""
    parts: list[Record] = []
    networks: dict[str, Network] = {}
    sources = sorted({image.source for image in own.images})
    for source in sources:
        name = f"{file_name(recipe.name)}_{source}"
        images = [image for image in own.images if image.source == source]
        parts.append(trained(recipe, replace(own, images=images, minutes=own.minutes / len(sources)), name))
        networks[source] = network_of(own, name, parts[-1])
    total: Record = {key: sum(part[key] for part in parts) for key in ("steps", "minutes", "parameters")}
    total |= {"ms": 60_000 * total["minutes"] / total["steps"], "exported": all(part["exported"] for part in parts)}
    pairs = ((item, networks[item.source]) for item in items if item.source in networks)
    return total | {"splits": measure_each(pairs)}


def file_name(design: str) -> str:
    """Return the name of the files of a design.

    >>> file_name("light, ImageNet")
    'light_ImageNet'
    """
    return design.replace(",", "").replace(" ", "_")


def text(record: Record) -> str:
    """Return the tables of both studies as Markdown."""
    found: dict[str, Record] = record["designs"]

    def part(names: Iterable[str]) -> Networks:
        return {name: found[name]["splits"] for name in names}

    sources = next(iter(found.values()))["splits"]
    sizes = [[split, own["images"], own["cells"]] for split, own in sources.items()]
    mesmer = {"pixel_iou": "pixel IoU", "f1": "F1"}
    all_types = next(iter(BACKBONES))
    return "\n\n".join(
        [
            record["about"],
            record["budget"],
            *refused(found),
            table(["split", "images", "true cells"], sizes),
            "Mesmer on LIVECell, table 1: backbones",
            overall(found, BACKBONES),
            "Mesmer on LIVECell, figure 5: heads",
            overall({BOTH: found[all_types], **{name: found[name] for name in HEADS}}, [BOTH, *HEADS]),
            "Mesmer on LIVECell, figure 6: one network for all cell types, or one for each",
            by_split(part([all_types, *MESMER_TYPES]), mesmer),
            "U-Net and CenterMask on LIVECell, tables 1 and 2: semantic F1 of U-Nets",
            by_split(part(UNETS), {"dice": "F1"}),
            "U-Net and CenterMask on LIVECell, tables 3 and 4: CenterMask, and a U-Net's components as cells",
            by_split(part([*CENTERMASKS, next(iter(UNETS))]), {"dice": "F1", "ap": "AP", "afnr": "AFNR"}),
            "What each design came to",
            overall(found, found),
        ]
    )


def refused(found: Mapping[str, Record]) -> list[str]:
    """Return a sentence that names the designs that the export refused, or nothing.

    >>> refused({"a": {"exported": True}, "b": {"exported": False}})[0][-28:]
    'were scored with PyTorch: b.'
    """
    names = [name for name, own in found.items() if not own["exported"]]
    reason = "because PyTorch and the file differ on noise by more than is allowed; they were scored with PyTorch"
    return [f"The export refused these, {reason}: {', '.join(names)}."] if names else []


def overall(found: Mapping[str, Record], names: Iterable[str]) -> str:
    """Return a table with a row for each design: its figures for all images, and its training."""
    rows = []
    for name in names:
        own = found[name]
        score = own["splits"][ALL]
        millions = f"{own['parameters'] / 1e6:.1f}"
        training = [own["steps"], round(own["ms"]), f"{own['minutes']:.1f}", millions]
        rows.append([name, score["pixel_iou"], score["f1"], score["dice"], score["ap"], *training])
    columns = ["average pixel IoU", "F1", "semantic F1", "AP", "steps", "ms a step", "minutes", "million weights"]
    return table(["network", *columns], rows)


def divided(data: Path, test: Path | None, each: int) -> tuple[list[Item], list[Item]]:
    """Return the items to train on and those to score, at most ``each`` of a source."""
    if test is None:
        training, scored = SPLIT.divide(read_folder(data))
    else:
        training, scored = read_folder(data), read_folder(test)
    return training, first_of_each(scored, each)


def main(argv: list[str] | None = None) -> None:
    """Train, export and score all designs, print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled images, in any layout of `python -m train`")
    parser.add_argument("--test", type=Path, help="images to score, if all of DATA are to be trained on")
    parser.add_argument("--minutes", type=float, default=2.5, metavar="N", help="for each design (default 2.5)")
    parser.add_argument("--each", type=int, default=4, help="images of a source to score (default 4; 0: all)")
    parser.add_argument("--pretrained", action="store_true", help="timm downloads weights for its backbones")
    parser.add_argument("--work", type=Path, default=WORK, metavar="FOLDER", help=f"of the networks (default {WORK})")
    parser.add_argument("--device", default="cpu", help="PyTorch's name of where to train (default cpu)")
    args = parser.parse_args(argv)
    training, scored = divided(args.data, args.test, args.each)
    if not training or not scored:
        parser.error(f"{len(training)} images to train on and {len(scored)} to score; give other folders")
    own = Trainings(prepare_items(training, "rgb", no_field), args.minutes, args.work, args.device)
    args.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Record] = {}
    for name, design in DESIGNS.items():
        print(f"{name}: {args.minutes:g} min", flush=True)
        measure_design = measured_by_type if design.types else measured
        found[name] = measure_design(recipe_of(name, design, args.pretrained), own, scored)
        print(overall(found, [name]), flush=True)
    record = {"about": about(scored), "budget": budget(own, args.pretrained), "designs": found}
    print(text(record))
    print(write_record("seeds", record))


def budget(own: Trainings, pretrained: bool) -> str:
    """Return the sentences that say how the networks were trained."""
    counts = Counter(image.source for image in own.images)
    sources = ", ".join(f"{count} of {source}" for source, count in sorted(counts.items()))
    backbones = "with published weights" if pretrained else "with random weights"
    return (
        f"Each design was trained for about {own.minutes:g} minutes, not for the GPU-hours of the studies, on "
        f"{sources}. A step has {BATCH} crops of {CROP} px; its time, measured on the first {TRIAL}, gave the number "
        "of steps. The machine was shared, so the minutes that it took differ. Learn ratios from these figures, not "
        "what a design can reach. `light` is EfficientNet-Lite0; it starts with weights of ImageNet where its name "
        f"says so, and where heads and cell types are compared. The backbones of timm start {backbones}, U-Nets and "
        "CenterMasks with random ones. Of one network a cell type, which share the minutes, each is scored on its own "
        "type, and `all` is these types."
    )


if __name__ == "__main__":
    main()
