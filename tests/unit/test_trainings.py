"""The trainings of bench.trainings: what each changes of image, config and network."""

import dataclasses
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bench import trainings  # noqa: E402
from bench.trainings import (  # noqa: E402
    TRAININGS,
    ByStyle,
    all_images_alike,
    green_and_blue,
    green_and_blue_of_colours,
    merged,
    network_for_each_style,
    one_network,
    pixels_of,
    style_of,
)
from flowmask.images.image import ArrayImage  # noqa: E402
from flowmask.tiles.normalise import channel_map, mix  # noqa: E402
from train.augment import Augmentation, augmented, photometric  # noqa: E402
from train.batches import batch_maker  # noqa: E402
from train.config import Config, load_config  # noqa: E402
from train.data import SIMULATED, prepare, weights_by_source, write_sample  # noqa: E402
from train.network import FlowNetwork  # noqa: E402
from train.optimise import COURSES, INITIALISATIONS, OPTIMISERS  # noqa: E402
from train.readers import read_item, read_shared  # noqa: E402
from train.size import MODELS  # noqa: E402

SMALL = Augmentation(crop=32)
CONFIG = Config("tiny", "rgb", (2, 2, 4, 4), 3, "BSD-3-Clause", "squares", batch=2, augmentation=SMALL)
QUICK = load_config("quick")
CHANGED = {
    "as the config says": "",
    "green and blue": "policy",
    "red merged into them (eq. 5)": "policy",
    "style clusters": "",
    "crops of 512 px": "batch crop",
    "half width": "widths",
    "full width": "widths",
    "no simulator": "",
    "pasting 0.3": "paste",
    "pasting 0.3, at most 20 cells": "paste paste_cells",
    "pasting 0.3, at most 100 cells": "paste paste_cells",
    "pasting 0.3, at most 1,000 cells": "paste paste_cells",
    "no average of the weights": "average",
    "SGD at a rate of 0.1": "optimiser rate",
    "bfloat16": "bfloat16",
    "all images alike": "",
    "no change of values": "invert by_channel gain offset gamma blur noise illumination",
    "no change of colours": "shuffle drop by_channel",
    "scales of 0.9 to 1.1": "scale",
    "scales of 0.5 to 2": "scale",
    "misfit, specks and JPEG": "misfit specks jpeg",
}
"""The fields of the config and its augmentation in which a row of `TRAININGS` differs from quick."""
ELSEWHERE = {
    "green and blue": {"image"},
    "red merged into them (eq. 5)": {"image"},
    "style clusters": {"train"},
    "no simulator": {"simulated"},
    "all images alike": {"train"},
    "the seed's protocol": {"image", "simulated"},
}
"""The fields besides `change` in which a row of `TRAININGS` differs from the first."""


