"""Networks in half precision: how they are made, and the gate that they must pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from infer.contract import Contract
from infer.image import as_image
from infer.normalise import channel_plan, levels
from infer.rescale import NormalisedView
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


@torch.inference_mode()
def rounded_outputs(module: nn.Module, tiles: np.ndarray) -> list[np.ndarray]:
    """Return what ``module`` gives for tiles when every layer rounds to its precision.

    ONNX Runtime's CPU provider computes a network of half precision in single precision, and would show rounded
    weights alone; PyTorch rounds each layer's result, as a GPU does.
    """
    return [tensor.numpy() for tensor in module(torch.from_numpy(tiles))]
