"""The semantic family: its target, its loss, and a network that is trained, exported and run by the engine."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from export.cli import main as export  # noqa: E402
from export.onnx_file import write_onnx  # noqa: E402
from export.parity import TOLERANCE  # noqa: E402
from export.source import Source  # noqa: E402
from flowmask.api import load_network, segment  # noqa: E402
from flowmask.errors import SettingsError  # noqa: E402
from train.config import Split  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.families.semantic.family import make_target  # noqa: E402
from train.families.semantic.loss import border_loss, foreground_loss  # noqa: E402
from train.families.semantic.network import DEEP, DOUBLE_DEEP, STANDARD, BorderUNet, UNet  # noqa: E402
from train.families.semantic.targets import border_target, foreground_target  # noqa: E402
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


def export_of(network, path):
    """Export an untrained network with batch-norm statistics of its own; return the differences from PyTorch."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(2):
            network.train()(torch.rand(2, network.channels, 64, 64))
    return write_onnx(str(path), Source(network.eval(), None, "rgb", 30.0, 30.0, "CC0", "nothing"), "net")


def test_each_variant_has_one_more_scale():
    assert STANDARD == (64, 128, 256, 512)
    assert (DEEP[-1], DOUBLE_DEEP[-1]) == (1024, 2048)
    assert [UNet(3, tuple(1 for _ in widths)).multiple for widths in (STANDARD, DEEP, DOUBLE_DEEP)] == [8, 16, 32]


@pytest.mark.parametrize("build", [UNet, BorderUNet])
def test_the_deepest_network_is_the_same_in_its_file(tmp_path, build):
    widths = tuple(width // 32 for width in DOUBLE_DEEP)
    differences = export_of(build(3, widths), tmp_path / "net.onnx")
    assert max(differences.values()) <= TOLERANCE
    contract = load_network(tmp_path / "net.onnx", "cpu").contract
    assert contract.multiple == 32
    (head,) = contract.heads
    assert (head.name, head.channels) == (("foreground", 1) if build is UNet else ("pixelwise", 3))


@pytest.mark.slow
def test_the_deepest_network_of_full_width_is_the_same_in_its_file(tmp_path):
    differences = export_of(UNet(3, DOUBLE_DEEP), tmp_path / "net.onnx")
    assert max(differences.values()) <= TOLERANCE


@pytest.mark.parametrize("border", [1, 2])
def test_the_classes_are_the_foreground_target_and_the_rest_of_the_cells(border):
    labels = simulate("dense_tissue", (90, 100), 1, 20).labels
    interior, edge, background = border_target(labels, border)
    np.testing.assert_array_equal(interior, foreground_target(labels, border)[0])
    np.testing.assert_array_equal(background, labels == 0)
    np.testing.assert_array_equal(interior + edge + background, 1)
    assert edge.any()


def test_a_border_class_needs_a_width():
    recipe = dataclasses.replace(RECIPE, architecture="unet-border", options={})
    with pytest.raises(SettingsError, match='needs the option "border", 1 or more'):
        make_target(recipe)


def test_the_loss_of_the_classes_is_zero_only_for_the_truth():
    target = torch.from_numpy(border_target(halves(), 1))[None]
    assert border_loss(200 * target - 100, target).item() == pytest.approx(0, abs=1e-6)
    assert border_loss(100 - 200 * target, target).item() > 1
    without_border = torch.cat([target[:, :1] + target[:, 1:2], 0 * target[:, :1], target[:, 2:]], dim=1)
    assert border_loss(200 * without_border - 100, target).item() > 0.4


def test_a_network_with_a_border_class_parts_cells_that_touch(tmp_path):
    """Trained on pictures of pairs of touching rectangles, which have one component of foreground."""
    rng = np.random.default_rng(0)
    for number in range(6):
        labels = np.zeros((96, 96), np.int32)
        for cell, (y, x) in enumerate([(6, 6), (6, 52), (52, 6), (52, 52)]):
            height, width = rng.integers(24, 36, 2)
            labels[y : y + height, x : x + width // 2] = 2 * cell + 1
            labels[y : y + height, x + width // 2 : x + width] = 2 * cell + 2
        image = np.where(labels == 0, 20, np.where(labels % 2 == 0, 220, 120)).astype(np.uint8)
        write_sample(tmp_path / "data" / "lab", str(number), image, labels)
    stage = dataclasses.replace(RECIPE.stages[0], steps=150, batch=4, average=0.9, split=Split(("lab/0",), ()))
    simple = dataclasses.replace(stage.augmentation, crop=64, gain=(1, 1), offset=0, gamma=(1, 1), blur=0, noise=0)
    simple = dataclasses.replace(simple, illumination=0, specks=0, jpeg=0, scale=(0.9, 1.1))
    stage = dataclasses.replace(stage, rate=1e-2, augmentation=simple)
    recipe = dataclasses.replace(
        RECIPE, architecture="unet-border", options={"border": 2}, widths=(8, 16, 16), stages=(stage,)
    )
    output = train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")
    assert export([str(output), "-o", str(tmp_path / "net.onnx"), "--name", "pairs"]) == 0
    found = segment(image, load_network(tmp_path / "net.onnx", "cpu")).labels
    assert ndimage.label(found)[1] == 4
    assert 6 <= found.max() <= 10


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
