"""Write a network, its size regression and its contract as one ONNX file that passes the parity check."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from export.families import find_family, output_names
from export.fold import folded
from export.parity import check_parity
from export.precision import HalfPrecision
from export.source import Source
from flowmask.errors import NetworkError, OutputError
from flowmask.network.contract import Contract

OPSET = 17


def write_onnx(path: str, source: Source, name: str, precision: str = "fp32") -> dict[str, float]:
    """Write ``source`` as the ONNX file ``path`` with ``name`` in its contract; return what `check_parity` returns.

    ``precision``: one of `PRECISIONS`, in which the network computes; inputs and outputs are always float32.

    The file is made and checked under a temporary name in the same folder, and appears only if it passes.
    Raises NetworkError when the contract cannot be made, ParityError when the file computes something else, and
    OutputError when it cannot be written.
    """
    contract = source.contract(name)
    if precision == "fp16" and contract.record > 1:
        raise NetworkError(
            f"{name}: half precision is too coarse for the positions of boxes; export networks of the "
            f"{contract.family} family with --precision fp32."
        )
    make_module = find_family(contract.family).module
    reference = make_module(source.network, source.size)
    network = folded(source.network)
    half = make_module(HalfPrecision(network), source.size) if precision == "fp16" else None
    model = to_onnx(half or make_module(network, source.size), contract)
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
    names = output_names(contract)
    images = {"image", *(head.name for head in contract.heads)}
    sizes = {name: {0: "B", 2: "Y", 3: "X"} if name in images else {0: "B"} for name in ("image", *names)}
    example = torch.zeros(2, contract.inputs, 8 * contract.multiple, 4 * contract.multiple)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript and gives a larger graph for the same network.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        # Sizes that are constant in these networks, and code that the file replaces by operators of ONNX.
        for traced in (r"train\.families\.boxes\..*", r"torch\.nn\.functional"):
            warnings.filterwarnings("ignore", category=Warning, module=traced)
        # Indices are not negative; what is not folded is computed at run time.
        warnings.filterwarnings("ignore", "Exporting aten::index operator|Constant folding", UserWarning)
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(names),
            dynamic_axes=sizes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, contract.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    return model
