"""Writes a network, its size regression and its contract as one ONNX file that has passed the parity check."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from export.fold import folded
from export.parity import check_parity
from export.precision import HalfPrecision
from export.source import Layer, SizeRegression, Source
from flowmask.errors import OutputError
from flowmask.network.contract import Contract

OPSET = 17
SMALLEST = 5.0
"""The smallest diameter (network pixels) that the size regression gives, as in cellpose."""


class Sized(nn.Module):
    """The function that the file holds: (B, C, Y, X) -> maps (B, 3, Y, X), diameter (B,) if sized, style (B, S)."""

    style: Tensor

    def __init__(self, network: nn.Module, size: SizeRegression | None) -> None:
        super().__init__()
        self.network = network
        self.regression: nn.Sequential | None = None
        if size is not None:
            self.regression = _regression(size.layers)
            self.register_buffer("style", size.style[None, :, None, None])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps, style = self.network(image)
        if self.regression is None:
            return maps, style
        logarithm = self.regression(style.unsqueeze(2).unsqueeze(3) - self.style).flatten(1).squeeze(1)
        return maps, logarithm.exp().clamp(min=SMALLEST), style


@torch.no_grad()
def _regression(layers: tuple[Layer, ...]) -> nn.Sequential:
    """Return the layers as 1x1 convolutions, for which train.network gives the reason, with a ReLU between two."""
    parts: list[nn.Module] = []
    for weights, offsets in layers:
        layer = nn.Conv2d(weights.shape[1], weights.shape[0], 1)
        layer.weight.copy_(weights[:, :, None, None])
        layer.bias.copy_(offsets)  # type: ignore[union-attr]
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def write_onnx(path: str, source: Source, name: str, precision: str = "fp32") -> dict[str, float]:
    """Write ``source`` as the ONNX file ``path`` whose contract bears ``name``; return what `check_parity` returns.

    ``precision``: one of `PRECISIONS`, in which the network computes; inputs and outputs are float32 in any.

    The file is made and checked under a temporary name in the same folder, and appears only if it passes.
    Raises NetworkError when the contract cannot be made, ParityError when the file computes something else, and
    OutputError when it cannot be written.
    """
    contract = source.contract(name)
    reference = Sized(source.network, source.size).eval()
    network = folded(source.network)
    half = Sized(HalfPrecision(network), source.size).eval() if precision == "fp16" else None
    model = to_onnx(half or Sized(network, source.size).eval(), contract)
    try:
        with tempfile.TemporaryDirectory(dir=Path(path).parent, prefix=".export-") as folder:
            draft = os.path.join(folder, Path(path).name)
            onnx.save(model, draft)
            differences = check_parity(draft, reference, contract, half)
            os.replace(draft, path)
    except OSError as error:
        raise OutputError(f"{path}: the file cannot be written ({error.strerror}); choose another --output.") from error
    return differences


def to_onnx(module: nn.Module, contract: Contract) -> onnx.ModelProto:
    """Trace ``module`` (in evaluation mode) into a checked ONNX model of dynamic B, Y and X that holds ``contract``."""
    sizes = {"image": {0: "B", 2: "Y", 3: "X"}, "maps": {0: "B", 2: "Y", 3: "X"}}
    sizes |= {name: {0: "B"} for name in contract.outputs if name != "maps"}
    example = torch.zeros(2, contract.inputs, 8 * contract.multiple, 4 * contract.multiple)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript and gives a larger graph for the same network.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(contract.outputs),
            dynamic_axes=sizes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, contract.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    return model
