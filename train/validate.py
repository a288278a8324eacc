"""Score a PyTorch network on held-out images with the engine that ships."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from flowmask.errors import SettingsError
from flowmask.images.image import Image
from flowmask.images.readers import open_single
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.network.contract import Contract
from flowmask.options import Segmentation
from flowmask.pipeline import segment_image
from train.data.readers import Item, read_labels

Array = npt.NDArray[np.float32]


class TorchNetwork:
    """A PyTorch network as the engine's `flowmask.network.session.Network`; it cannot estimate diameters."""

    def __init__(self, network: nn.Module, contract: Contract) -> None:
        self._network, self.contract = network, contract
        self.gpu_memory: int | None = None
        self.count = 1

    @torch.inference_mode()
    def maps(self, tiles: Array) -> Array:
        """Return the maps (B, K, Y, X) of tiles (B, C, Y, X)."""
        device = next(self._network.parameters()).device
        maps = self._network(torch.from_numpy(tiles).to(device, memory_format=torch.channels_last))[0]
        return np.ascontiguousarray(maps.cpu().numpy())

    def diameters(self, tiles: Array) -> Array:
        """Raise an error: the size regression is fitted after the training."""
        raise NotImplementedError("a network in training has no size regression; give the diameter")


class Validation:
    """Mean F1 of a network on held-out images: over the images of a source, then over the sources.

    F1 at IoU 0.5 by the challenge's rules, on the first images with cells of each source. With ``rescale`` each image
    is rescaled by its true cell diameter, otherwise it keeps its own scale. Raises SettingsError if no image has cells.
    """

    def __init__(self, items: Sequence[Item], contract: Contract, per_source: int, rescale: bool) -> None:
        self._contract, self._rescale = contract, rescale
        self._images: list[tuple[str, Image, npt.NDArray[np.int32]]] = []
        count: Counter[str] = Counter()
        for item in items:
            if count[item.source] < per_source and (labels := read_labels(item.labels)).any():
                count[item.source] += 1
                self._images.append((item.source, open_single(item.image), labels))
        if not self._images:
            raise SettingsError("none of the held-out images has a cell; change the recipe's `split`.")

    def __call__(self, network: nn.Module) -> str:
        """Return one line: the mean and the score of each source."""
        engine = TorchNetwork(network, self._contract)
        scores: dict[str, list[float]] = defaultdict(list)
        for source, image, labels in self._images:
            diameter = median_diameter(labels) if self._rescale else self._contract.mean_diameter
            result = segment_image(image, engine, Segmentation(diameter=diameter))
            scores[source].append(f1_challenge(labels, result.labels))
        means = {source: float(np.mean(values)) for source, values in scores.items()}
        each = "  ".join(f"{source} {mean:.2f}" for source, mean in means.items())
        return f"F1 {np.mean(list(means.values())):.3f}  ({each})"
