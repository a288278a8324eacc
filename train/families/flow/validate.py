"""Score a PyTorch network on held-out images with the engine that ships."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from flowmask.errors import SettingsError
from flowmask.images.image import Image, open_image
from flowmask.labels.labels import median_diameter
from flowmask.labels.metrics import f1_challenge
from flowmask.network.contract import Contract
from flowmask.options import Settings
from flowmask.pipeline import segment_image
from torch import nn

from train.readers import Item, read_labels

Array = npt.NDArray[np.float32]


class TorchNetwork:
    """A PyTorch flow network as the engine's `flowmask.network.session.Network`; it estimates no diameters."""

    def __init__(self, network: nn.Module, contract: Contract) -> None:
        self._network, self.contract = network, contract
        self.gpu_memory: int | None = None

    @torch.inference_mode()
    def maps(self, tiles: Array) -> Array:
        device = next(self._network.parameters()).device
        maps, _ = self._network(torch.from_numpy(tiles).to(device, memory_format=torch.channels_last))
        return np.ascontiguousarray(maps.cpu().numpy())

    def diameters(self, tiles: Array) -> Array:
        raise NotImplementedError("a network in training has no size regression; give the diameter")


class Validation:
    """The mean over sources of the mean F1 (challenge's rules, true diameters) on the first images with cells.

    Raises SettingsError where no image has a cell.
    """

    def __init__(self, items: Sequence[Item], contract: Contract, per_source: int) -> None:
        self._contract = contract
        self._pairs: list[tuple[str, Image, npt.NDArray[np.int32]]] = []
        chosen: Counter[str] = Counter()
        for item in items:
            if chosen[item.source] < per_source and (labels := read_labels(item.labels)).any():
                chosen[item.source] += 1
                self._pairs.append((item.source, open_image(item.image), labels))
        if not self._pairs:
            raise SettingsError("none of the held-out images has a cell; let `held_out` of the config name some.")

    def __call__(self, network: nn.Module) -> str:
        """Return one line: the mean and the score of each source."""
        engine = TorchNetwork(network, self._contract)
        scores: dict[str, list[float]] = defaultdict(list)
        for source, image, labels in self._pairs:
            result = segment_image(image, engine, Settings(diameter=median_diameter(labels)))
            scores[source].append(f1_challenge(labels, result.labels))
        means = {source: float(np.mean(values)) for source, values in scores.items()}
        each = "  ".join(f"{source} {mean:.2f}" for source, mean in means.items())
        return f"F1 {np.mean(list(means.values())):.3f}  ({each})"
