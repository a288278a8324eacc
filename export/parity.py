"""Check that an ONNX file computes what the PyTorch network computes, and carries its contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import onnxruntime
import torch
from torch import nn

from export.families import output_names
from export.precision import rounded_outputs, simulated_tiles
from flowmask.errors import FlowmaskError
from flowmask.network.contract import Contract, from_metadata

Differ = Callable[[np.ndarray, np.ndarray], float]
TOLERANCE = 1e-4
"""Largest difference of a value, in units of the largest value (of 1 where that is less)."""
OTHER_RECORDS = 0.02
"""Largest fraction of records that may differ more: a last bit can decide which of two boxes stays."""
HALF_TOLERANCE = 5e-3
"""Root mean square of the differences in half precision, in units of the values'."""
SHAPES = ((1, 224, 224), (3, 224, 224), (2, 96, 160))
"""(B, Y, X) of the batches that are compared."""


class ParityError(FlowmaskError, ArithmeticError):
    """An ONNX file does not compute the same as the network from which it was made."""


def check_parity(
    path: str, reference: nn.Module, contract: Contract, half: nn.Module | None = None
) -> dict[str, float]:
    """Compare the ONNX file ``path``, run by ONNX Runtime on the CPU, with ``reference``, run by PyTorch.

    ``reference`` maps (B, C, Y, X) float32 to the tensors of `output_names`. They are compared on simulated tiles and
    on noise, which is unlike any image: where rounding to single precision alone changes what PyTorch makes of the
    noise by more than TOLERANCE, as in a deep network after few steps of training, the tiles alone count. ``half`` is
    the module from which a file of half precision was made; PyTorch runs it too, and its results are compared as well,
    on the tiles alone. Returns for each output the largest difference (in half precision the relative root mean
    square). Raises ParityError when one exceeds TOLERANCE (HALF_TOLERANCE; for records see OTHER_RECORDS), or when
    names, shapes or the contract in the file are not the expected ones.
    """
    differ, tolerance = (_largest, TOLERANCE) if half is None else (_mean, HALF_TOLERANCE)
    if contract.record > 1:
        differ = partial(_of_records, contract.record)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = output_names(contract)
    names = [tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())]
    if names != ["image", *outputs]:
        raise ParityError(f"{contract.name}: its tensors are {names} and should be {['image', *outputs]}.")
    if from_metadata(session.get_modelmeta().custom_metadata_map, contract.name) != contract:
        raise ParityError(f"{contract.name}: the contract in the file is not the one that was given.")
    worst = dict.fromkeys(outputs, 0.0)
    tiles = simulated_tiles(contract)
    noise = [_image(items, contract.inputs, rows, columns) for items, rows, columns in SHAPES] if half is None else []
    for image in (tiles, *noise):
        with torch.inference_mode():
            expected = [tensor.numpy() for tensor in reference(torch.from_numpy(image))]
        found = [session.run(None, {"image": image})]
        if half is not None:
            found.append(rounded_outputs(half, image))
        for tensors in found:
            try:
                differences = _differences(outputs, expected, tensors, differ, tolerance, contract.name)
            except ParityError:
                if image is tiles or _is_determined(reference, image, expected, differ):
                    raise
                continue
            worst = {name: max(worst[name], differences[name]) for name in outputs}
    return worst


def _differences(
    outputs: Sequence[str],
    expected: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    differ: Differ,
    tolerance: float,
    network: str,
) -> dict[str, float]:
    """Return the difference of each output. Raises ParityError as `_within` does."""
    return {
        name: _within(tolerance, differ, f"{network}: {name}", want, got)
        for name, want, got in zip(outputs, expected, found, strict=True)
    }


def _is_determined(reference: nn.Module, image: np.ndarray, expected: Sequence[np.ndarray], differ: Differ) -> bool:
    """Return whether PyTorch's outputs for an image are the same in double precision, within the tolerance."""
    precise = deepcopy(reference).double()
    with torch.inference_mode():
        outputs = [tensor.float().numpy() for tensor in precise(torch.from_numpy(image).double())]
    return all(differ(want, got) <= TOLERANCE for want, got in zip(expected, outputs, strict=True))


def _image(items: int, channels: int, rows: int, columns: int) -> np.ndarray:
    """Return noise (B, C, Y, X) float32 in the range of a normalised image, the same at every call."""
    return np.random.default_rng(rows * columns).uniform(-0.2, 1.2, (items, channels, rows, columns)).astype(np.float32)


def _largest(want: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(got - want).max() / max(1.0, float(np.abs(want).max())))


def _of_records(side: int, want: np.ndarray, got: np.ndarray) -> float:
    """Return the largest difference in squares of ``side`` px, but for the fraction `OTHER_RECORDS` that differs most.

    Squares that are empty in both are not counted. The unit is that of `_largest`.
    """
    batch, _, rows, columns = want.shape
    shape = batch, rows // side, side, columns // side, side
    different, held = (
        values.max(axis=1).reshape(shape).max(axis=(2, 4)) for values in (np.abs(got - want), (want != 0) | (got != 0))
    )
    ordered = np.sort(different[held])
    worst = ordered[len(ordered) - 1 - int(OTHER_RECORDS * len(ordered))] if len(ordered) else 0.0
    return float(worst / max(1.0, float(np.abs(want).max())))


def _mean(want: np.ndarray, got: np.ndarray) -> float:
    return float(np.linalg.norm((got - want).ravel()) / max(1e-9, float(np.linalg.norm(want.ravel()))))


def _within(tolerance: float, differ: Differ, label: str, want: np.ndarray, got: np.ndarray) -> float:
    """Return the difference. Raises ParityError if it exceeds the tolerance, or if type or shape differ."""
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ParityError(f"{label} is {got.dtype} {got.shape} and should be {want.dtype} {want.shape}.")
    difference = differ(want, got)
    if not difference <= tolerance:  # also when it is not a number
        raise ParityError(
            f"{label} of shape {want.shape} differs from PyTorch's by {difference:.2g}, where {tolerance:g} is "
            "allowed; the ONNX file cannot be used."
        )
    return difference
