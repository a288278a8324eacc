"""The watershed family: its targets, its loss, and a network that is trained, exported and run by the engine."""

import dataclasses
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.measure import regionprops
from skimage.segmentation import find_boundaries

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
import cv2  # noqa: E402

from export.cli import main as export  # noqa: E402
from export.onnx_file import write_onnx  # noqa: E402
from export.parity import TOLERANCE  # noqa: E402
from export.source import Source, read_checkpoint  # noqa: E402
from flowmask.api import load_network, segment  # noqa: E402
from flowmask.errors import SettingsError  # noqa: E402
from flowmask.network.contract import Clahe  # noqa: E402
from train.checkpoint import load, save  # noqa: E402
from train.config import Fresh, Split  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.families import find_architecture, loss_of  # noqa: E402
from train.families.base import Finished  # noqa: E402
from train.families.flow import light  # noqa: E402
from train.families.watershed import backbones  # noqa: E402
from train.families.watershed.family import DESIGNS, FAMILY, make_target  # noqa: E402
from train.families.watershed.loss import watershed_loss  # noqa: E402
from train.families.watershed.network import PUBLISHED, Design, PanopticNetwork, coordinates  # noqa: E402
from train.families.watershed.targets import inner_distance, outer_distance, pixelwise  # noqa: E402
from train.recipes.nuclei_watershed import RECIPE  # noqa: E402
from train.run import contract_in_training, save_finished, train_recipe  # noqa: E402
from train.simulate import simulate  # noqa: E402

THIN = (4, 8)
LOCATED = Design(coordinates=True)


def published_inner_distance(labels, beta, squared):
    """The transform of deepcell, in scikit-image's and SciPy's functions."""
    depth, out = distance_transform_edt(labels), np.zeros(labels.shape)
    for cell in regionprops(labels, depth):
        away = np.sum((cell.coords - cell.centroid_weighted) ** 2, axis=1)
        reach = away if squared else np.sqrt(away)
        out[tuple(cell.coords.T)] = 1 / (1 + beta / np.sqrt(cell.area) * reach)
    return out