def squares(seed=0, channels=3, shape=(48, 56)):
    """Bright squares on noise (C, Y, X) and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for cell, (top, left) in enumerate([(4, 5), (6, 30), (28, 10), (27, 36)], 1):
        side = int(rng.integers(8, 16))
        labels[top : top + side, left : left + side] = cell
    return ArrayImage((rng.integers(0, 60, (channels, *shape)) + 150 * (labels > 0)).astype(np.uint8)), labels


def prepared(seed=0, source="a", policy="rgb"):
    return prepare(*squares(seed), source, policy)


def flat(config):
    """What a config and its augmentation say, by field."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    options = fields.pop("augmentation")
    return fields | {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


def tiles(count, channels=3):
    return np.random.default_rng(0).random((count, channels, 32, 32), np.float32)


def constant(value):
    """A network that says ``value`` everywhere."""
    network = FlowNetwork(3, CONFIG.widths).eval()
    torch.nn.init.zeros_(network.output[2].weight)
    torch.nn.init.constant_(network.output[2].bias, value)
    return network


def test_red_is_averaged_into_green_and_blue():
    pixels = np.array([200, 100, 51], np.uint8).reshape(3, 1, 1)
    np.testing.assert_array_equal(pixels_of(merged(ArrayImage(pixels))).ravel(), [150, 125.5])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("change", [merged, green_and_blue])
def test_the_first_channel_is_taken_twice_where_there_is_no_colour(channels, change):
    image, _ = squares(channels=channels)
    first = pixels_of(image)[0]
    np.testing.assert_array_equal(pixels_of(change(image)), [first, first])


@pytest.mark.parametrize("change", [green_and_blue, green_and_blue_of_colours])
def test_the_network_gets_green_and_blue_of_a_colour_image(change):
    image, _ = squares()
    np.testing.assert_array_equal(pixels_of(change(image)), pixels_of(image)[1:])


@pytest.mark.parametrize("channels", [1, 2])
def test_the_seeds_network_gets_the_first_channel_and_an_empty_one_where_there_is_no_colour(channels):
    image, _ = squares(channels=channels)
    left = pixels_of(green_and_blue_of_colours(image))
    seen = mix(left, channel_map("green-blue", len(left)))
    np.testing.assert_array_equal(seen, [pixels_of(image)[0], np.zeros(image.shape[1:])])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_each_tile_gets_the_network_whose_centre_is_nearest_to_its_style(order):
    torch.manual_seed(0)
    base, given = FlowNetwork(3, CONFIG.widths).eval(), tiles(3)
    given[1] *= 20
    given[2, 0] *= -9
    styles = np.stack([style_of(base, torch.from_numpy(tile)[None]) for tile in given])
    assert min(np.linalg.norm(styles[k] - styles[k - 1]) for k in range(3)) > 1e-3
    network = ByStyle(base, styles[list(order)], [constant(value) for value in order], CONFIG)
    maps = network.maps(given[[0, 1, 2, 1]])
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(maps, np.broadcast_to(np.reshape([0, 1, 2, 1], (4, 1, 1, 1)), (4, 3, 32, 32)))


def test_a_style_is_a_vector_of_unit_length():
    style = style_of(FlowNetwork(3, CONFIG.widths).eval(), torch.from_numpy(tiles(1)))
    assert style.shape == (4,)
    assert np.linalg.norm(style) == pytest.approx(1, abs=1e-5)


def test_style_clusters_share_half_of_the_steps_and_part_the_images(monkeypatch):
    images, runs = [prepared(seed, f"lab {seed}") for seed in range(6)], []
    optimised = trainings.optimised

    def recorded(network, config, given, device):
        begun = network.output[2].weight.detach().clone()
        trained = optimised(network, config, given, device)
        runs.append((begun, trained, config.steps, [image.source for image in given]))
        return trained

    monkeypatch.setattr(trainings, "optimised", recorded)
    network = network_for_each_style(CONFIG, images)
    (first, base, _, everything), *rest = runs
    torch.manual_seed(CONFIG.seed)
    assert torch.equal(first, trainings.starting_network(CONFIG, None).output[2].weight)
    assert everything == [image.source for image in images]
    assert [steps for _, _, steps, _ in runs] == [1] * 5
    assert all(sources for *_, sources in rest)
    assert sorted(source for *_, sources in rest for source in sources) == everything
    for begun, trained, _, _ in rest:
        torch.testing.assert_close(begun, base.output[2].weight, rtol=0, atol=0)
        assert not torch.equal(trained.output[2].weight, begun)
    assert network.maps(tiles(2)).shape == (2, 3, 32, 32)
    assert network.contract.name == "tiny"


def test_a_clusters_network_is_trained_on_the_images_whose_tiles_it_gets(monkeypatch):
    image, parts = prepared(), []
    images = [dataclasses.replace(image, source=str(number)) for number in range(8)]
    styles = np.random.default_rng(0).normal(0, 0.01, (8, 4)) + 5 * np.eye(4)[[2, 0, 1, 3, 0, 1, 2, 3]]
    monkeypatch.setattr(trainings, "_styles", lambda network, images, config: styles)
    monkeypatch.setattr(trainings, "optimised", lambda network, config, part, device: parts.append(part))
    monkeypatch.setattr(trainings, "ByStyle", lambda base, centres, networks, config: centres)
    centres = network_for_each_style(CONFIG, images)
    for centre, part in zip(centres, parts[1:], strict=True):
        near = np.flatnonzero(np.linalg.norm(styles - centre, axis=1) < 1)
        assert [image.source for image in part] == [str(number) for number in near]


def test_a_cluster_that_no_image_falls_into_has_no_network(monkeypatch):
    monkeypatch.setattr(trainings, "kmeans2", lambda styles, number, **_: (np.eye(4), np.array([0, 3, 3, 1])))
    network = network_for_each_style(CONFIG, [prepared(source=str(number)) for number in range(4)])
    assert len(network._networks) == 3
    np.testing.assert_array_equal(network._centres, np.eye(4)[[0, 1, 3]])


def test_styles_are_those_of_crops_whose_values_are_unchanged(monkeypatch):
    seen = []
    monkeypatch.setattr("train.batches.augmented", lambda *given: seen.append(given) or augmented(*given))
    images = [prepared(), prepare(squares()[0], np.zeros((48, 56), np.int32), "a", "rgb")]
    network = FlowNetwork(3, CONFIG.widths).eval()
    styles = trainings._styles(network, images, CONFIG)
    assert styles.shape == (2, 4)
    assert [zoom for _, _, _, zoom, _, _ in seen] == [30 / images[0].diameter, 1.0]
    flat_crop = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    for *_, options, rng in seen:
        np.testing.assert_array_equal(photometric(flat_crop, options, rng), flat_crop)


def test_all_images_are_drawn_alike_whatever_their_source(monkeypatch):
    one = prepared()
    counts = {"a": 100, "b": 4, f"{SIMULATED}dic": 7}
    images = [dataclasses.replace(one, source=source) for source, n in counts.items() for _ in range(n)]
    monkeypatch.setattr(trainings, "one_network", lambda config, images, device: (config, images))
    config, given = all_images_alike(dataclasses.replace(CONFIG, shares={"b": 3.0}), images)
    assert given is images
    assert dataclasses.replace(config, shares={"b": 3.0}) == dataclasses.replace(CONFIG, shares={"b": 3.0})
    np.testing.assert_allclose(weights_by_source(images, config), 1 / 111)


@pytest.mark.parametrize("steps", [0, 3])
def test_the_same_seed_trains_the_same_network_and_another_seed_another(steps):
    images, maps = [prepared(seed) for seed in range(2)], []
    for number, seed in enumerate([5, 5, 6]):
        torch.manual_seed(number)
        network = one_network(dataclasses.replace(CONFIG, seed=seed, steps=steps), images)
        assert (network.contract.name, network.contract.channels) == ("tiny", "rgb")
        maps.append(network.maps(tiles(2)))
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[0] - maps[2]).max() > 1e-3


