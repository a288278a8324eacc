"""Our own networks as ONNX files: what the file says, what it computes, and when it is refused."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime  # noqa: E402

from export import onnx_file  # noqa: E402
from export.cli import main  # noqa: E402
from export.families.flow import Sized, SizeRegression  # noqa: E402
from export.parity import HALF_TOLERANCE, TOLERANCE, ParityError, check_parity  # noqa: E402
from export.precision import HalfPrecision, rounded_outputs  # noqa: E402
from export.source import Source  # noqa: E402
from flowmask.errors import NetworkError  # noqa: E402
from flowmask.network.contract import Contract, from_metadata  # noqa: E402
from train.checkpoint import save  # noqa: E402
from train.families.flow.network import FULL, HALF, FlowNetwork  # noqa: E402


def make_source(channels: int = 3, widths: tuple[int, ...] = HALF, sized: bool = True, policy: str = "rgb") -> Source:
    """An untrained network with batch-norm statistics of its own and a made-up size regression."""
    torch.manual_seed(0)
    network = FlowNetwork(channels, widths).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, channels, 32, 32))
    style = torch.rand(widths[-1])
    layers = (torch.randn(9, widths[-1]), torch.randn(9)), (torch.randn(1, 9) / 9, torch.tensor([3.4]))
    size = SizeRegression(layers, style / style.norm()) if sized else None
    return Source(network.eval(), size, policy, 30.0, 27.5, "CC0", "nothing")


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def trace(path: Path, source: Source) -> None:
    """Write the file without the parity check."""
    onnx.save(onnx_file.to_onnx(Sized(source.network, source.size).eval(), source.contract("net")), path)


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """A sized half-width network of three channels, exported."""
    path = tmp_path_factory.mktemp("export") / "half.onnx"
    onnx_file.write_onnx(str(path), make_source(), "half")
    return path


@pytest.mark.parametrize(
    ("channels", "widths", "sized", "policy"),
    [(3, HALF, True, "rgb"), (2, FULL, True, "green-blue"), (2, HALF, False, "cellpose")],
)
def test_file_computes_what_torch_does(tmp_path, channels, widths, sized, policy):
    source = make_source(channels, widths, sized, policy)
    path = tmp_path / "net.onnx"
    differences = onnx_file.write_onnx(str(path), source, "net")
    assert all(difference <= TOLERANCE for difference in differences.values())
    session = open_session(path)
    image = np.random.default_rng(1).random((5, channels, 24, 72), np.float32)
    outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))
    assert list(outputs) == (["maps", "diameter", "style"] if sized else ["maps", "style"])
    with torch.inference_mode():
        maps, style = (tensor.numpy() for tensor in source.network(torch.from_numpy(image)))
    np.testing.assert_allclose(outputs["maps"], maps, atol=1e-4 * max(1.0, float(np.abs(maps).max())))
    np.testing.assert_allclose(outputs["style"], style, atol=1e-4)
    if source.size is not None:
        (inner, offsets), (outer, offset) = ((part.numpy() for part in layer) for layer in source.size.layers)
        logarithm = (np.maximum(0, (style - source.size.style.numpy()) @ inner.T + offsets) @ outer.T + offset)[:, 0]
        np.testing.assert_allclose(outputs["diameter"], np.maximum(5, np.exp(logarithm)), rtol=1e-4)


def test_diameter_is_at_least_five(tmp_path):
    source = make_source()
    small = SizeRegression(((torch.zeros(1, HALF[-1]), torch.tensor([0.5])),), torch.zeros(HALF[-1]))
    path = tmp_path / "net.onnx"
    trace(path, Source(source.network, small, "rgb", 30.0, 30.0, "CC0", "nothing"))
    (diameter,) = open_session(path).run(["diameter"], {"image": np.zeros((2, 3, 32, 32), np.float32)})
    assert diameter.tolist() == [5.0, 5.0]


def test_metadata_is_the_contract(half):
    metadata = open_session(half).get_modelmeta().custom_metadata_map
    expected = Contract("half", "rgb", 30.0, 27.5, sized=True, licence="CC0", data="nothing")
    assert from_metadata(metadata, str(half)) == expected


def test_graph_is_dynamic(half):
    model = onnx.load(half)
    image = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in image] == ["B", 3, "Y", "X"]
    assert not {"Shape", "Reshape", "ReduceSum", "MatMul", "Gemm"} & {node.op_type for node in model.graph.node}
    scales = [onnx.numpy_helper.to_array(tensor).tolist() for tensor in constants(model).values() if tensor.dims == [4]]
    assert scales == [[1, 1, 2, 2]] * sum(node.op_type == "Resize" for node in model.graph.node) == [[1, 1, 2, 2]] * 6


def test_no_batch_norm_is_left_that_a_convolution_follows(half):
    model = onnx.load(half)
    norms = {node.output[0] for node in model.graph.node if node.op_type == "BatchNormalization"}
    followers = [node.op_type for node in model.graph.node if norms & set(node.input)]
    assert followers == ["Relu"] * len(norms) != []


def constants(model) -> dict[str, "onnx.TensorProto"]:
    return {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}


@pytest.mark.parametrize("widths", [HALF, FULL])
def test_an_item_is_bitwise_the_same_in_any_batch_with_any_threads(tmp_path, widths):
    path = tmp_path / "net.onnx"
    trace(path, make_source(widths=widths))
    images = np.random.default_rng(2).random((8, 3, 96, 64), np.float32)
    alone = [open_session(path).run(None, {"image": images[item : item + 1]}) for item in range(8)]
    expected = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    for threads in (1, 2):
        session = open_session(path, threads)
        for batch in (1, 2, 3, 8):
            parts = [session.run(None, {"image": images[first : first + batch]}) for first in range(0, 8, batch)]
            for want, got in zip(expected, (np.concatenate(p) for p in zip(*parts, strict=True)), strict=True):
                assert want.tobytes() == got.tobytes(), (threads, batch)


def test_checker_refuses_a_changed_weight(half, tmp_path):
    source = make_source()
    module = Sized(source.network, source.size).eval()
    check_parity(str(half), module, source.contract("half"))
    model = onnx.load(half)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "network.output.2.bias")
    changed = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
    bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(ParityError, match="maps .* differs"):
        check_parity(str(tmp_path / "changed.onnx"), module, source.contract("half"))
    with pytest.raises(ParityError, match="contract"):
        check_parity(str(half), module, source.contract("other"))
    with pytest.raises(ParityError, match="tensors"):
        check_parity(str(half), module, make_source(sized=False).contract("half"))


class OnNoise(torch.nn.Module):
    """A network whose maps are changed if neighbouring pixels of the image differ much, as in noise."""

    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change

    def forward(self, image):
        maps, *others = self.network(image)
        rough = (image[..., 1:, :] - image[..., :-1, :]).square().mean() > 0.2
        return maps + self.change(maps) * rough, *others


@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_noise_does_not_count_where_rounding_alone_decides_the_maps(tmp_path, bias):
    source = make_source()
    module = OnNoise(Sized(source.network, source.size), lambda maps: torch.sin(1e7 * maps)).eval()
    onnx.save(onnx_file.to_onnx(module, source.contract("net")), tmp_path / "net.onnx")
    with torch.no_grad():
        source.network.output[2].bias += bias
    if bias:  # the tiles still count
        with pytest.raises(ParityError, match="maps .* differs"):
            check_parity(str(tmp_path / "net.onnx"), module, source.contract("net"))
    else:
        assert check_parity(str(tmp_path / "net.onnx"), module, source.contract("net"))["maps"] < TOLERANCE


def test_a_difference_on_noise_counts(tmp_path):
    source = make_source()
    module = Sized(source.network, source.size).eval()
    changed = OnNoise(module, lambda maps: torch.full_like(maps, 0.01))
    onnx.save(onnx_file.to_onnx(changed, source.contract("net")), tmp_path / "net.onnx")
    with pytest.raises(ParityError, match="maps .* differs"):
        check_parity(str(tmp_path / "net.onnx"), module, source.contract("net"))


def test_no_file_is_left_when_the_check_fails(tmp_path, monkeypatch):
    traced = onnx_file.to_onnx

    def perturbed(module, contract):
        model = traced(module, contract)
        for tensor in model.graph.initializer:
            if tensor.name == "network.output.2.weight":
                tensor.CopyFrom(onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(tensor), tensor.name))
        return model

    monkeypatch.setattr(onnx_file, "to_onnx", perturbed)
    with pytest.raises(ParityError):
        onnx_file.write_onnx(str(tmp_path / "net.onnx"), make_source(), "net")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_computes_almost_the_same_from_single_precision_to_single_precision(half, tmp_path):
    path = tmp_path / "fp16.onnx"
    differences = onnx_file.write_onnx(str(path), make_source(), "half", "fp16")
    assert all(difference <= HALF_TOLERANCE for difference in differences.values())
    assert path.stat().st_size < 0.6 * half.stat().st_size
    weights = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT}  # the size regression keeps its own
    session, single = open_session(path), open_session(half)
    assert {tensor.type for tensor in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    assert session.get_modelmeta().custom_metadata_map == single.get_modelmeta().custom_metadata_map
    image = np.random.default_rng(1).random((3, 3, 64, 48), np.float32)
    for want, got in zip(single.run(None, {"image": image}), session.run(None, {"image": image}), strict=True):
        assert not np.array_equal(got, want)
        np.testing.assert_allclose(got, want, atol=2 * HALF_TOLERANCE * max(1.0, float(np.abs(want).max())))


def test_rounding_in_single_precision_loses_what_half_precision_does():
    network = HalfPrecision(make_source().network).eval()
    tiles = np.random.default_rng(2).random((1, 3, 48, 32), np.float32)
    with torch.inference_mode():
        expected = [tensor.numpy() for tensor in network(torch.from_numpy(tiles))]
        single = [tensor.numpy() for tensor in deepcopy(network.network).float()(torch.from_numpy(tiles))]
    for want, got, exact in zip(expected, rounded_outputs(network, tiles), single, strict=True):
        assert np.array_equal(got, got.astype(np.float16))
        lost, expected_loss = np.linalg.norm(got - exact), np.linalg.norm(want - exact)
        assert 0.7 * expected_loss < lost < 1.4 * expected_loss
        assert np.linalg.norm(got - want) < lost
    assert next(network.parameters()).dtype == torch.float16


def test_a_network_that_half_precision_cannot_hold_is_refused(tmp_path):
    source = make_source()
    with torch.no_grad():  # the same function, whose features half precision has no numbers for
        source.network.down[0].conv[1][2].weight *= 1e6
        source.network.down[0].conv[1][2].bias *= 1e6
    with pytest.raises(ParityError, match="differs from PyTorch's by .*, where 0.005 is allowed"):
        onnx_file.write_onnx(str(tmp_path / "net.onnx"), source, "net", "fp16")
    assert list(tmp_path.iterdir()) == []


def test_channels_must_fit_the_policy():
    with pytest.raises(NetworkError, match="takes 3 channels"):
        make_source(3, policy="cellpose").contract("net")


ABOUT = {"channels": "rgb", "mean_diameter": 30.0, "train_diameter": 27.5, "licence": "CC0", "data": "nothing"}
SHORT = {"layers": [(torch.zeros(1, 3), torch.zeros(1))], "style": torch.zeros(3)}
TORN = {"layers": [(torch.zeros(4, HALF[-1]), torch.zeros(5)), (torch.zeros(1, 4), torch.zeros(1))]}
TORN |= {"style": torch.zeros(HALF[-1])}


def test_command_line_exports_a_checkpoint(tmp_path, capsys):
    source, output = make_source(), tmp_path / "net.onnx"
    assert source.size is not None
    size = {"layers": source.size.layers, "style": source.size.style}
    save(str(tmp_path / "net.pt"), source.network, about=ABOUT, size=size)
    assert main([str(tmp_path / "net.pt"), "-o", str(output)]) == 0
    assert "largest relative difference" in capsys.readouterr().out
    contract = from_metadata(open_session(output).get_modelmeta().custom_metadata_map, str(output))
    assert contract == source.contract("net")


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({}, "no entries `about`"),
        ({"about": {**ABOUT, "channels": "cellpose"}, "size": None}, "takes 3 channels"),
        ({"about": {"channels": "rgb"}, "size": None}, "mean_diameter"),
        ({"about": ABOUT, "size": SHORT}, "3 values"),
        ({"about": ABOUT, "size": TORN}, "do not fit each other"),
    ],
)
def test_command_line_refuses_an_incomplete_checkpoint(tmp_path, capsys, extras, message):
    save(str(tmp_path / "net.pt"), make_source().network, **extras)
    assert main([str(tmp_path / "net.pt"), "-o", str(tmp_path / "net.onnx")]) == 1
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_command_line_refuses_other_files_and_folders(tmp_path, capsys):
    output = str(tmp_path / "net.onnx")
    (tmp_path / "text.pt").write_text("no checkpoint")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt", "absent.pt"):
        assert main([str(tmp_path / name), "-o", output]) == 1
        assert name in capsys.readouterr().err
    save(str(tmp_path / "net.pt"), make_source().network, about=ABOUT, size=None)
    assert main([str(tmp_path / "net.pt"), "-o", str(tmp_path / "absent" / "net.onnx")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["a.pt", "--cellpose", "b"], ["a.pt", "--size", "s.npy"], ["a.pt", "--licence", "CC0"]]
)
def test_command_line_wants_exactly_one_source(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "-o", "net.onnx"])
    assert caught.value.code == 2
