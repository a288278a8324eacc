"""`flowmask train`: which images are held back, what is refused before the work, and a whole run of a few steps."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import flowmask  # noqa: E402
from flowmask.arguments import build_commands  # noqa: E402
from flowmask.cli import flowmask as command  # noqa: E402
from flowmask.errors import ImageError, InputError, NetworkError, SettingsError  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from retrain import images as own_images  # noqa: E402
from retrain import tune as tune_module  # noqa: E402
from retrain.images import Labelled, hold_back, read_pairs  # noqa: E402
from retrain.start import read_start, recipe_of, start_file  # noqa: E402
from retrain.tune import STEPS  # noqa: E402
from train.checkpoint import load, save  # noqa: E402
from train.data.prepared import prepare  # noqa: E402
from train.data.readers import Item  # noqa: E402
from train.families import find_architecture  # noqa: E402
from train.families.base import Finished, no_field  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.families.flow.targets import flow_field  # noqa: E402
from train.recipes.small import RECIPE as SMALL  # noqa: E402
from train.run import save_finished  # noqa: E402
from train.simulate import simulate  # noqa: E402

pytestmark = pytest.mark.torch
CELLS = np.eye(30, dtype=np.uint16)


def labelled(count, empty=()):
    return [
        Labelled(Item(own_images.Path(f"{n}.tif"), None, "lab"), None, CELLS * (n not in empty)) for n in range(count)
    ]


def numbers(images):
    return [int(one.item.image.stem) for one in images]


@pytest.mark.parametrize(
    ("count", "requested", "empty", "held"),
    [
        (10, None, (), [2, 7]),
        (3, None, (), [1]),
        (2, None, (), [1]),
        (10, 3, (), [1, 5, 8]),
        (5, 1, (2,), [3]),
    ],
)
def test_images_are_held_back_evenly_and_all_others_are_trained_on(count, requested, empty, held):
    training, back = hold_back(labelled(count, empty), requested)
    assert numbers(back) == held
    assert numbers(training) == [n for n in range(count) if n not in held]


@pytest.mark.parametrize(("count", "requested", "empty"), [(1, None, ()), (4, 4, ()), (3, 1, (0, 1))])
def test_an_image_with_cells_must_remain(count, requested, empty):
    with pytest.raises(SettingsError, match="none is left to train on; label more images"):
        hold_back(labelled(count, empty), requested)


def write(folder, count=3, size=64):
    for seed in range(count):
        sample = simulate("fluorescence_nuclei", (size, size), seed, 20)
        folder.mkdir(exist_ok=True)
        tifffile.imwrite(folder / f"{seed}.tif", sample.image)
        tifffile.imwrite(folder / f"{seed}_label.tif", sample.labels.astype(np.uint16))
    return folder


def test_labels_without_any_cell_are_refused(tmp_path):
    write(tmp_path / "a")
    for seed in range(3):
        tifffile.imwrite(tmp_path / "a" / f"{seed}_label.tif", np.zeros((64, 64), np.uint16))
    with pytest.raises(InputError, match="none of the 3 label files has a cell"):
        read_pairs([tmp_path / "a"])


def test_a_mask_in_which_all_cells_have_one_number_is_refused(tmp_path):
    write(tmp_path / "a")
    mask = np.zeros((64, 64), np.uint8)
    mask[3:20, 3:20] = mask[30:50, 30:50] = 255
    tifffile.imwrite(tmp_path / "a" / "1_label.tif", mask)
    with pytest.raises(ImageError, match="1_label.tif: its 2 separate objects have the same number"):
        read_pairs([tmp_path / "a"])


@pytest.mark.parametrize(
    ("start", "message"),
    [("large", "no network of this name can be trained"), ("a.onnx", "an ONNX file cannot be trained; give the .pt")],
)
def test_networks_that_cannot_be_trained(start, message):
    with pytest.raises(SettingsError, match=message):
        start_file(start)


def one_sentence(capsys):
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent", "-o", "a.onnx"), "absent: there is no such folder"),
        (("in", "-o", "a.pt"), "give a name that ends in .onnx"),
        (("in", "-o", "there.onnx"), "there.onnx exists; choose another name"),
        (("in", "-o", "there.onnx/a.onnx"), "there.onnx: no file can be written there"),
        (("in", "-o", "a.onnx", "--steps", "0"), "the number of steps is 0"),
        (("in", "-o", "a.onnx", "--held-out", "0"), "--held-out must be at least 1"),
        (("in", "-o", "a.onnx", "--held-out", "1", "--test", "in"), "cannot be combined"),
        (("in", "-o", "a.onnx", "--held-out", "3"), "none is left to train on"),
        (("in", "-o", "a.onnx", "--start", "absent.pt"), "absent.pt: the checkpoint cannot be opened"),
    ],
)
def test_what_stops_the_training_is_one_sentence_and_leaves_no_file(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in")
    (tmp_path / "there.onnx").write_bytes(b"")
    assert command(["train", *words]) == 2
    assert message in one_sentence(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "there.onnx"]


def test_a_missing_package_is_named_and_how_to_install_it(monkeypatch, capsys):
    def absent(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("flowmask.training.importlib.import_module", absent)
    assert command(["train", "in", "-o", "a.onnx"]) == 2
    assert one_sentence(capsys) == (
        'error: the training needs the package torch; install it with pip install "flowmask[train]".'
    )


def test_the_help_states_the_steps_that_are_used():
    parser = build_commands()._subparsers._group_actions[0].choices["train"]
    assert f"steps of the training (default {STEPS})" in parser.format_help()


@pytest.fixture
def start(tmp_path):
    """A checkpoint of a small network with random weights, as `python -m train` writes it last."""
    torch.manual_seed(0)
    network = FlowNetwork(3, (4, 4, 8, 8)).eval()
    about = {"channels": "rgb", "mean_diameter": 20.0, "train_diameter": 20.0, "licence": "CC0", "data": "nothing"}
    layers = [(torch.zeros(2, 8), torch.zeros(2)), (torch.zeros(1, 2), torch.full((1,), 3.0))]
    save(tmp_path / "start.pt", network, about=about, size={"layers": layers, "style": torch.zeros(8)})
    return tmp_path / "start.pt"


@pytest.mark.slow
def test_a_whole_run(tmp_path, monkeypatch, capsys, start):
    monkeypatch.setattr(own_images, "MODALITIES", ("rods",))
    monkeypatch.setattr(own_images, "REPLAY", 1)
    write(tmp_path / "corrected", 3)
    tifffile.imwrite(tmp_path / "corrected" / "extra.tif", np.zeros((9, 9), np.uint8))
    output = tmp_path / "out" / "mine.onnx"
    words = [
        tmp_path / "corrected",
        "-o",
        output,
        "--start",
        start,
        "--steps",
        2,
        "--licence",
        "CC0",
        "--device",
        "cpu",
    ]
    assert command(["train", *map(str, words)]) == 0
    assert sorted(path.name for path in output.parent.iterdir()) == ["mine.onnx", "mine.pt", "mine.txt"]
    printed, bars = capsys.readouterr()
    assert "scored on: 1.tif" in printed
    assert "not used, because they have no label file: extra.tif" in printed
    for phase in ("reading", "simulating", "scoring before", "training", "scoring after"):
        assert phase in bars
    contract = flowmask.load_network(output).contract
    assert contract.sized
    assert "fine-tuned on 2 images of corrected" in contract.data
    card = output.with_suffix(".txt").read_text()
    for words in ("0.tif: ", "2 steps of 8 crops", "1 simulated images", contract.licence):
        assert words in card
    before, after = (load(path)[0].state_dict() for path in (start, output.with_suffix(".pt")))
    changed = {name for name, value in before.items() if not torch.equal(value.half(), after[name].half())}
    assert {part for part in ("up.", "down.") if any(name.startswith(part) for name in changed)} == {"up.", "down."}
    assert not [name for name in changed if "running" in name]
    again = ["--start", output.with_suffix(".pt"), "--steps", 1, "--device", "cpu"]
    words = [tmp_path / "corrected", "-o", output.with_name("more.onnx"), *again]
    assert command(["train", *map(str, words)]) == 0


def test_a_part_of_the_weights_before_the_training_is_kept(monkeypatch):
    sample = simulate("fluorescence_nuclei", (64, 64), 0, 20)
    images = [prepare(ArrayImage(sample.image[None]), sample.labels, "own a", "rgb", flow_field)]
    torch.manual_seed(0)
    before, states = FlowNetwork(3, (4, 4, 8, 8)), []
    for share in (0.0, 0.25):
        network = deepcopy(before)
        monkeypatch.setattr(tune_module, "OLD_SHARE", share)
        tune_module.tune(network, images, SMALL, steps=2)
        states.append(network.state_dict())
    assert not torch.equal(states[0]["output.2.weight"], before.state_dict()["output.2.weight"])
    for name, value in before.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(states[1][name], 0.25 * value + 0.75 * states[0][name])


OTHERS = {
    "semantic": ("unet-border", (4, 8), {"border": 2}),
    "watershed": ("light-outer", (4, 8), {"squared": 1, "beta": 1}),
    "boxes": ("vovnet19-slim-dw", (32, 8), {}),
}


def other_start(path, family, architecture, widths, options):
    """Write a checkpoint of a network of another family with random weights, as `python -m train` writes it last."""
    torch.manual_seed(0)
    network = find_architecture(family, architecture).build(3, widths).eval()
    named = replace(SMALL, family=family, architecture=architecture, widths=widths)
    recipe = replace(named, mean_diameter=None, options=options)
    save_finished(path, network, Finished(20.0, 20.0, None), recipe)
    return recipe


@pytest.mark.parametrize("family", OTHERS)
def test_networks_of_every_family_are_tuned_by_their_own_targets_and_loss(tmp_path, monkeypatch, family):
    path = tmp_path / "start.pt"
    trained_by = other_start(path, family, *OTHERS[family])
    source, extras = read_start(path)
    recipe = recipe_of(path, source, extras["about"])
    for name in ("family", "architecture", "channels", "widths", "mean_diameter", "options"):
        assert getattr(recipe, name) == getattr(trained_by, name)
    small = replace(tune_module.STAGE.augmentation, crop=64)
    monkeypatch.setattr(tune_module, "STAGE", replace(tune_module.STAGE, batch=1, augmentation=small))
    sample = simulate("fluorescence_nuclei", (96, 96), 0, 20)
    images = [prepare(ArrayImage(sample.image[None]), sample.labels, "own a", "rgb", no_field)]
    before = deepcopy(source.network.state_dict())
    tune_module.tune(source.network, images, recipe, steps=2)
    assert not source.network.training
    changed = {name for name, value in source.network.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("encoder.") for name in changed)
    assert not [name for name in changed if "running" in name or "num_batches" in name]
    if family == "watershed":
        assert any(name.startswith("auxiliary.") for name in changed)


def test_networks_whose_targets_are_not_known_or_not_given_are_refused(tmp_path):
    other_start(tmp_path / "nuclei.pt", "watershed", "light-nuclei", (4, 8), {})
    with pytest.raises(NetworkError, match="needs two label files an image, and flowmask train reads one"):
        read_start(tmp_path / "nuclei.pt")
    other_start(tmp_path / "old.pt", *("semantic", *OTHERS["semantic"]))
    source, extras = read_start(tmp_path / "old.pt")
    del extras["about"]["options"]
    with pytest.raises(NetworkError, match="does not record with which options its targets were made"):
        recipe_of(tmp_path / "old.pt", source, extras["about"])


@pytest.mark.slow
def test_a_whole_run_with_a_network_of_another_family(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images, "MODALITIES", ("rods",))
    monkeypatch.setattr(own_images, "REPLAY", 1)
    write(tmp_path / "corrected", 3)
    other_start(tmp_path / "start.pt", "semantic", *OTHERS["semantic"])
    for start, name in (("start.pt", "mine"), ("mine.pt", "more")):
        words = [tmp_path / "corrected", "-o", tmp_path / f"{name}.onnx", "--start", tmp_path / start, "--steps", 1]
        assert command(["train", *map(str, words), "--device", "cpu"]) == 0
    contract = flowmask.load_network(tmp_path / "more.onnx").contract
    assert (contract.family, contract.sized) == ("semantic", False)


def test_the_simulated_images_are_the_same_at_every_call(monkeypatch):
    monkeypatch.setattr(own_images, "MODALITIES", ("rods", "phase"))
    monkeypatch.setattr(own_images, "REPLAY", 3)
    one, two = (own_images.replay("rgb", no_field) for _ in range(2))
    assert [image.source for image in one] == ["simulated rods", "simulated phase", "simulated rods"]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_an_image_cannot_be_trained_on_and_scored(tmp_path):
    write(tmp_path / "a")
    words = ["train", tmp_path / "a", "--test", tmp_path / "a", "-o", tmp_path / "out.onnx"]
    assert command([str(word) for word in words]) != 0
    assert not (tmp_path / "out.onnx").exists()
