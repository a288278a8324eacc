"""Networks in half precision: how they are made, and on what they are checked."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flowmask.images.image import as_image
from flowmask.network.contract import Contract
from flowmask.tiles.channels import channel_map
from flowmask.tiles.normalise import intensity_ranges
from flowmask.tiles.view import find_equalisations, network_view
from train.simulate import simulate

PRECISIONS = ("fp32", "fp16")
TILE = 224
MODALITIES = ("fluorescence_nuclei", "phase", "stained_tissue", "dense_tissue")
"""Modalities of the simulated tiles on which a network in half precision is checked."""


class HalfPrecision(nn.Module):
    """A network that computes in half precision; its input and outputs are in single precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.float() for tensor in self.network(image.half()))


def simulated_tiles(contract: Contract) -> np.ndarray:
    """Return tiles (B, C, Y, X) float32 of simulated images, prepared as the engine does it."""
    tiles = []
    for seed, modality in enumerate(MODALITIES):
        image = as_image(simulate(modality, (TILE, TILE), seed, contract.mean_diameter).image)
        channels = channel_map(contract.channels, image.shape[0])
        ranges = intensity_ranges(image, channels, contract.percentiles)
        equalisations = find_equalisations(image, channels, ranges, 1.0, contract.clahe)
        view = network_view(image, channels, ranges, 1.0, equalisations)
        tiles.append(view.read(0, 0, TILE, TILE))
    return np.stack(tiles)


class _Rounding(TorchFunctionMode):
    """Rounds the result of every function to half precision, and stores it in single precision."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        return result.half().float() if isinstance(result, Tensor) and result.is_floating_point() else result


class _Rounded(nn.Module):
    """A network in half precision that sums in single precision and rounds each result, as a GPU does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.float()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        with _Rounding():
            return self.network(image.float())  # type: ignore[no-any-return]


@torch.inference_mode()
def rounded_outputs(module: nn.Module, tiles: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of ``module`` for tiles, with every layer of a `HalfPrecision` in it rounded as on a GPU.

    ONNX Runtime's CPU provider computes a network of half precision in single precision, so it shows only the effect of
    rounded weights. PyTorch would round each result on the CPU too, but takes minutes.
    """
    rounded = deepcopy(module)
    for part in rounded.modules():
        if isinstance(part, HalfPrecision):
            part.network = _Rounded(part.network)
    return [tensor.numpy() for tensor in rounded(torch.from_numpy(tiles))]
