"""The trainings that `bench.ablation` compares: a config but for one choice each, from random weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2

from flowmask.images.image import ArrayImage, Image
from flowmask.network.session import Network
from train.__main__ import about, starting_network
from train.batches import batch_maker, pair
from train.config import Config, load_config
from train.data import Prepared, prepare
from train.loop import fit
from train.network import FULL, HALF, FlowNetwork
from train.readers import Item, read_item
from train.validate import Array, TorchNetwork

CLUSTERS = 4
"""Networks of the row with style clusters. The seed made ten, for the ten kinds of images it saw."""


def pixels_of(image: Image) -> npt.NDArray[np.generic]:
    channels, height, width = image.shape
    return image.read(0, 0, height, width)


def unchanged(image: Image) -> Image:
    return image


def merged(image: Image) -> Image:
    """Return two channels: green and blue, each averaged with red (the seed's equation 5); grey twice."""
    pixels = pixels_of(image)
    if len(pixels) < 3:
        return ArrayImage(np.repeat(pixels[:1], 2, axis=0))
    red, green, blue = pixels[:3].astype(np.float32)
    return ArrayImage(np.stack([(green + red) / 2, (blue + red) / 2]))


def green_and_blue_of_colours(image: Image) -> Image:
    """Return green and blue of a colour image, as the seed; the policy leaves the second channel of grey empty."""
    pixels = pixels_of(image)
    return ArrayImage(pixels[1:3] if len(pixels) >= 3 else pixels[:1])


def green_and_blue(image: Image) -> Image:
    """Return two channels: green and blue; grey twice, since our augmentation takes an empty channel for a signal."""
    pixels = pixels_of(green_and_blue_of_colours(image))
    return ArrayImage(np.resize(pixels, (2, *pixels.shape[1:])))


def optimised(network: FlowNetwork, config: Config, images: Sequence[Prepared], device: str = "cpu") -> FlowNetwork:
    """Return the network, trained on as the config says and left on the device.

    On the CPU it is the same each time for its weights, config, images, number of threads and kind of processor.
    """
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        fit(network, batch_maker(images, config), config, state, "", lambda _: "", config.steps, device=device)
    return network.eval()


def one_network(config: Config, images: Sequence[Prepared], device: str = "cpu") -> Network:
    """Return a network trained from random weights."""
    torch.manual_seed(config.seed)
    return TorchNetwork(optimised(starting_network(config, None), config, images, device), about(config))


class ByStyle(TorchNetwork):
    """Networks of which each tile gets the one whose cluster's centre is nearest to its style."""

    def __init__(self, base: FlowNetwork, centres: Array, networks: Sequence[FlowNetwork], config: Config) -> None:
        super().__init__(base, about(config))
        self._base, self._centres = base, centres
        self._networks = [TorchNetwork(network, self.contract) for network in networks]

    def maps(self, tiles: Array) -> Array:
        return np.concatenate([self._one(tile[None]) for tile in tiles])

    def _one(self, tile: Array) -> Array:
        distances = np.linalg.norm(self._centres - style_of(self._base, torch.from_numpy(tile)), axis=1)
        return self._networks[int(distances.argmin())].maps(tile)


@torch.inference_mode()
def style_of(network: FlowNetwork, tile: torch.Tensor) -> Array:
    """Return the style (S,) of a tile (1, C, Y, X)."""
    return np.asarray(network.encode(tile.to(next(network.parameters()).device))[1].flatten().cpu())


def _styles(network: FlowNetwork, images: Sequence[Prepared], config: Config) -> Array:
    """Return (n, S) the style of a crop of each image, its values unchanged."""
    rng = np.random.default_rng(config.seed)
    plain = replace(config, augmentation=load_config("seed").augmentation)
    crops = (pair(image, plain, rng)[0] for image in images)
    return np.stack([style_of(network, torch.from_numpy(crop)[None]) for crop in crops])


def network_for_each_style(config: Config, images: Sequence[Prepared], device: str = "cpu") -> Network:
    """Return up to `CLUSTERS` networks: one for all for half of the steps, then a copy for each cluster of styles."""
    torch.manual_seed(config.seed)
    half = replace(config, steps=config.steps // 2)
    base = optimised(starting_network(half, None), half, images, device)
    styles = _styles(base, images, config).astype(np.float64)
    centres, members = kmeans2(styles, CLUSTERS, minit="++", seed=config.seed)
    filled = np.unique(members)
    alike = [[image for image, member in zip(images, members, strict=True) if member == k] for k in filled]
    networks = [optimised(deepcopy(base), half, cluster, device) for cluster in alike]
    return ByStyle(base, centres[filled].astype(np.float32), networks, config)


def all_images_alike(config: Config, images: Sequence[Prepared], device: str = "cpu") -> Network:
    """Return a network trained on images drawn with equal probability, whatever their source."""
    counts = Counter(image.source for image in images)
    shares = {source: n / math.sqrt(min(n, config.source_limit)) for source, n in counts.items()}
    return one_network(replace(config, shares=shares), images, device)


@dataclass(frozen=True)
class Training:
    """A way to train a network."""

    change: Callable[[Config], Config] = lambda config: config
    simulated: bool = True
    image: Callable[[Image], Image] = unchanged
    train: Callable[[Config, Sequence[Prepared], str], Network] = one_network


def _wide_crops(config: Config) -> Config:
    """Crops of 512 px, so few that a step sees about as many pixels."""
    return replace(config, batch=2, augmentation=replace(config.augmentation, crop=512))


def _seed(config: Config) -> Config:
    """Return the seed's protocol, in this config's width and steps."""
    return replace(load_config("seed"), widths=config.widths, steps=config.steps)


def _augmented(**options: object) -> Training:
    """Return the training with other options of the augmentation."""
    return Training(lambda config: replace(config, augmentation=replace(config.augmentation, **options)))


TRAININGS = {
    "as the config says": Training(),
    "green and blue": Training(lambda config: replace(config, policy="green-blue"), image=green_and_blue),
    "red merged into them (eq. 5)": Training(lambda config: replace(config, policy="green-blue"), image=merged),
    "style clusters": Training(train=network_for_each_style),
    "crops of 512 px": Training(_wide_crops),
    "the seed's protocol": Training(_seed, simulated=False, image=green_and_blue_of_colours),
    "half width": Training(lambda config: replace(config, widths=HALF)),
    "full width": Training(lambda config: replace(config, widths=FULL)),
    "no simulator": Training(simulated=False),
    "pasting 0.3": Training(lambda config: replace(config, paste=0.3)),
    "pasting 0.3, at most 20 cells": Training(lambda config: replace(config, paste=0.3, paste_cells=20)),
    "pasting 0.3, at most 100 cells": Training(lambda config: replace(config, paste=0.3, paste_cells=100)),
    "pasting 0.3, at most 1,000 cells": Training(lambda config: replace(config, paste=0.3, paste_cells=1000)),
    "no average of the weights": Training(lambda config: replace(config, average=0.0)),
    "SGD at a rate of 0.1": Training(lambda config: replace(config, optimiser="sgd", rate=0.1)),
    "bfloat16": Training(lambda config: replace(config, bfloat16=True)),
    "all images alike": Training(train=all_images_alike),
    "no change of values": _augmented(
        invert=0, by_channel=0, gain=(1, 1), offset=0, gamma=(1, 1), blur=0, noise=0, illumination=0
    ),
    "no change of colours": _augmented(shuffle=0, drop=0, by_channel=0),
    "scales of 0.9 to 1.1": _augmented(scale=(0.9, 1.1)),
    "scales of 0.5 to 2": _augmented(scale=(0.5, 2.0)),
    "misfit, specks and JPEG": _augmented(misfit=0.15, specks=0.15, jpeg=0.2),
}


def prepared(items: Sequence[Item], kind: str, change: Callable[[Image], Image], policy: str) -> list[Prepared]:
    """Read images, change their channels and make them ready to train on; ``kind`` begins their sources' names."""
    pairs = [(read_item(item), item.source) for item in items]
    return [prepare(change(image), labels, kind + source, policy) for (image, labels), source in pairs]