@pytest.mark.parametrize("kind", ["dense_tissue", "fluorescence_nuclei"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_the_inner_distance_is_the_published_one(kind, squared, beta):
    labels = simulate(kind, (90, 100), 1, 20).labels
    assert labels.max() > 5
    found = inner_distance(labels, beta, squared)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, published_inner_distance(labels, beta, squared), atol=1e-5)


def test_the_classes_are_the_published_ones():
    labels = simulate("dense_tissue", (90, 100), 1, 20).labels
    border = find_boundaries(labels, mode="inner")
    np.testing.assert_array_equal(pixelwise(labels), [(labels > 0) & ~border, border, labels == 0])


def test_crops_without_cells_and_without_background():
    empty, full = np.zeros((5, 6), np.int32), np.ones((5, 5), np.int32)
    assert not inner_distance(empty, 1.0, True).any()
    assert pixelwise(empty)[2].all()
    assert inner_distance(full, 1.0, True)[2, 2] == 1
    assert pixelwise(full)[0].all()


def test_the_options_of_a_recipe_choose_the_target():
    labels = simulate("fluorescence_nuclei", (64, 64), 1, 20).labels
    for options in ({"squared": 1, "beta": 0.5}, {}):
        target = make_target(dataclasses.replace(RECIPE, options=options))(labels, None, np.eye(3)[:2])
        expected = inner_distance(labels, options.get("beta", 1), bool(options.get("squared", 0)))
        np.testing.assert_array_equal(target, [expected, *pixelwise(labels)])


def test_loss_is_zero_only_for_the_truth():
    labels = simulate("fluorescence_nuclei", (64, 64), 1, 20).labels
    target = torch.from_numpy(np.stack([inner_distance(labels, 1.0, False), *pixelwise(labels)]))[None]
    truth = torch.cat([target[:, :1], 100 * target[:, 1:]], dim=1)
    assert watershed_loss(truth, target).item() == pytest.approx(0, abs=1e-6)
    other = truth.clone()
    other[:, 0] += 0.1
    assert watershed_loss(other, target).item() == pytest.approx(0.01, rel=1e-3)
    other = torch.cat([target[:, :1], 0 * target[:, 1:]], dim=1)
    assert watershed_loss(other, target).item() == pytest.approx(0.01 * np.log(3), rel=1e-3)


def test_maps_are_probabilities_in_evaluation_and_logits_in_training():
    network, image = PanopticNetwork(3, THIN), torch.rand(2, 3, 64, 96)
    (maps,) = network.eval()(image)
    assert maps.shape == (2, 4, 64, 96)
    assert maps[:, 0].min() >= 0
    torch.testing.assert_close(maps[:, 1:].sum(dim=1), torch.ones(2, 64, 96))
    (maps,) = network.train()(image)
    assert (maps[:, 1:].sum(dim=1) - 1).abs().max() > 0.01


def test_the_network_with_coordinates_sees_where_a_pixel_lies():
    rows, columns = coordinates(torch.zeros(2, 3, 5, 9))
    torch.testing.assert_close(rows[1, 0, :, 3], torch.linspace(0, 1, 5))
    torch.testing.assert_close(columns[0, 0, 2], torch.linspace(0, 1, 9))
    network = PanopticNetwork(2, THIN, LOCATED).eval()
    (maps,) = network(torch.ones(1, 2, 64, 64))
    (mirrored,) = network(torch.ones(1, 2, 64, 64).flip(2))
    assert (maps - mirrored.flip(2)).abs().max() > 1e-4


def check_export(network, policy, path):
    """Export a network with batch-norm statistics of its own; compare it with PyTorch and read its contract."""
    with torch.no_grad():
        network.train()(torch.rand(2, network.channels, 64, 64))
    source = Source(network.eval(), None, policy, 30.0, 27.5, "CC0", "nothing")
    differences = write_onnx(str(path), source, "net")
    assert list(differences) == ["inner_distance", "pixelwise"]
    assert all(difference <= TOLERANCE for difference in differences.values())
    contract = load_network(path, "cpu").contract
    assert (contract.family, contract.heads, contract.multiple) == ("watershed", FAMILY.heads, 32)


@pytest.mark.parametrize(
    ("design", "policy"),
    [
        (Design(), "rgb"),
        (LOCATED, "green-blue"),
        (Design(coordinates=True, depthwise=False, outer_distance=True, foreground=True), "rgb"),
    ],
)
def test_the_file_computes_what_torch_does(tmp_path, design, policy):
    torch.manual_seed(0)
    network = PanopticNetwork({"rgb": 3, "green-blue": 2}[policy], THIN, design)
    check_export(network, policy, tmp_path / "net.onnx")


def test_mesmers_preprocessing_goes_from_the_recipe_into_the_file(tmp_path):
    recipe = dataclasses.replace(RECIPE, channels="green-blue", widths=THIN, clahe=Clahe(kernel=64), pixel_size=0.5)
    network = find_architecture("watershed", "light-coordinates").build(2, THIN)
    save_finished(tmp_path / "net.pt", network, Finished(30.0, 30.0, None), recipe)
    source = read_checkpoint(str(tmp_path / "net.pt"))
    assert all(difference <= TOLERANCE for difference in write_onnx(str(tmp_path / "net.onnx"), source, "n").values())
    contract = load_network(tmp_path / "net.onnx", "cpu").contract
    assert (contract.clahe, contract.pixel_size) == (Clahe(kernel=64), 0.5)
    assert (contract_in_training(recipe).clahe, contract_in_training(recipe).pixel_size) == (Clahe(kernel=64), 0.5)


def test_the_name_of_an_architecture_says_its_design(tmp_path):
    assert {"light", "light-coordinates", "resnet50", "densenet201-outer", "efficientnet-b7-full"} <= DESIGNS.keys()
    network = find_architecture("watershed", "light-coordinates-full-outer").build(2, THIN)
    save(tmp_path / "net.pt", network)
    again, _ = load(tmp_path / "net.pt")
    assert (again.architecture, again.channels) == ("light-coordinates-full-outer", 2)
    assert type(again.pyramid.finest) is torch.nn.Conv2d
    assert len(again.auxiliary) == 1


@pytest.mark.parametrize(("outer", "foreground"), [(True, False), (False, True), (True, True)])
def test_further_heads_are_trained_and_left_out_of_the_maps(outer, foreground):
    design = Design(outer_distance=outer, foreground=foreground)
    network, loss = PanopticNetwork(3, THIN, design), loss_of("watershed", design.name)
    labels = simulate("fluorescence_nuclei", (64, 64), 1, 20).labels
    recipe = dataclasses.replace(RECIPE, architecture=design.name)
    target = make_target(recipe)(labels, None, np.eye(3)[:2])
    channels = 4 + outer + 2 * foreground
    assert target.shape == (channels, 64, 64)
    target = torch.from_numpy(target)[None]
    maps = network.train()(torch.rand(1, 3, 64, 64))[0]
    assert maps.shape == target.shape
    loss(maps, target).backward()
    assert all(value.grad is not None and value.grad.any() for value in network.auxiliary[-1].output.parameters())
    assert network.eval()(torch.rand(1, 3, 64, 64))[0].shape[1] == 4
    truth = target.clone()
    truth[:, 1:4] *= 100
    truth[:, 4 + outer :] *= 100
    assert loss(truth, target).item() == pytest.approx(0, abs=1e-6)
    if outer:
        other = truth.clone()
        other[:, 4] += 0.1
        assert loss(other, target).item() == pytest.approx(0.01, rel=1e-3)
    if foreground:
        truth[:, -2:] = 0
        assert loss(truth, target).item() == pytest.approx(0.01 * np.log(2), rel=1e-3)


def test_the_outer_distance_is_scipys_in_parts_of_its_largest_in_a_cell():
    labels = simulate("dense_tissue", (90, 100), 1, 20).labels
    depth = distance_transform_edt(labels)
    expected = np.zeros(labels.shape)
    for cell in regionprops(labels):
        inside = tuple(cell.coords.T)
        expected[inside] = depth[inside] / depth[inside].max()
    np.testing.assert_allclose(outer_distance(labels), expected, atol=1e-5)
    assert not outer_distance(0 * labels).any()


class StandIn:
    """Has what we use of timm: a network of features at strides 8, 16 and 32, with or without published weights."""

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            strides, widths = (8, 2, 2), (3, 5, 6, 7)
            pairs = zip(widths, widths[1:], strides, strict=False)
            self.layers = torch.nn.ModuleList([torch.nn.Conv2d(i, o, 3, s, 1) for i, o, s in pairs])
            self.feature_info = SimpleNamespace(channels=lambda: [5, 6, 7])

        def forward(self, x):
            features = []
            for layer in self.layers:
                x = layer(x).relu()
                features.append(x)
            return features

    def create_model(self, name, features_only, out_indices, pretrained):
        assert (name, features_only, out_indices) == ("densenet201", True, (2, 3, 4))
        network = self.Features()
        if pretrained:
            torch.nn.init.constant_(network.layers[0].bias, 7)
        return network


def test_a_backbone_of_timm_takes_the_place_of_the_light_one(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "_timm", StandIn)
    architecture = find_architecture("watershed", "densenet201")
    network = architecture.build(2, THIN)
    architecture.pretrain(network)
    assert (network.encoder.backbone.layers[0].bias == 7).all()
    assert network.encoder.widths == (5, 6, 7)
    assert any(name.startswith(architecture.encoder) for name, _ in network.named_parameters())
    check_export(network, "green-blue", tmp_path / "net.onnx")


def test_without_timm_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsError, match="needs the package timm; install it: pip install timm"):
        find_architecture("watershed", "resnet50").build(3, THIN)


