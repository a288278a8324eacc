"""Networks with heads for whole cells and for nuclei: targets, loss, training, export, and labels of both."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
import cv2  # noqa: E402

from export.cli import main as export  # noqa: E402
from export.onnx_file import write_onnx  # noqa: E402
from export.parity import TOLERANCE  # noqa: E402
from export.source import Source  # noqa: E402
from flowmask.api import load_network, segment  # noqa: E402
from flowmask.errors import ImageError, InputError, SettingsError  # noqa: E402
from flowmask.images.image import as_image  # noqa: E402
from flowmask.images.readers import open_single  # noqa: E402
from flowmask.options import Runtime, Segmentation  # noqa: E402
from flowmask.pipeline import plan_image, run_tiles  # noqa: E402
from tests.reference.deep_watershed import deep_watershed  # noqa: E402
from tests.reference.whole import by_first_pixel  # noqa: E402
from train.checkpoint import load, save  # noqa: E402
from train.config import Fresh, Split  # noqa: E402
from train.data.augment import warp  # noqa: E402
from train.data.prepared import prepare, prepare_items, write_sample  # noqa: E402
from train.data.readers import read_nuclei, read_shared  # noqa: E402
from train.families import find_architecture, heads_of, loss_of  # noqa: E402
from train.families.base import no_field  # noqa: E402
from train.families.flow import light  # noqa: E402
from train.families.watershed.family import DESIGNS, make_target  # noqa: E402
from train.families.watershed.loss import watershed_loss  # noqa: E402
from train.families.watershed.targets import inner_distance, pixelwise  # noqa: E402
from train.recipes.nuclei_watershed import RECIPE  # noqa: E402
from train.run import fingerprint_of, train_recipe  # noqa: E402
from train.simulate import simulate  # noqa: E402
from train.simulate.placement import nuclei_within  # noqa: E402

THIN = (4, 8)
COMPARTMENTS = {"whole-cell": (0, 1), "nuclear": (4, 5)}
"""The channels of the maps with the inner distance and the interior of each."""
NAMES = ["inner_distance", "pixelwise", "nuclear_inner_distance", "nuclear_pixelwise"]


def cells_with_nuclei(seed, size=128):
    """Return an image (Y, X, 3) uint8 of green cells with blue nuclei, their labels, and those of the nuclei."""
    labels = simulate("fluorescence_wholecell", (size, size), seed, 30).labels
    rng = np.random.default_rng(seed)
    nuclei = nuclei_within(rng, labels, 0.4, 0.6)
    stains = np.stack([0 * labels, labels > 0, nuclei > 0], axis=-1) * 150.0 + rng.normal(40, 8, (size, size, 3))
    stains[..., 0] = 0
    return cv2.GaussianBlur(stains, (0, 0), 1).clip(0, 255).astype(np.uint8), labels, nuclei


def write_pair(folder, name, image, labels, nuclei):
    write_sample(folder, name, image, labels)
    cv2.imwrite(str(folder / f"{name}_nuclear_label.png"), nuclei.astype(np.uint16))


def recipe_of(architecture, **changes):
    return dataclasses.replace(RECIPE, architecture=architecture, channels="green-blue", **changes)


def test_the_nuclei_of_an_image_are_beside_its_labels(tmp_path):
    image, labels, nuclei = cells_with_nuclei(1)
    write_pair(tmp_path / "lab", "a", image, labels, nuclei)
    write_sample(tmp_path / "lab", "b", image, labels)
    write_sample(tmp_path / "lab", "b_nuclear", image, labels)  # an image of this name, with its own labels
    items = read_shared(tmp_path)
    assert [item.name for item in items] == ["lab/a", "lab/b", "lab/b_nuclear"]
    assert [item.nuclei is not None for item in items] == [True, False, False]
    with_nuclei, without, _ = prepare_items(items, "green-blue", no_field)
    np.testing.assert_array_equal(
        with_nuclei.nuclei > 0, np.isin(nuclei, np.flatnonzero(np.bincount(nuclei.flat) >= 12)[1:])
    )
    assert len(np.unique(with_nuclei.nuclei)) > 3
    assert without.nuclei is None
    cv2.imwrite(str(items[0].nuclei), nuclei[1:].astype(np.uint16))
    with pytest.raises(ImageError, match="128 x 128 pixels and its labels have 127 x 128"):
        read_nuclei(items[0], open_single(items[0].image))
    items[0].labels.unlink()
    with pytest.raises(InputError, match="a_nuclear_label.png: there is no label image of the whole cells beside it"):
        read_shared(tmp_path)


def test_the_target_has_both_compartments_of_the_same_crop():
    image, labels, nuclei = cells_with_nuclei(2)
    prepared = prepare(as_image(image), labels, "a", "green-blue", no_field, nuclei=nuclei)
    matrix = np.array([[0.8, -0.3, 9], [0.3, 0.8, -4]], np.float32)
    _, cells = warp(np.zeros((128, 128, 1), np.float32), prepared.labels, matrix, 64)
    _, cores = warp(np.zeros((128, 128, 1), np.float32), prepared.nuclei, matrix, 64)
    expected = [[inner_distance(one, 1, False), *pixelwise(one)] for one in (cells, cores)]
    target = make_target(recipe_of("light-nuclei"))(cells, prepared, matrix)
    np.testing.assert_array_equal(target, np.concatenate(expected))
    assert (cores > 0).any()
    further = make_target(recipe_of("light-outer-foreground-nuclei"))(cells, prepared, matrix)
    np.testing.assert_array_equal(further[[0, 1, 2, 3, 7, 8, 9, 10]], target)


def test_the_loss_is_the_sum_of_both_compartments():
    maps, target = torch.randn(2, 8, 9, 9), torch.rand(2, 8, 9, 9)
    parts = [watershed_loss(maps[:, part], target[:, part]) for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close(loss_of("watershed", "light-nuclei")(maps, target), sum(parts))
    maps, target = torch.randn(2, 11, 9, 9), torch.rand(2, 11, 9, 9)
    nuclear = watershed_loss(maps[:, 7:], target[:, 7:])
    cells = loss_of("watershed", "light-outer-foreground")(maps[:, :7], target[:, :7])
    torch.testing.assert_close(loss_of("watershed", "light-outer-foreground-nuclei")(maps, target), cells + nuclear)


@pytest.mark.parametrize("name", ["light-coordinates-nuclei", "light-coordinates-full-outer-foreground-nuclei"])
def test_the_file_has_four_heads_and_computes_what_torch_does(tmp_path, name):
    torch.manual_seed(0)
    network = find_architecture("watershed", name).build(2, THIN)
    with torch.no_grad():
        network.train()(torch.rand(2, 2, 64, 64))
    differences = write_onnx(
        str(tmp_path / "net.onnx"), Source(network.eval(), None, "green-blue", 30, 30, "CC0", ""), "n"
    )
    assert list(differences) == NAMES
    assert all(difference <= TOLERANCE for difference in differences.values())
    contract = load_network(tmp_path / "net.onnx", "cpu").contract
    assert [head.name for head in contract.heads] == NAMES
    assert contract.heads == heads_of("watershed", name)
    save(tmp_path / "net.pt", network)
    assert load(tmp_path / "net.pt")[0].architecture == name


def test_a_network_without_heads_for_nuclei_is_what_it_was():
    torch.manual_seed(0)
    plain = find_architecture("watershed", "light").build(3, THIN)
    torch.manual_seed(0)
    both = find_architecture("watershed", "light-nuclei").build(3, THIN)
    names = plain.state_dict().keys()
    assert {name.split(".")[0] for name in both.state_dict().keys() - names} == {"nuclei"}
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(both.eval()(image)[0][:, :4], plain.eval()(image)[0], rtol=0, atol=0)
    assert [design.nuclei for design in DESIGNS.values()].count(True) == len(DESIGNS) / 2


def test_images_without_labels_of_nuclei_are_named(tmp_path):
    for name in "ab":
        write_sample(tmp_path / "data" / "lab", name, *cells_with_nuclei(1)[:2])
    stage = dataclasses.replace(RECIPE.stages[0], steps=1, start=Fresh(), split=Split(("lab/a",), ()))
    recipe = recipe_of("light-coordinates-nuclei", widths=THIN, stages=(stage,))
    with pytest.raises(
        SettingsError, match=r"light-coordinates-nuclei needs the labels of the nuclei too, and 1 images have none"
    ):
        train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")


def test_a_training_does_not_resume_with_other_nuclei():
    image, labels, nuclei = cells_with_nuclei(2)
    images = [prepare(as_image(image), labels, "a", "green-blue", no_field, nuclei=one) for one in (nuclei, 0 * nuclei)]
    digests = {
        name: [fingerprint_of(RECIPE.stages[0], recipe_of(name), [one], []) for one in images]
        for name in ("light", "light-nuclei")
    }
    assert digests["light"][0] == digests["light"][1]
    assert digests["light-nuclei"][0] != digests["light-nuclei"][1]


@pytest.mark.slow
def test_a_recipe_becomes_a_file_that_labels_cells_and_nuclei(tmp_path, capsys, monkeypatch):
    """The loss of a short training falls; command, API and the published decoder label the same cells and nuclei.

    How well so short a training sees depends on the processor and its threads, so labels are not compared with truth.
    """
    # Without published weights, the statistics of the encoder must follow in fewer steps.
    monkeypatch.setattr(light, "_norm", lambda channels: torch.nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2))
    for seed in range(5):
        write_pair(tmp_path / "data" / "lab", str(seed), *cells_with_nuclei(seed))
    stage = dataclasses.replace(RECIPE.stages[0], steps=80, batch=4, average=0.8, split=Split(("lab/0",), ()))
    stage = dataclasses.replace(stage, rate=5e-3, augmentation=dataclasses.replace(stage.augmentation, crop=96))
    recipe = recipe_of("light-coordinates-nuclei", widths=(8, 16), stages=(dataclasses.replace(stage, start=Fresh()),))
    output = train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert losses[-1] < 0.8 * losses[0]
    assert export([str(output), "-o", str(tmp_path / "both.onnx")]) == 0
    network, (pixels, *truth) = load_network(tmp_path / "both.onnx", "cpu"), cells_with_nuclei(9)
    options = {name: Segmentation(compartment=name, watershed_thresholds="0.05,0.2") for name in COMPARTMENTS}
    plan = plan_image(as_image(pixels), network, Segmentation(), Runtime())
    maps = np.concatenate(list(run_tiles(as_image(pixels), network, plan)), axis=1)
    assert maps.shape == (8, 128, 128)
    for labels, (distance, _) in zip(truth, COMPARTMENTS.values(), strict=True):  # measured: 0.80 and 0.67
        assert np.corrcoef(maps[distance].flat, inner_distance(labels, 1, False).flat)[0, 1] > 0.3
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), pixels[..., ::-1])
    found = {}
    for name, (distance, interior) in COMPARTMENTS.items():
        found[name] = segment(pixels, network, options=options[name]).labels
        expected = by_first_pixel(deep_watershed(maps[distance], maps[interior], 0.05, 0.2))
        np.testing.assert_array_equal(found[name], expected)
        command = [sys.executable, "-m", "flowmask", "segment", str(tmp_path / "images"), "-o", str(tmp_path / name)]
        command += ["--model", str(tmp_path / "both.onnx"), "--device", "cpu", "--watershed-thresholds", "0.05,0.2"]
        subprocess.run([*command, "--compartment", name], check=True)
        written = cv2.imread(str(tmp_path / name / "a_label.tiff"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, found[name])
    assert found["whole-cell"].any()
    assert (found["whole-cell"] != found["nuclear"]).any()
