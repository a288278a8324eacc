"""Train the network of a recipe: read the data, run the stages in order, write the checkpoint.

The command line is in `train.__main__`; `bench.quality.left_out` uses these functions as a library.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.optim.swa_utils import update_bn

from flowmask.errors import SettingsError
from flowmask.network.contract import Contract
from train.checkpoint import UNREADABLE, load, parameters, save
from train.config import Recipe, Stage
from train.data.batches import Batch, batch_maker
from train.data.prepared import SIMULATED, Prepared, prepare_item, prepare_items
from train.data.readers import NUCLEI_ENDING, Item, read_folders, read_shared
from train.families import FamilyNetwork, find_architecture, find_family, heads_of, loss_of
from train.families.base import Finished
from train.loop import fit
from train.start import checkpoints_of, starting_network
from train.validate import Validation

VALIDATE_EVERY = 400
"""Steps between two validations."""
VALIDATE_IMAGES = 3
"""Images of each held-out source that are scored during training."""
DIAMETER = 30.0
"""Cell diameter in px that the contract states during training for a recipe without ``mean_diameter``."""


def train_recipe(recipe: Recipe, data: Sequence[Path], pool: Path | None, work: Path, device: str = "cpu") -> Path:
    """Run all stages of a recipe and return the checkpoint WORK/RECIPE.pt, which `python -m export` turns into ONNX.

    data: folders of labelled images. pool: folder of simulated images. Each stage writes WORK/RECIPE/STAGE.pt; a stage
    whose checkpoint exists is skipped, and an interrupted one resumes from WORK/RECIPE/STAGE.state. Raises
    SettingsError if a checkpoint belongs to other values of the recipe.
    """
    check_stages(recipe)
    output, last_stage = work / f"{recipe.name}.pt", recipe.stages[-1]
    if _is_finished(output, last_stage, recipe, work):
        print(f"{output}: exists", flush=True)
        return output
    items, field = read_folders(data), find_family(recipe.family).field
    simulated: list[Prepared] | None = None
    prepare_once, images = _preparer(recipe), []
    for number, stage in enumerate(recipe.stages, 1):
        path = work / recipe.name / f"{stage.name}.pt"
        training, held_out = stage.split.divide(items)
        if not training or not held_out:
            raise SettingsError(
                f"{recipe.name}: the split of stage {stage.name} leaves {len(training)} images to train on and "
                f"{len(held_out)} to validate with; change its patterns of source/name until both have some."
            )
        finished = _is_finished(path, stage, recipe, work)
        if finished and stage is not last_stage:
            print(f"stage {number} of {len(recipe.stages)}, {stage.name}: {path} exists", flush=True)
            continue
        if simulated is None:
            drawn = read_shared(pool) if pool else []
            simulated = prepare_items(drawn, recipe.channels, field, SIMULATED, recipe.clahe)
        images = [prepare_once(item) for item in training] + simulated
        if not finished:
            print(f"stage {number} of {len(recipe.stages)}, {stage.name}: {len(images)} images", flush=True)
            _run_stage(path, stage, recipe, images, held_out, work, device)
    network = load(path)[0].to(device)
    settings = settings_of(last_stage, recipe, [*checkpoints_of(last_stage.start, recipe, work)])
    save_finished(output, network, finish(network, images, recipe), recipe, settings)
    print(f"{output}: written", flush=True)
    return output


def check_stages(recipe: Recipe) -> None:
    """Raise SettingsError if the recipe has no stages or two of the same name.

    >>> from dataclasses import replace
    >>> from train.recipes.small import RECIPE
    >>> check_stages(RECIPE)
    >>> check_stages(replace(RECIPE, stages=()))
    Traceback (most recent call last):
    flowmask.errors.SettingsError: small: its stages need different names, and there must be at least one stage.
    """
    names = [stage.name for stage in recipe.stages]
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"{recipe.name}: its stages need different names, and there must be at least one stage.")


def train_stage(
    network: FamilyNetwork,
    images: Sequence[Prepared],
    stage: Stage,
    recipe: Recipe,
    state: Path | None = None,
    fingerprint: str = "",
    validation: Callable[[torch.nn.Module], str] | None = None,
    device: str = "cpu",
) -> float:
    """Train a network by one stage on prepared images, in place; return the seconds spent.

    Without ``state`` the training cannot be resumed, without ``validation`` nothing is scored. Raises SettingsError if
    the architecture needs the labels of nuclei and an image has none.
    """
    family, architecture = find_family(recipe.family), find_architecture(recipe.family, recipe.architecture)
    without = [image.source for image in images if image.nuclei is None]
    if architecture.nuclei and without:
        raise SettingsError(
            f"{recipe.name}: the architecture {recipe.architecture} needs the labels of the nuclei too, and "
            f"{len(without)} images have none, the first of {without[0]}; add NAME{NUCLEI_ENDING}, or leave them out."
        )
    make = batch_maker(images, stage, recipe.mean_diameter, family.target(recipe))
    with TemporaryDirectory() as folder:
        seconds = fit(
            network,
            make,
            loss_of(recipe.family, recipe.architecture),
            stage,
            state or Path(folder) / "state",
            fingerprint,
            validation or (lambda _: "not validated"),
            VALIDATE_EVERY,
            device=device,
            encoder=architecture.encoder,
            forward=family.forward,
        )
    _measure_norms(network, make, stage, device)
    network.eval()
    return seconds


def _measure_norms(network: FamilyNetwork, make: Callable[[int], Batch], stage: Stage, device: str) -> None:
    """Measure means and variances of batch norms anew, on the batches that would follow the stage."""
    if stage.norm_batches:
        steps = range(stage.steps, stage.steps + stage.norm_batches)
        update_bn((make(step)[0] for step in steps), network, torch.device(device))


def contract_in_training(recipe: Recipe, multiple: int = 8) -> Contract:
    """Return the contract with which the engine runs the network while it is trained: it has no size regression.

    >>> from train.recipes.small import RECIPE
    >>> contract = contract_in_training(RECIPE)
    >>> contract.family, contract.mean_diameter, contract.sized
    ('flow', 30.0, False)
    """
    diameter = recipe.mean_diameter or DIAMETER
    return Contract(
        name=recipe.name,
        channels=recipe.channels,
        mean_diameter=diameter,
        train_diameter=diameter,
        sized=False,
        licence=recipe.licence,
        data=recipe.data,
        multiple=multiple,
        family=recipe.family,
        heads=heads_of(recipe.family, recipe.architecture),
        clahe=recipe.clahe,
        pixel_size=recipe.pixel_size,
    )


def finish(network: FamilyNetwork, images: Sequence[Prepared], recipe: Recipe) -> Finished:
    """Fit what the exported file needs besides the network, such as the size regression."""
    return find_family(recipe.family).finish(network.eval(), images, recipe)


def save_finished(path: Path, network: FamilyNetwork, finished: Finished, recipe: Recipe, settings: str = "") -> None:
    """Write the checkpoint that `python -m export` reads, in half precision."""
    about = {
        "channels": recipe.channels,
        "mean_diameter": finished.mean_diameter,
        "train_diameter": finished.train_diameter,
        "licence": recipe.licence,
        "data": recipe.data,
        "clahe": recipe.clahe and asdict(recipe.clahe),
        "pixel_size": recipe.pixel_size,
        "rescaled": recipe.mean_diameter is not None,
        "options": dict(recipe.options),
    }
    _write(path, network.cpu(), half=True, about=about, size=finished.size, settings=settings)


def fingerprint_of(stage: Stage, recipe: Recipe, images: Sequence[Prepared], start: Sequence[Path]) -> str:
    """Return a digest of the stage, the images and the weights with which the stage starts."""
    architecture = find_architecture(recipe.family, recipe.architecture)
    digest = hashlib.sha256(settings_of(stage, recipe, start).encode())
    for image in images:
        digest.update(image.source.encode() + image.image.tobytes() + image.labels.tobytes())
        if architecture.nuclei and image.nuclei is not None:
            digest.update(image.nuclei.tobytes())
    return digest.hexdigest()


def settings_of(stage: Stage, recipe: Recipe, start: Sequence[Path]) -> str:
    """Return everything but the images that decides the weights of a stage, as text."""
    shape: tuple[object, ...]
    shape = (recipe.family, recipe.architecture, recipe.channels, recipe.widths, recipe.mean_diameter, recipe.options)
    if recipe.clahe or recipe.pixel_size:  # checkpoints of other recipes keep the settings of earlier releases
        shape += (recipe.clahe, recipe.pixel_size)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in start if path.exists()]
    return repr((shape, stage, digests))


def _preparer(recipe: Recipe) -> Callable[[Item], Prepared]:
    """Return the function that reads and prepares an image; it keeps the result for the next stage."""
    field = find_family(recipe.family).field
    images: dict[Path, Prepared] = {}

    def prepare_once(item: Item) -> Prepared:
        if item.image not in images:
            images[item.image] = prepare_item(item, recipe.channels, field, clahe=recipe.clahe)
        return images[item.image]

    return prepare_once


def _is_finished(path: Path, stage: Stage, recipe: Recipe, work: Path) -> bool:
    """Return whether the checkpoint of a stage exists. Raises SettingsError if it belongs to other values."""
    if not path.exists():
        return False
    try:
        settings = torch.load(path, map_location="cpu", weights_only=True).get("settings")
    except UNREADABLE as error:
        raise SettingsError(f"{path}: this file cannot be read; remove it to train the stage again.") from error
    if settings != settings_of(stage, recipe, [*checkpoints_of(stage.start, recipe, work)]):
        raise SettingsError(
            f"{path}: this stage was trained with other values of the recipe or from other weights; remove the file to "
            "train the stage again, or choose another --work folder."
        )
    return True


def _run_stage(
    path: Path,
    stage: Stage,
    recipe: Recipe,
    images: Sequence[Prepared],
    held_out: Sequence[Item],
    work: Path,
    device: str,
) -> None:
    """Train one stage and write its checkpoint."""
    torch.manual_seed(stage.seed)
    start = [*checkpoints_of(stage.start, recipe, work)]
    network = starting_network(stage.start, recipe, work)
    place = device if device != "cpu" else f"{torch.get_num_threads()} threads"
    print(f"{len(held_out)} images held out, {parameters(network):,} parameters, {place}", flush=True)
    contract = contract_in_training(recipe, network.multiple)
    validation = Validation(held_out, contract, VALIDATE_IMAGES, recipe.mean_diameter is not None)
    fingerprint = fingerprint_of(stage, recipe, images, start)
    state = path.with_suffix(".state")
    seconds = train_stage(network, images, stage, recipe, state, fingerprint, validation, device)
    _write(path, network.cpu(), settings=settings_of(stage, recipe, start))
    state.unlink(missing_ok=True)
    print(f"{path}: written after {seconds / 60:.0f} min of training", flush=True)


def _write(path: Path, network: FamilyNetwork, half: bool = False, **extra: object) -> None:
    """Write a checkpoint; an interrupted write leaves no file of this name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save(partial, network, half, **extra)
    os.replace(partial, path)
