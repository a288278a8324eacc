"""The training loop: resuming, averaged weights, number formats, losses that are not finite."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import SettingsError  # noqa: E402
from flowmask.images.image import ArrayImage  # noqa: E402
from train.data.batches import batch_maker  # noqa: E402
from train.data.prepared import prepare  # noqa: E402
from train.families.flow.family import FAMILY  # noqa: E402
from train.families.flow.loss import flow_loss  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.families.flow.targets import flow_target  # noqa: E402
from train.loop import fit  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402
from train.simulate import simulate  # noqa: E402

STAGE = dataclasses.replace(RECIPE.stages[0], steps=6, batch=2, rate=1e-3, warm_up=0.3)
WIDTHS = (4, 4, 8, 8)


def prepared(source="a", seed=0):
    sample = simulate("fluorescence_nuclei", (120, 140), seed, 24)
    return prepare(ArrayImage(sample.image[None]), sample.labels, source, "rgb", FAMILY.field)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    make = batch_maker([prepared(seed=s) for s in range(2)], STAGE, 30.0, flow_target)

    def run(state, stop_after=None):
        def stopping(step):
            if step == stop_after:
                raise KeyboardInterrupt
            return make(step)

        torch.manual_seed(0)
        network = FlowNetwork(3, WIDTHS)
        fit(network, stopping, flow_loss, STAGE, state, "a run", lambda _: "", 100, save_every=2)
        return network.state_dict()

    whole = run(tmp_path / "whole.state")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.state", stop_after=5)
    assert (tmp_path / "cut.state").exists()
    resumed = run(tmp_path / "cut.state")
    with pytest.raises(SettingsError, match="cut.state: it is the state of a training with other values"):
        fit(FlowNetwork(3, WIDTHS), make, flow_loss, STAGE, tmp_path / "cut.state", "another", str, 100)
    (tmp_path / "cut.state").write_text("damaged")
    with pytest.raises(SettingsError, match="cut.state: this file cannot be read"):
        run(tmp_path / "cut.state")
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=0, atol=0)


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
    stage = dataclasses.replace(STAGE, steps=30, rate=0.1, warm_up=0, cool_down=0, decay=0)
    fit(network, lambda step: (image, target), flow_loss, stage, tmp_path / "a.state", "", lambda _: "", 100)
    last = torch.load(tmp_path / "a.state", weights_only=True)["states"][0]["bias"]
    average, *others = [*seen[1:], last]
    for number, weights in enumerate(others, 1):
        share = (1 + number) / (10 + number)
        average = share * average + (1 - share) * weights
    torch.testing.assert_close(network.bias.detach(), average)
    assert (average - last).abs().max() > 0.01


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_loss_that_is_not_finite_stops_training_before_it_is_saved(tmp_path, bfloat16):
    stage, state = dataclasses.replace(STAGE, bfloat16=bfloat16), tmp_path / "a.state"

    def make(step):
        return torch.rand(2, 3, 32, 32), torch.full((2, 3, 32, 32), torch.nan if step == 2 else 0.5)

    with pytest.raises(SettingsError, match="not a finite number at step 3"):
        fit(FlowNetwork(3, WIDTHS), make, flow_loss, stage, state, "", lambda _: "", 100, save_every=1)
    assert torch.load(state, weights_only=True)["step"] == 2


def test_layers_compute_in_bfloat16_and_weights_stay_in_single_precision(tmp_path):
    seen = set()
    network = FlowNetwork(3, WIDTHS)
    network.output[2].register_forward_hook(lambda layer, given, maps: seen.add((maps.dtype, layer.weight.dtype)))
    batch = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    stage = dataclasses.replace(STAGE, bfloat16=True, steps=2)
    fit(network, lambda step: batch, flow_loss, stage, tmp_path / "a.state", "", lambda _: "", 100)
    assert seen == {(torch.bfloat16, torch.float32)}


def test_the_gradient_is_shortened_to_the_largest_norm(tmp_path):
    norms = []

    def loss(maps, target):
        return 1000 * flow_loss(maps, target)

    for clip in (None, 0.5):
        torch.manual_seed(0)
        network = FlowNetwork(3, WIDTHS)
        batch = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
        stage = dataclasses.replace(STAGE, clip=clip, steps=1)
        fit(network, lambda step, batch=batch: batch, loss, stage, tmp_path / f"{clip}.state", "", lambda _: "", 100)
        norms.append(sum(float(p.grad.square().sum()) for p in network.parameters()) ** 0.5)
    assert norms[0] > 100
    assert norms[1] == pytest.approx(0.5, rel=1e-3)
