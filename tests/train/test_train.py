"""The training side: crops, sampling by source, loss, resuming, the size regression."""

import dataclasses
import re

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import NetworkError, SettingsError  # noqa: E402
from flowmask.families.flow.targets import labels_to_flows  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402

from train.__main__ import about, fingerprint, main, starting_network  # noqa: E402
from train.augment import Augmentation, affine, augmented, warp  # noqa: E402
from train.batches import batch_maker  # noqa: E402
from train.config import Config, load_config, split  # noqa: E402
from train.data import prepare, weights_by_source, write_sample  # noqa: E402
from train.loop import fit, flow_loss  # noqa: E402
from train.network import FlowNetwork, load, save  # noqa: E402
from train.optimise import halving, lecun_uniform, trapezoid  # noqa: E402
from train.readers import read_shared  # noqa: E402
from train.simulate import simulate  # noqa: E402
from train.size import fit_size, perceptron, ridge  # noqa: E402
from train.soup import main as soup  # noqa: E402
from train.soup import mean_of  # noqa: E402
from train.validate import Validation  # noqa: E402
from train.widen import largest_difference  # noqa: E402
from train.widen import main as widen  # noqa: E402

CONFIG = Config(
    "tiny", "rgb", (4, 4, 8, 8), steps=6, rate=1e-3, warm_up=0.3, licence="BSD-3-Clause", data="simulated", batch=2
)


def prepared(source="a", seed=0):
    sample = simulate("fluorescence_nuclei", (120, 140), seed, 24)
    return prepare(ArrayImage(sample.image[None]), sample.labels, source, "rgb")


def test_whole_sources_and_experiments_are_held_out(tmp_path):
    for source, name in (("a", "x1"), ("a", "y1"), ("b", "x1"), ("c", "x1")):
        write_sample(tmp_path / source, name, np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.int32))
    config = dataclasses.replace(CONFIG, held_out=("b/*", "a/y*"), left_out=("c/*",))
    training, held_out = split(read_shared(tmp_path), config)
    assert [item.name for item in training] == ["a/x1"]
    assert [item.name for item in held_out] == ["a/y1", "b/x1"]