def test_a_network_learns_from_its_images_for_as_many_steps_as_the_config_says():
    images, states = [prepared(seed) for seed in range(3)], []
    for steps, given in ((1, images[:2]), (1, images[2:]), (2, images[:2])):
        torch.manual_seed(0)
        network = FlowNetwork(3, CONFIG.widths).train()
        trained = trainings.optimised(network, dataclasses.replace(CONFIG, steps=steps), given)
        assert not trained.training
        states.append(trained.state_dict())
    assert [int(state["output.0.num_batches_tracked"]) for state in states] == [1, 1, 2]
    assert not torch.equal(states[0]["output.2.weight"], states[1]["output.2.weight"])


def test_images_are_changed_before_they_are_normalised_and_named_by_their_kind(tmp_path):
    for name in "xy":
        image, labels = squares(ord(name))
        write_sample(tmp_path / "lab", name, pixels_of(image).transpose(1, 2, 0), labels)
    items = read_shared(tmp_path)
    found = trainings.prepared(items, SIMULATED, merged, "green-blue")
    assert [image.source for image in found] == ["simulated lab"] * 2
    for item, one in zip(items, found, strict=True):
        image, labels = read_item(item)
        np.testing.assert_array_equal(one.image, prepare(merged(image), labels, "", "green-blue").image)
        np.testing.assert_array_equal(one.labels, labels)


