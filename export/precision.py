"""Networks in half precision: how they are made, and the gate that they must pass."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flowmask.images.image import as_image
from flowmask.network.contract import Contract
from flowmask.tiles.normalise import channel_plan, levels
from flowmask.tiles.rescale import NormalisedView
from train.simulate import simulate

PRECISIONS = ("fp32", "fp16")
TILE = 224
MODALITIES = ("fluorescence_nuclei", "phase", "stained_tissue", "dense_tissue")
"""What the tiles show by which a network in half precision is judged."""


class HalfPrecision(nn.Module):
    """A flow network that computes in half precision what it takes and gives in single precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps, style = self.network(image.half())
        return maps.float(), style.float()


def simulated_tiles(contract: Contract) -> np.ndarray:
    """Return tiles (B, C, Y, X) float32 of simulated images as the engine would hand them to the network."""
    tiles = []
    for seed, modality in enumerate(MODALITIES):
        image = as_image(simulate(modality, (TILE, TILE), seed, contract.mean_diameter).image)
        plan = channel_plan(contract.channels, image.shape[0])
        view = NormalisedView(image, plan, levels(image, plan, contract.percentiles), 1.0)
        tiles.append(view.read(0, 0, TILE, TILE))
    return np.stack(tiles)


class _Rounding(TorchFunctionMode):
    """Every function rounds what it gives to half precision, and keeps it in single precision."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        return result.half().float() if isinstance(result, Tensor) and result.is_floating_point() else result


class _Rounded(nn.Module):
    """A network of half precision that sums in single precision and rounds each result, as a GPU does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.float()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        with _Rounding():
            return self.network(image.float())


@torch.inference_mode()
def rounded_outputs(module: nn.Module, tiles: np.ndarray) -> list[np.ndarray]:
    """Return what ``module`` gives for tiles when every layer of a `HalfPrecision` in it rounds, as on a GPU.

    ONNX Runtime's CPU provider computes a network of half precision in single precision, and would show rounded
    weights alone; PyTorch rounds each result there, but takes minutes.
    """
    rounded = deepcopy(module)
    for part in rounded.modules():
        if isinstance(part, HalfPrecision):
            part.network = _Rounded(part.network)
    return [tensor.numpy() for tensor in rounded(torch.from_numpy(tiles))]
