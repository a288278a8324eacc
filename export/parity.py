"""Does an ONNX file say and compute what the network and its contract promise?"""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from infer.contract import Contract, from_metadata
from infer.errors import FlowmaskError

TOLERANCE = 1e-4
SHAPES = ((1, 224, 224), (3, 224, 224), (2, 96, 160))
"""(B, Y, X) of the batches that are compared."""


class ParityError(FlowmaskError, ArithmeticError):
    """An ONNX file does not do what the network that it was made from does."""


def check_parity(path: str, reference: nn.Module, contract: Contract) -> dict[str, float]:
    """Compare the ONNX file ``path``, run by ONNX Runtime on the CPU, with ``reference``, run by PyTorch.

    ``reference`` maps (B, C, Y, X) float32 to the tensors of ``contract.outputs``. Returns for each output the
    largest difference divided by max(1, largest value of the reference). Raises ParityError when one is over
    TOLERANCE, or when names, shapes or the contract in the file are not the promised ones.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())]
    if names != ["image", *contract.outputs]:
        raise ParityError(f"{contract.name}: its tensors are {names} and should be {['image', *contract.outputs]}.")
    if from_metadata(session.get_modelmeta().custom_metadata_map, contract.name) != contract:
        raise ParityError(f"{contract.name}: the contract in the file is not the one that was given.")
    worst = dict.fromkeys(contract.outputs, 0.0)
    for items, rows, columns in SHAPES:
        image = _image(items, contract.inputs, rows, columns)
        with torch.inference_mode():
            expected = [tensor.numpy() for tensor in reference(torch.from_numpy(image))]
        for name, want, got in zip(contract.outputs, expected, session.run(None, {"image": image}), strict=True):
            worst[name] = max(worst[name], _difference(f"{contract.name}: {name}", want, got))
    return worst


def _image(items: int, channels: int, rows: int, columns: int) -> np.ndarray:
    """Noise in the range of a normalised image, the same at every call: (B, C, Y, X) float32."""
    return np.random.default_rng(rows * columns).uniform(-0.2, 1.2, (items, channels, rows, columns)).astype(np.float32)


def _difference(label: str, want: np.ndarray, got: np.ndarray) -> float:
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ParityError(f"{label} is {got.dtype} {got.shape} and should be {want.dtype} {want.shape}.")
    difference = float(np.abs(got - want).max() / max(1.0, float(np.abs(want).max())))
    if not difference <= TOLERANCE:  # also when it is not a number
        raise ParityError(
            f"{label} of shape {want.shape} differs from PyTorch's by {difference:.2g}, where {TOLERANCE:g} is "
            "allowed; the ONNX file cannot be used."
        )
    return difference