@pytest.mark.slow
@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_the_published_backbones_are_the_same_in_their_files(tmp_path, name):
    pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    network = find_architecture("watershed", name).build(3, PUBLISHED)
    check_export(network, "rgb", tmp_path / "net.onnx")


@pytest.mark.slow
def test_a_recipe_becomes_a_file_that_the_command_runs(tmp_path, capsys, monkeypatch):
    """The loss of a short training falls, and the command and the API find the same with the exported network.

    How well so short a training sees depends on the processor and its threads, so that is not compared.
    """
    # Without published weights, the statistics of the encoder must follow in fewer steps.
    monkeypatch.setattr(light, "_norm", lambda channels: torch.nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2))
    for seed in range(5):
        sample = simulate("fluorescence_nuclei", (128, 128), seed, 24)
        write_sample(tmp_path / "data" / "lab", str(seed), sample.image, sample.labels)
    stage = dataclasses.replace(RECIPE.stages[0], steps=80, batch=4, average=0.8, split=Split(("lab/0",), ()))
    stage = dataclasses.replace(stage, rate=5e-3, augmentation=dataclasses.replace(stage.augmentation, crop=96))
    recipe = dataclasses.replace(RECIPE, widths=(8, 16), stages=(dataclasses.replace(stage, start=Fresh()),))
    output = train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")
    printed = capsys.readouterr().out
    assert "F1 " in printed
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed)]
    assert losses[-1] < 0.8 * losses[0]
    file = tmp_path / "watershed.onnx"
    assert export([str(output), "-o", str(file), "--name", "nuclei"]) == 0
    sample = simulate("fluorescence_nuclei", (128, 128), 9, 24)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), sample.image)
    options = ["--model", str(file), "--device", "cpu", "--watershed-thresholds", "0.05,0.2"]
    command = [sys.executable, "-m", "flowmask", "segment", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    subprocess.run([*command, *options], check=True)
    (written,) = (tmp_path / "out").glob("a*.tif*")
    labels = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    found = segment(sample.image, load_network(file, "cpu"), watershed_thresholds="0.05,0.2").labels
    assert found.max() > 0
    np.testing.assert_array_equal(labels, found)