def test_an_unknown_config_is_named():
    with pytest.raises(SettingsError, match="nothing_such"):
        load_config("nothing_such")


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.9])
def test_vectors_turn_with_the_image(angle, flip):
    labels = np.zeros((120, 120), np.int32)
    labels[30:90, 40:75] = 1
    labels[60:90, 75:95] = 1
    flows = labels_to_flows(labels).transpose(1, 2, 0)
    matrix = affine(labels.shape, 160, 1.2, angle, flip, np.random.default_rng(0))
    _, turned, field = warp(np.zeros((120, 120, 3), np.float32), labels, np.ascontiguousarray(flows), matrix, 160)
    expected = labels_to_flows(turned).transpose(1, 2, 0)
    inner = cv2.erode((turned > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert (field[inner] * expected[inner]).sum(-1).mean() > 0.97
    assert not field[turned == 0].any()


def test_a_crop_is_reproducible_and_has_the_targets_size():
    image = prepared()
    args = image.image.astype(np.float32), image.labels, image.flows.astype(np.float32), 30 / image.diameter
    one, two = (augmented(*args, Augmentation(), np.random.default_rng(9)) for _ in range(2))
    assert one[0].shape == one[1].shape == (3, 224, 224)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_no_source_drowns_the_others():
    images = [prepared()] * 100 + [dataclasses.replace(prepared(), source="b")] * 4
    weights = weights_by_source(images, CONFIG)
    assert weights.sum() == pytest.approx(1)
    assert weights[:100].sum() / weights[100:].sum() == pytest.approx(np.sqrt(80) / np.sqrt(4))


def test_loss_is_zero_only_for_the_truth():
    target = torch.zeros(1, 3, 8, 8)
    target[:, 0, 2:6], target[:, 1, 2:6] = 1, 1
    truth = torch.stack([5 * target[:, 1], 5 * target[:, 2], 200 * target[:, 0] - 100], dim=1)
    assert flow_loss(truth, target).item() == pytest.approx(0, abs=1e-6)
    wrong = truth.clone()
    wrong[:, 0] = 0
    assert flow_loss(wrong, target).item() == pytest.approx(0.5 * 25 * 0.5 / 2)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    make = batch_maker([prepared(seed=s) for s in range(2)], CONFIG)

    def run(checkpoint, stop_after=None):
        def stopping(step):
            if step == stop_after:
                raise KeyboardInterrupt
            return make(step)

        torch.manual_seed(0)
        network = FlowNetwork(3, CONFIG.widths)
        fit(network, stopping, CONFIG, checkpoint, "a run", lambda _: "", 100, save_every=2)
        return network.state_dict()

    whole = run(tmp_path / "whole.state")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.state", stop_after=5)
    assert (tmp_path / "cut.state").exists()
    resumed = run(tmp_path / "cut.state")
    with pytest.raises(SettingsError, match="cut.state: it was trained with another config"):
        fit(FlowNetwork(3, CONFIG.widths), make, CONFIG, tmp_path / "cut.state", "another", str, 100)
    (tmp_path / "cut.state").write_text("damaged")
    with pytest.raises(SettingsError, match="cut.state: this checkpoint cannot be read"):
        run(tmp_path / "cut.state")
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)


def test_the_rate_rises_stays_and_falls():
    factors = [trapezoid(100, 0.1, 0.5, step) for step in range(100)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(factors[10:50]) == {1.0}
    assert factors[50:] == pytest.approx(np.arange(50, 0, -1) / 50)


def test_the_seeds_rate_rises_for_10_of_300_epochs_and_halves_every_10_from_the_210th():
    factors = [halving(300, 1 / 30, 0.3, epoch) for epoch in range(300)]
    assert factors[:10] == pytest.approx(np.linspace(0, 1, 10))
    assert set(factors[10:210]) == {1.0}
    assert factors[210:] == pytest.approx(np.repeat(0.5 ** np.arange(1, 10), 10))


def test_lecun_uniform_keeps_the_variance_of_what_goes_through():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1)
    lecun_uniform(layer)
    assert layer.weight.abs().max().item() == pytest.approx((3 / (64 * 9)) ** 0.5, rel=1e-3)
    assert not layer.bias.any()
    assert layer(torch.randn(2, 64, 40, 40))[..., 1:-1, 1:-1].var().item() == pytest.approx(1, abs=0.1)


def test_what_fit_leaves_is_the_average_of_the_last_weights(tmp_path):
    seen = []

    class Bias(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(1, 3, 1, 1))

        def forward(self, image):
            seen.append(self.bias.detach().clone())
            return self.bias.expand(len(image), 3, *image.shape[2:]), None

    network, image, target = Bias(), torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    config = dataclasses.replace(CONFIG, steps=30, rate=0.1, warm_up=0, cool_down=0, decay=0)
    fit(network, lambda step: (image, target), config, tmp_path / "a.state", "", lambda _: "", 100)
    last = torch.load(tmp_path / "a.state", weights_only=True)["states"][0]["bias"]
    average, *others = [*seen[1:], last]
    for number, weights in enumerate(others, 1):
        share = (1 + number) / (10 + number)
        average = share * average + (1 - share) * weights
    torch.testing.assert_close(network.bias.detach(), average)
    assert (average - last).abs().max() > 0.01


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_loss_that_is_no_number_stops_training_before_it_is_saved(tmp_path, bfloat16):
    config, state = dataclasses.replace(CONFIG, bfloat16=bfloat16), tmp_path / "a.state"

    def make(step):
        return torch.rand(2, 3, 32, 32), torch.full((2, 3, 32, 32), torch.nan if step == 2 else 0.5)

    with pytest.raises(SettingsError, match="no number at step 3"):
        fit(FlowNetwork(3, CONFIG.widths), make, config, state, "", lambda _: "", 100, save_every=1)
    assert torch.load(state, weights_only=True)["step"] == 2


def test_layers_compute_in_bfloat16_and_weights_stay_in_single_precision(tmp_path):
    seen = set()
    network = FlowNetwork(3, CONFIG.widths)
    network.output[2].register_forward_hook(lambda layer, given, maps: seen.add((maps.dtype, layer.weight.dtype)))
    batch = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    config = dataclasses.replace(CONFIG, bfloat16=True, steps=2)
    fit(network, lambda step: batch, config, tmp_path / "a.state", "", lambda _: "", 100)
    assert seen == {(torch.bfloat16, torch.float32)}


def test_values_that_half_precision_does_not_hold_are_cut():
    pixels = np.full((40, 40), 100.0, np.float32)
    pixels[::2] += 1e-3
    pixels[10, 10:14] = 4e4
    image = prepare(ArrayImage(pixels[None]), np.zeros((40, 40), np.int32), "lab", "rgb").image
    assert np.isfinite(image).all()
    assert image.max() == 1e4


@pytest.mark.parametrize(("model", "layers"), [("perceptron", 2), ("ridge", 1)])
def test_the_size_regression_has_the_networks_style(monkeypatch, model, layers):
    monkeypatch.setattr("train.size.DRAWS", 12)
    config = dataclasses.replace(CONFIG, size_model=model)
    size = fit_size(FlowNetwork(3, CONFIG.widths).eval(), [prepared(), prepared("b", 1)], config)
    assert size["style"].shape == (8,)
    assert len(size["layers"]) == layers
    assert size["layers"][0][0].shape[1] == 8
    assert size["layers"][-1][0].shape[0] == 1
    assert 6 < np.exp(size["layers"][-1][1].item()) < 150


@pytest.mark.parametrize("solve", [perceptron, ridge])
def test_a_size_regression_finds_what_styles_say(solve):
    rng = np.random.default_rng(0)
    styles, weights = rng.normal(0, 0.3, (600, 8)), rng.normal(0, 1, 8)
    size = solve(styles, styles @ weights + 3.4, 0)
    fresh = rng.normal(0, 0.3, (100, 8))
    hidden = torch.from_numpy(fresh) - size["style"]
    for number, (inner, offsets) in enumerate(size["layers"]):
        hidden = (hidden.relu() if number else hidden) @ inner.double().T + offsets.double()
    assert np.abs(hidden[:, 0].numpy() - (fresh @ weights + 3.4)).mean() < 0.1


def test_a_config_that_holds_nothing_out_is_refused(tmp_path, capsys):
    write_sample(tmp_path / "lab", "one", np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32))
    assert main(["half_rgb", "--data", str(tmp_path), "--work", str(tmp_path)]) == 1
    assert "leave 1 images to train on and 0 to validate with" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["half_rgb", "--data", str(tmp_path), "--work", str(tmp_path), "--device", "cuda"]) == 1
    assert "--device cuda: PyTorch finds no GPU" in capsys.readouterr().err


