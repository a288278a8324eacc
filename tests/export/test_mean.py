"""Several networks in one file."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from export.cli import main  # noqa: E402
from export.mean import MeanNetwork  # noqa: E402
from flowmask.api import load_network  # noqa: E402
from flowmask.families.flow.average import average  # noqa: E402
from train.checkpoint import save  # noqa: E402
from train.families.flow.average import average as average_tensors  # noqa: E402
from train.families.flow.light import LightNetwork  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.families.semantic.network import BorderUNet, UNet  # noqa: E402
from train.families.watershed.network import PanopticNetwork  # noqa: E402

ABOUT = {"channels": "rgb", "mean_diameter": 30.0, "train_diameter": 30.0, "licence": "CC0", "data": "nothing"}


@pytest.fixture
def checkpoints(tmp_path):
    """A light network and one of cellpose's architecture, without size regression."""
    torch.manual_seed(0)
    networks = LightNetwork(3, (4, 4, 4, 4, 4, 8)).eval(), FlowNetwork(3, (4, 4, 8, 8)).eval()
    for name, network in zip("ab", networks, strict=True):
        save(tmp_path / f"{name}.pt", network, about={**ABOUT, "licence": f"licence {name}"}, size=None)
    return networks, [str(tmp_path / "a.pt"), str(tmp_path / "b.pt")]


def test_the_file_gives_the_average_of_the_maps_and_the_style_of_the_first(checkpoints, tmp_path):
    networks, paths = checkpoints
    file = tmp_path / "mean.onnx"
    assert main([*paths, "-o", str(file)]) == 0
    image = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    maps, style = onnxruntime.InferenceSession(file).run(["maps", "style"], {"image": image})
    with torch.no_grad():
        one, other = (network(torch.from_numpy(image)) for network in networks)
    np.testing.assert_allclose(maps, average([one[0].numpy(), other[0].numpy()]), atol=1e-4)
    np.testing.assert_allclose(style, one[1], atol=1e-4)
    contract = load_network(file).contract
    assert (contract.multiple, contract.licence) == (32, "licence a; licence b")


@pytest.mark.parametrize("spread", [3, 200])
def test_pytorch_and_numpy_average_flows_alike(spread):
    maps = [spread * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    found = average_tensors(maps)
    assert found.isfinite().all()
    np.testing.assert_allclose(found, average([each.numpy() for each in maps]), rtol=1e-5, atol=1e-5)


def test_networks_of_another_input_are_refused(checkpoints, tmp_path, capsys):
    networks, paths = checkpoints
    save(paths[1], networks[1], about={**ABOUT, "mean_diameter": 17.0}, size=None)
    assert main([*paths, "-o", str(tmp_path / "mean.onnx")]) == 1
    assert "30.0, None, None) and another ('flow', 'maps', 'rgb', 17.0, None, None)" in capsys.readouterr().err
    assert not (tmp_path / "mean.onnx").exists()
    save(paths[1], networks[1], about={**ABOUT, "pixel_size": 0.5}, size=None)
    assert main([*paths, "-o", str(tmp_path / "mean.onnx")]) == 1


def test_all_heads_are_averaged():
    networks = [PanopticNetwork(3, (8, 16)).eval() for _ in range(2)]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        outputs, mean = [network(image) for network in networks], MeanNetwork(networks)(image)
    for one, other, both in zip(*outputs, mean, strict=True):
        torch.testing.assert_close(both, (one + other) / 2)


def test_networks_with_other_heads_are_refused(tmp_path, capsys):
    networks = UNet(3, (4, 8)), BorderUNet(3, (4, 8))
    paths = [str(tmp_path / "a.pt"), str(tmp_path / "b.pt")]
    for path, network in zip(paths, networks, strict=True):
        save(path, network, about=ABOUT, size=None)
    assert main([*paths, "-o", str(tmp_path / "mean.onnx")]) == 1
    assert "one is ('semantic', 'foreground', " in capsys.readouterr().err
