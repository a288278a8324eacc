"""Does an ONNX file say and compute what the network and its contract promise?"""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from export.precision import rounded_outputs, simulated_tiles
from infer.contract import Contract, from_metadata
from infer.errors import FlowmaskError

TOLERANCE = 1e-4
HALF_TOLERANCE = 5e-3
"""The same for half precision, where the network that ships comes to 0.0019."""
SHAPES = ((1, 224, 224), (3, 224, 224), (2, 96, 160))
"""(B, Y, X) of the batches that are compared."""


class ParityError(FlowmaskError, ArithmeticError):
    """An ONNX file does not do what the network that it was made from does."""


def check_parity(
    path: str, reference: nn.Module, contract: Contract, half: nn.Module | None = None
) -> dict[str, float]:
    """Compare the ONNX file ``path``, run by ONNX Runtime on the CPU, with ``reference``, run by PyTorch.

    ``reference`` maps (B, C, Y, X) float32 to the tensors of ``contract.outputs``; ``half`` is what the file was made
    of where it is of half precision, which is compared too, as PyTorch runs it, on simulated tiles. Returns for each
    output the largest difference divided by max(1, largest value of the reference). Raises ParityError when one is
    over TOLERANCE (HALF_TOLERANCE), or when names, shapes or the contract in the file are not the promised ones.
    """
    tolerance = TOLERANCE if half is None else HALF_TOLERANCE
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())]
    if names != ["image", *contract.outputs]:
        raise ParityError(f"{contract.name}: its tensors are {names} and should be {['image', *contract.outputs]}.")
    if from_metadata(session.get_modelmeta().custom_metadata_map, contract.name) != contract:
        raise ParityError(f"{contract.name}: the contract in the file is not the one that was given.")
    worst = dict.fromkeys(contract.outputs, 0.0)
    images = [_image(items, contract.inputs, rows, columns) for items, rows, columns in SHAPES]
    if half is not None:
        images = [simulated_tiles(contract)]
    for image in images:
        with torch.inference_mode():
            expected = [tensor.numpy() for tensor in reference(torch.from_numpy(image))]
        found = [session.run(None, {"image": image})]
        if half is not None:
            found.append(rounded_outputs(half, image))
        for outputs in found:
            for name, want, got in zip(contract.outputs, expected, outputs, strict=True):
                worst[name] = max(worst[name], _difference(f"{contract.name}: {name}", want, got, tolerance))
    return worst


def _image(items: int, channels: int, rows: int, columns: int) -> np.ndarray:
    """Noise in the range of a normalised image, the same at every call: (B, C, Y, X) float32."""
    return np.random.default_rng(rows * columns).uniform(-0.2, 1.2, (items, channels, rows, columns)).astype(np.float32)


def _difference(label: str, want: np.ndarray, got: np.ndarray, tolerance: float) -> float:
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ParityError(f"{label} is {got.dtype} {got.shape} and should be {want.dtype} {want.shape}.")
    difference = float(np.abs(got - want).max() / max(1.0, float(np.abs(want).max())))
    if not difference <= tolerance:  # also when it is not a number
        raise ParityError(
            f"{label} of shape {want.shape} differs from PyTorch's by {difference:.2g}, where {tolerance:g} is "
            "allowed; the ONNX file cannot be used."
        )
    return difference