def test_the_fingerprint_changes_with_all_that_decides_the_weights(tmp_path):
    images = [prepared(seed=s) for s in range(2)]
    (tmp_path / "start.pt").write_bytes(b"weights")
    marks = [
        fingerprint(CONFIG, images, None),
        fingerprint(dataclasses.replace(CONFIG, decay=0.1), images, None),
        fingerprint(CONFIG, images[:1], None),
        fingerprint(CONFIG, images, tmp_path / "start.pt"),
    ]
    assert len(set(marks)) == 4
    assert fingerprint(CONFIG, [prepared(seed=s) for s in range(2)], None) == marks[0]


def test_training_begins_with_given_weights_of_the_same_shape(tmp_path):
    network = FlowNetwork(3, CONFIG.widths)
    save(tmp_path / "a.pt", network, about={}, size=None)
    again = starting_network(CONFIG, tmp_path / "a.pt")
    torch.testing.assert_close(again.output[2].weight, network.output[2].weight)
    (tmp_path / "b.pt").write_text("no checkpoint")
    for wrong in ("b.pt", "absent.pt"):
        with pytest.raises(NetworkError, match=wrong):
            starting_network(CONFIG, tmp_path / wrong)
    with pytest.raises(SettingsError, match="another shape"):
        starting_network(dataclasses.replace(CONFIG, widths=(4, 8, 8, 8)), tmp_path / "a.pt")


def test_a_soup_is_the_mean_of_its_networks():
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = FlowNetwork(3, CONFIG.widths).train()
        with torch.no_grad():
            network(torch.rand(2, 3, 32, 32))
        networks.append(network)
    mean = mean_of(networks).state_dict()
    one, other = (network.state_dict() for network in networks)
    for name, value in mean.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2 if value.is_floating_point() else one[name])


def test_a_soups_size_regression_is_fitted_to_the_images_of_every_folder(tmp_path, monkeypatch):
    save(tmp_path / "a.pt", FlowNetwork(3, CONFIG.widths), about={}, size=None)
    labels = np.zeros((20, 20), np.int32)
    labels[4:14, 4:14] = 1
    for name in ("one", "other"):
        write_sample(tmp_path / name / f"lab_{name}", "cell", np.uint8(200 * labels), labels)
    seen = []
    monkeypatch.setattr("train.soup.load_config", lambda name: CONFIG)
    monkeypatch.setattr("train.soup.finish", lambda path, network, images, config: seen.extend(images))
    folders = ["--data", str(tmp_path / "one"), "--data", str(tmp_path / "other")]
    assert soup(["tiny", str(tmp_path / "a.pt"), *folders, "-o", str(tmp_path / "b.pt")]) == 0
    assert [image.source for image in seen] == ["lab_one", "lab_other"]


def test_validation_takes_the_first_images_with_cells_of_each_source(tmp_path):
    labels = np.zeros((20, 20), np.int32)
    labels[4:14, 4:14] = 1
    for number in range(5):
        for source, empty in (("late", number < 3), ("full", False)):
            truth = labels * (not empty)
            write_sample(tmp_path / source, str(number), np.uint8(200 * truth + number), truth)
    write_sample(tmp_path / "none", "0", np.uint8(labels), 0 * labels)
    items = read_shared(tmp_path)
    said = Validation(items, about(CONFIG), 2)(FlowNetwork(3, CONFIG.widths).eval())
    assert re.fullmatch(r"F1 0\.\d{3}  \(full 0\.\d\d  late 0\.\d\d\)", said)
    with pytest.raises(SettingsError, match="none of the held-out images has a cell"):
        Validation([item for item in items if item.source == "none"], about(CONFIG), 2)


def test_a_widened_network_gives_the_same_maps_and_its_copies_differ(tmp_path):
    torch.manual_seed(0)
    narrow = FlowNetwork(3, CONFIG.widths).eval()
    save(tmp_path / "a.pt", narrow, about={}, size=None)
    assert widen([str(tmp_path / "a.pt"), "-o", str(tmp_path / "b.pt")]) == 0
    wide, _ = load(tmp_path / "b.pt")
    assert wide.widths == (8, 8, 16, 16)
    assert largest_difference(narrow, wide) < 1e-5
    kernel = wide.down[1].conv[1][2].weight
    half = kernel.shape[1] // 2
    assert (kernel[:, :half] - kernel[:, half:]).abs().mean() > 0.1 * kernel.abs().mean()
