"""Running a recipe: stages in order, each from the one before, skipped when finished, resumed when interrupted."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.source import read_checkpoint  # noqa: E402
from flowmask.errors import NetworkError, SettingsError  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.network.contract import Clahe  # noqa: E402
from train import run  # noqa: E402
from train.__main__ import main  # noqa: E402
from train.checkpoint import load, save  # noqa: E402
from train.config import Checkpoint, Mean, Split  # noqa: E402
from train.data.prepared import prepare, write_sample  # noqa: E402
from train.families.flow import size  # noqa: E402
from train.families.flow.family import FAMILY  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402
from train.run import fingerprint_of, train_recipe  # noqa: E402
from train.simulate import simulate  # noqa: E402

TEMPLATE = RECIPE.stages[0]
FIRST = dataclasses.replace(
    TEMPLATE,
    steps=3,
    batch=2,
    split=Split(("lab/held_*",), ("lab/left_*",)),
    augmentation=dataclasses.replace(TEMPLATE.augmentation, crop=32),
)
SECOND = dataclasses.replace(FIRST, name="second", start=Checkpoint("first"), steps=2, seed=1)
SMALL = dataclasses.replace(RECIPE, name="small", widths=(4, 4, 8, 8), stages=(FIRST, SECOND))


@pytest.fixture
def data(tmp_path):
    """Three images of a source to train on, one held out and one left out."""
    for seed, name in enumerate(("one", "two", "three", "held_1", "left_1"), 4):
        sample = simulate("fluorescence_nuclei", (64, 64), seed, 20)
        write_sample(tmp_path / "data" / "lab", name, sample.image, sample.labels)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(size, "DRAWS", 8)


def prepared(seed=0):
    sample = simulate("fluorescence_nuclei", (60, 70), seed, 24)
    return prepare(ArrayImage(sample.image[None]), sample.labels, "a", "rgb", FAMILY.field)


def weights(path):
    return load(path)[0].state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def in_half(value):
    """A weight as the last checkpoint keeps it."""
    return value.half().float() if value.is_floating_point() else value


def test_every_stage_starts_with_the_one_before_and_the_last_can_be_exported(data, tmp_path, monkeypatch):
    started = []
    starting_network = run.starting_network

    def recorded(*args):
        network = starting_network(*args)
        started.append({name: value.clone() for name, value in network.state_dict().items()})
        return network

    monkeypatch.setattr(run, "starting_network", recorded)
    output = train_recipe(SMALL, [data], None, tmp_path / "work")
    stages = [weights(tmp_path / "work" / "small" / f"{name}.pt") for name in ("first", "second")]
    assert output == tmp_path / "work" / "small.pt"
    assert len(started) == 2
    assert same(stages[0], started[1])
    assert not same(stages[0], stages[1])
    assert same(weights(output), {name: in_half(value) for name, value in stages[1].items()})
    source = read_checkpoint(str(output))
    assert source.size is not None
    assert (source.channels, source.mean_diameter, source.licence) == ("rgb", 30.0, "BSD-3-Clause")
    with pytest.raises(NetworkError, match="first.pt: .* it belongs to one stage"):
        read_checkpoint(str(tmp_path / "work" / "small" / "first.pt"))


def test_a_stage_without_steps_is_the_mean_that_it_starts_with(data, tmp_path):
    mean = dataclasses.replace(FIRST, name="mean", steps=0, start=Mean((Checkpoint("first"), Checkpoint("second"))))
    train_recipe(dataclasses.replace(SMALL, stages=(FIRST, SECOND, mean)), [data], None, tmp_path / "work")
    first, second, found = (weights(tmp_path / "work" / "small" / f"{name}.pt") for name in ("first", "second", "mean"))
    floats = [name for name, value in found.items() if value.is_floating_point()]
    assert all(torch.allclose(found[name], (first[name] + second[name]) / 2, atol=1e-7) for name in floats)


def test_a_flow_network_of_equalised_images_has_no_size_regression():
    finished = run.finish(FlowNetwork(3, SMALL.widths), [], dataclasses.replace(SMALL, clahe=Clahe()))
    assert (finished.size, finished.train_diameter) == (None, 30.0)


def test_finished_stages_are_skipped_and_an_interrupted_one_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    whole = weights(train_recipe(SMALL, [data], None, tmp_path / "whole"))
    batch_maker, made = run.batch_maker, []

    def interrupted(images, stage, *args):
        make = batch_maker(images, stage, *args)

        def one(step):
            made.append((stage.name, step))
            if len(made) > 4:
                raise KeyboardInterrupt
            return make(step)

        return one

    monkeypatch.setattr(run, "batch_maker", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_recipe(SMALL, [data], None, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut" / "small").iterdir()] == ["first.pt"]
    made.clear()
    assert same(weights(train_recipe(SMALL, [data], None, tmp_path / "cut")), whole)
    assert {name for name, _ in made} == {"second"}
    made.clear()
    train_recipe(SMALL, [data], None, tmp_path / "cut")
    assert not made


def test_a_stage_of_other_values_or_from_other_weights_is_refused(data, tmp_path):
    work = tmp_path / "work"
    train_recipe(SMALL, [data], None, work)
    changed = dataclasses.replace(SMALL, stages=(dataclasses.replace(FIRST, rate=1e-5), SECOND))
    (work / "small.pt").unlink()
    with pytest.raises(SettingsError, match="first.pt: this stage was trained with other values"):
        train_recipe(changed, [data], None, work)
    (work / "small" / "first.pt").unlink()
    save(work / "small" / "first.pt", FlowNetwork(3, SMALL.widths), settings=run.settings_of(FIRST, SMALL, []))
    with pytest.raises(SettingsError, match="second.pt: .* or from other weights"):
        train_recipe(SMALL, [data], None, work)
    (work / "small" / "second.pt").write_text("damaged")
    with pytest.raises(SettingsError, match="second.pt: this file cannot be read"):
        train_recipe(SMALL, [data], None, work)


def test_images_of_every_folder_and_of_the_pool_are_trained_on(data, tmp_path, monkeypatch):
    sample = simulate("dic", (64, 64), 0, 20)
    for folder in ("more/other", "pool/dic"):
        write_sample(tmp_path / folder, "x", sample.image, sample.labels)
    seen = []

    def recorded(network, images, stage, *args):
        seen.append([image.source for image in images])
        return 0.0

    monkeypatch.setattr(run, "train_stage", recorded)
    monkeypatch.setattr(run, "finish", lambda network, images, recipe: seen.append([i.source for i in images]))
    monkeypatch.setattr(run, "save_finished", lambda *args: None)
    train_recipe(SMALL, [data, tmp_path / "more"], tmp_path / "pool", tmp_path / "work")
    assert seen == [["lab"] * 3 + ["other", "simulated dic"]] * 3


def test_a_split_that_holds_nothing_out_is_refused(tmp_path, capsys):
    write_sample(tmp_path / "lab", "one", np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32))
    assert main(["template", "--data", str(tmp_path), "--work", str(tmp_path), "--device", "cpu"]) == 1
    assert "leaves 1 images to train on and 0 to validate with" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["template", "--data", str(tmp_path), "--work", str(tmp_path), "--device", "cuda"]) == 1
    assert "--device cuda: PyTorch finds no GPU" in capsys.readouterr().err


def test_the_fingerprint_changes_with_everything_that_decides_the_weights(tmp_path):
    images = [prepared(seed) for seed in range(2)]
    start = tmp_path / "start.pt"
    start.write_bytes(b"weights")
    marks = [
        fingerprint_of(FIRST, SMALL, images, []),
        fingerprint_of(dataclasses.replace(FIRST, decay=0.1), SMALL, images, []),
        fingerprint_of(FIRST, dataclasses.replace(SMALL, mean_diameter=20.0), images, []),
        fingerprint_of(FIRST, dataclasses.replace(SMALL, clahe=Clahe()), images, []),
        fingerprint_of(FIRST, dataclasses.replace(SMALL, pixel_size=0.5), images, []),
        fingerprint_of(FIRST, SMALL, images[:1], []),
        fingerprint_of(FIRST, SMALL, images, [start]),
    ]
    start.write_bytes(b"other weights")
    marks.append(fingerprint_of(FIRST, SMALL, images, [start]))
    assert len(set(marks)) == 8
    assert fingerprint_of(FIRST, SMALL, [prepared(seed) for seed in range(2)], []) == marks[0]


def test_a_network_learns_from_its_images_for_the_steps_of_the_stage():
    images, states = [prepared(seed) for seed in range(3)], []
    for steps, given in ((1, images[:2]), (1, images[2:]), (2, images[:2])):
        torch.manual_seed(0)
        network = FlowNetwork(3, SMALL.widths).train()
        run.train_stage(network, given, dataclasses.replace(FIRST, steps=steps), SMALL)
        assert not network.training
        states.append(network.state_dict())
    assert [int(state["output.0.num_batches_tracked"]) for state in states] == [1, 1, 2]
    assert not torch.equal(states[0]["output.2.weight"], states[1]["output.2.weight"])


def test_norms_are_measured_anew_for_the_weights_that_are_saved():
    torch.manual_seed(0)
    network, stage = FlowNetwork(3, SMALL.widths), dataclasses.replace(FIRST, steps=0, norm_batches=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    first.running_var.fill_(1e9)
    images, seen = [prepared(seed) for seed in range(3)], []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    run.train_stage(network, images, stage, SMALL)
    variances = [values.transpose(0, 1).flatten(1).var(dim=1) for values in seen]
    torch.testing.assert_close(first.running_var, torch.stack(variances).mean(dim=0))
    assert len(seen) == 2
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.named_parameters())
