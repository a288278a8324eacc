"""The weights that a stage starts with."""

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import NetworkError, SettingsError  # noqa: E402
from train.checkpoint import save  # noqa: E402
from train.config import Checkpoint, Fresh, Mean, Widened  # noqa: E402
from train.families.flow.family import ARCHITECTURES  # noqa: E402
from train.families.flow.light import LightNetwork  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.families.flow.widen import doubled  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402
from train.start import mean_of, starting_network  # noqa: E402

WIDTHS = (4, 4, 8, 8)
SMALL = dataclasses.replace(RECIPE, widths=WIDTHS)


def made(seed, widths=WIDTHS):
    """A network whose batch-norms have seen something."""
    torch.manual_seed(seed)
    network = FlowNetwork(3, widths).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 32, 32))
    return network.eval()


def test_a_stage_starts_with_given_weights_of_the_same_shape(tmp_path):
    network = made(0)
    save(tmp_path / "a.pt", network)
    again = starting_network(Checkpoint(str(tmp_path / "a.pt")), SMALL, tmp_path)
    torch.testing.assert_close(again.output[2].weight, network.output[2].weight)
    (tmp_path / "b.pt").write_text("no checkpoint")
    for wrong in ("b.pt", "absent.pt"):
        with pytest.raises(NetworkError, match=wrong):
            starting_network(Checkpoint(str(tmp_path / wrong)), SMALL, tmp_path)
    wider = dataclasses.replace(SMALL, widths=(4, 8, 8, 8))
    with pytest.raises(SettingsError, match="the recipe is for flow/cpnet with 3 channels and widths .4, 8, 8, 8."):
        starting_network(Checkpoint(str(tmp_path / "a.pt")), wider, tmp_path)


def test_stages_of_this_recipe_and_of_another_are_found_in_the_work_folder(tmp_path):
    for number, path in enumerate(("template/first.pt", "other/first.pt")):
        (tmp_path / path).parent.mkdir()
        save(tmp_path / path, made(number))
    for number, name in enumerate(("first", "other/first")):
        found = starting_network(Checkpoint(name), SMALL, tmp_path)
        torch.testing.assert_close(found.output[2].weight, made(number).output[2].weight)


def test_the_mean_is_that_of_weights_and_statistics():
    networks = [made(seed) for seed in range(2)]
    mean = mean_of(networks).state_dict()
    one, other = (network.state_dict() for network in networks)
    for name, value in mean.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2 if value.is_floating_point() else one[name])
    with pytest.raises(SettingsError, match="different shapes"):
        mean_of([made(0), made(0, (4, 4, 4, 8))])


def test_a_widened_network_gives_the_same_maps_and_its_copies_differ():
    narrow = made(0)
    wide = doubled(narrow)
    assert wide.widths == (8, 8, 16, 16)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (narrow(image)[0] - wide(image)[0]).abs().max() < 1e-5
    kernel = wide.down[1].conv[1][2].weight
    half = kernel.shape[1] // 2
    assert (kernel[:, :half] - kernel[:, half:]).abs().mean() > 0.1 * kernel.abs().mean()
    again = doubled(narrow).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in wide.state_dict().items())


def test_a_widened_light_network_keeps_its_encoder_and_its_maps():
    torch.manual_seed(0)
    narrow = LightNetwork(3, (4, 4, 4, 8, 8, 8)).eval()
    wide = doubled(narrow)
    assert wide.widths == (8, 8, 8, 16, 16, 16)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected, found = narrow(image)[0], wide(image)[0]
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    narrow_encoder, wide_encoder = narrow.encoder.state_dict(), wide.encoder.state_dict()
    assert all(torch.equal(value, wide_encoder[name]) for name, value in narrow_encoder.items())


def test_starts_can_be_nested(tmp_path):
    save(tmp_path / "a.pt", made(0))
    save(tmp_path / "b.pt", doubled(made(1)))
    recipe = dataclasses.replace(SMALL, widths=(8, 8, 16, 16))
    start = Mean((Widened(Checkpoint(str(tmp_path / "a.pt"))), Checkpoint(str(tmp_path / "b.pt"))))
    found = starting_network(start, recipe, tmp_path).state_dict()
    expected = mean_of([doubled(made(0)), doubled(made(1))]).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_published_weights_go_into_the_encoder(tmp_path, monkeypatch):
    def ones(network):
        torch.nn.init.ones_(network.down[0].conv[0][2].weight)

    assert find(Fresh()).down[0].conv[0][2].weight.std() > 0
    with pytest.raises(SettingsError, match="architecture cpnet has no published weights"):
        find(Fresh(pretrained=True))
    monkeypatch.setitem(ARCHITECTURES, "cpnet", dataclasses.replace(ARCHITECTURES["cpnet"], pretrain=ones))
    assert (find(Fresh(pretrained=True)).down[0].conv[0][2].weight == 1).all()
    monkeypatch.setitem(ARCHITECTURES, "cpnet", dataclasses.replace(ARCHITECTURES["cpnet"], widen=None))
    save(tmp_path / "a.pt", made(0))
    with pytest.raises(SettingsError, match="cannot be widened"):
        find(Widened(Checkpoint(str(tmp_path / "a.pt"))))


def find(start):
    return starting_network(start, SMALL, Path("nowhere"))


def test_an_unknown_channel_policy_is_named():
    with pytest.raises(SettingsError, match="no channel policy 'cmyk'"):
        starting_network(Fresh(), dataclasses.replace(SMALL, channels="cmyk"), Path("nowhere"))
