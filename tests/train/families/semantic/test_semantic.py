"""The semantic family: its target, its loss, and a network that is trained, exported and run by the engine."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from export.cli import main as export  # noqa: E402
from flowmask.api import load_network, segment  # noqa: E402
from train.config import Split  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.families.semantic.loss import foreground_loss  # noqa: E402
from train.families.semantic.network import UNet  # noqa: E402
from train.families.semantic.targets import foreground_target  # noqa: E402
from train.recipes.nuclei_semantic import RECIPE  # noqa: E402
from train.run import train_recipe  # noqa: E402
from train.simulate import simulate  # noqa: E402


def halves():
    """Two rectangles that touch along a line, and one apart; none at the border."""
    labels = np.zeros((30, 40), np.int32)
    labels[5:20, 5:15], labels[5:20, 15:25], labels[5:20, 30:35] = 7, 3, 9
    return labels


def test_without_a_border_the_target_is_the_labels():
    np.testing.assert_array_equal(foreground_target(halves(), 0), [halves() > 0])


@pytest.mark.parametrize("border", [1, 2])
def test_cells_that_touch_become_components_of_their_own(border):
    labels = halves()
    (target,) = foreground_target(labels, border)
    assert ndimage.label(target)[1] == len(np.unique(labels)) - 1
    removed = (labels > 0) & (target == 0)
    assert sorted(set(np.nonzero(removed)[1])) == list(range(15 - border, 15 + border))


def test_a_pixel_is_background_if_another_cell_is_near():
    labels = simulate("dense_tissue", (90, 100), 1, 20).labels
    for border in (1, 2):
        reach = np.ones((2 * border + 1, 2 * border + 1), bool)
        expected = labels > 0
        for cell in range(1, labels.max() + 1):
            expected &= ~((labels != cell) & ndimage.binary_dilation(labels == cell, reach))
        np.testing.assert_array_equal(foreground_target(labels, border)[0], expected)


def test_an_empty_crop_has_an_empty_target():
    assert not foreground_target(np.zeros((5, 6), np.int32), 1).any()


def test_loss_is_zero_only_for_the_truth():
    target = torch.zeros(1, 1, 8, 8)
    target[:, :, 2:6] = 1
    truth = 200 * target - 100
    assert foreground_loss(truth, target).item() == pytest.approx(0, abs=1e-6)
    assert foreground_loss(torch.full_like(truth, -100.0), target).item() > 1
    assert foreground_loss(torch.full((1, 1, 8, 8), -100.0), torch.zeros(1, 1, 8, 8)).item() == pytest.approx(0)


def test_the_network_gives_a_logit_for_every_pixel():
    network = UNet(2, (4, 8, 16)).eval()
    assert network.multiple == 4
    (logit,) = network(torch.randn(3, 2, 20, 28))
    assert logit.shape == (3, 1, 20, 28)


def test_a_recipe_becomes_a_file_that_the_engine_runs(tmp_path, capsys):
    """After some steps on a few simulated images, the foreground is better than none and than everything."""
    for seed in range(5):
        sample = simulate("fluorescence_nuclei", (128, 128), seed, 24)
        write_sample(tmp_path / "data" / "lab", str(seed), sample.image, sample.labels)
    stage = dataclasses.replace(
        RECIPE.stages[0], steps=30, batch=4, average=0.9, split=Split(("lab/0",), ()), rate=1e-2
    )
    stage = dataclasses.replace(stage, augmentation=dataclasses.replace(stage.augmentation, crop=64))
    recipe = dataclasses.replace(RECIPE, widths=(8, 16, 16), stages=(stage,))
    output = train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")
    assert "F1 " in capsys.readouterr().out
    assert export([str(output), "-o", str(tmp_path / "net.onnx"), "--name", "nuclei"]) == 0
    network = load_network(tmp_path / "net.onnx", "cpu")
    contract = network.contract
    assert (contract.family, contract.outputs, contract.multiple) == ("semantic", ("foreground",), 4)
    assert [(head.name, head.channels, head.stride) for head in contract.heads] == [("foreground", 1, 1)]
    assert contract.mean_diameter == contract.train_diameter == pytest.approx(24, rel=0.2)
    sample = simulate("fluorescence_nuclei", (128, 128), 9, 24)
    found = segment(sample.image, network).labels > 0
    truth = sample.labels > 0
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.6
    assert dice > 2 * truth.mean() / (1 + truth.mean())