@pytest.mark.parametrize("name", [name for name in TRAININGS if name != "the seed's protocol"])
def test_a_row_differs_from_the_config_in_what_its_name_says(name):
    before, after = flat(QUICK), flat(TRAININGS[name].change(QUICK))
    changed = {field: value for field, value in after.items() if value != before[field]}
    assert set(changed) == set(CHANGED[name].split())
    numbers = {float(number.replace(",", "")) for number in re.findall(r"\b\d+(?:,\d{3}|\.\d+)*(?=[ ,]|$)", name)}
    values = {v for value in changed.values() for v in (value if isinstance(value, tuple) else [value])}
    assert numbers <= values


@pytest.mark.parametrize("name", TRAININGS)
def test_a_row_differs_from_the_first_only_in_what_its_name_says(name):
    first, row = TRAININGS["as the config says"], TRAININGS[name]
    fields = {field.name for field in dataclasses.fields(row)} - {"change"}
    assert {field for field in fields if getattr(row, field) != getattr(first, field)} == ELSEWHERE.get(name, set())


def test_the_seeds_protocol_is_that_of_its_config_but_for_width_and_steps():
    seeds = flat(load_config("seed")) | {"widths": QUICK.widths, "steps": 77}
    assert flat(TRAININGS["the seed's protocol"].change(dataclasses.replace(QUICK, steps=77))) == seeds


@pytest.mark.parametrize("name", TRAININGS)
def test_a_row_can_be_trained_with_any_seed_and_steps(name):
    row = TRAININGS[name]
    config = dataclasses.replace(row.change(QUICK), steps=7, seed=5)
    again = row.change(dataclasses.replace(QUICK, steps=7, seed=5))
    assert dataclasses.replace(again, seed=5) == config
    assert config.optimiser in OPTIMISERS
    assert config.course in COURSES
    assert config.initialisation in INITIALISATIONS
    assert config.size_model in MODELS
    image, labels = squares()
    images = [prepare(row.image(image), labels, "a", config.policy)]
    crops, targets = batch_maker(images, dataclasses.replace(config, batch=1))(0)
    side = config.augmentation.crop
    assert crops.shape == (1, trainings.starting_network(config, None).channels, side, side)
    assert targets.shape == (1, 3, side, side)
    assert torch.isfinite(crops).all()


def test_no_two_rows_are_the_same():
    rows = [(repr(row.change(QUICK)), row.simulated, row.image, row.train) for row in TRAININGS.values()]
    assert len(set(rows)) == len(rows)


def test_crops_of_512_px_show_a_step_about_as_many_pixels():
    before, after = flat(QUICK), flat(TRAININGS["crops of 512 px"].change(QUICK))
    pixels = [one["batch"] * one["crop"] ** 2 for one in (before, after)]
    assert pixels[1] / pixels[0] == pytest.approx(1, abs=0.35)


def test_without_a_change_of_values_channels_only_change_places():
    options = TRAININGS["no change of values"].change(QUICK).augmentation
    crop = np.random.default_rng(0).random((16, 16, 3), np.float32)
    for seed in range(9):
        changed = photometric(crop, dataclasses.replace(options, drop=0), np.random.default_rng(seed))
        np.testing.assert_array_equal(np.sort(changed, -1), np.sort(crop, -1))


def test_without_a_change_of_colours_channels_that_agree_still_do():
    options = dataclasses.replace(TRAININGS["no change of colours"].change(QUICK).augmentation, noise=0)
    crop = np.random.default_rng(0).random((16, 16, 3), np.float32)
    crop[..., 2] = crop[..., 0]
    for seed in range(9):
        changed = photometric(crop, options, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed[..., 0], changed[..., 2])
        assert np.abs(changed[..., 0] - changed[..., 1]).max() > 0.1
