"""Flow networks: the file holds the network and its size regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from flowmask.errors import NetworkError

Layer = tuple[Tensor, Tensor]
SUMMARY = "Flows and cell probability for cell instance segmentation in microscopy images"
"""What bioimage.io shows of a flow network."""
CITED = ("Stringer et al. 2021, Cellpose", "10.1038/s41592-020-01018-x")
"""The publication of the method, and its DOI."""
OUTPUTS = {
    "maps": "flow along y and x, times 5, and the logit of the cell probability",
    "diameter": "cell diameter in px of the input",
    "style": "style vector of unit length",
}
"""What the outputs of the file are."""
MAP_CHANNELS = ("dy", "dx", "logit")
SMALLEST = 5.0
"""The smallest diameter (network pixels) that the size regression gives, as in cellpose."""


@dataclass(frozen=True)
class SizeRegression:
    """Log diameter (network pixels) of an item: the layers, with a ReLU between two, of its style minus the mean."""

    layers: tuple[Layer, ...]
    """Weights (outputs, inputs) and offsets (outputs,) float32; the first takes S values, the last gives one."""
    style: Tensor
    """(S,) float32: mean style of the training crops."""


def size_regression(layers: Sequence[Layer], style: Tensor, styles: int, path: str) -> SizeRegression:
    """Return the record after checking it against a network of ``styles`` style values; ``path`` is for the message.

    Raises NetworkError when the shapes do not fit or a number is not finite.
    """
    if style.shape != (styles,):
        raise NetworkError(
            f"{path}: its size regression is for styles of {style.numel()} values and the network's have {styles}; "
            "give the size regression that was fitted to this network."
        )
    widths = [styles, *(len(offsets) for _, offsets in layers)]
    if [tuple(weights.shape) for weights, _ in layers] != [*zip(widths[1:], widths, strict=False)] or widths[-1] != 1:
        raise NetworkError(f"{path}: the layers of its size regression do not fit each other; fit it again.")
    if not all(part.isfinite().all() for part in (style, *chain.from_iterable(layers))):
        raise NetworkError(f"{path}: its size regression has values that are not finite; fit it again.")
    return SizeRegression(tuple((weights.float(), offsets.float()) for weights, offsets in layers), style.float())


class Sized(nn.Module):
    """The function that the file holds: (B, C, Y, X) -> maps (B, 3, Y, X), diameter (B,) if sized, style (B, S)."""

    style: Tensor

    def __init__(self, network: nn.Module, size: SizeRegression | None) -> None:
        super().__init__()
        self.network = network
        self.regression: nn.Sequential | None = None
        if size is not None:
            self.regression = _regression(size.layers)
            self.register_buffer("style", size.style[None, :, None, None])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps, style = self.network(image)
        if self.regression is None:
            return maps, style
        logarithm = self.regression(style.unsqueeze(2).unsqueeze(3) - self.style).flatten(1).squeeze(1)
        return maps, logarithm.exp().clamp(min=SMALLEST), style


def make_module(network: nn.Module, size: SizeRegression | None) -> nn.Module:
    """Return the function that the file holds: the network with its size regression."""
    return Sized(network, size).eval()


@torch.no_grad()
def _regression(layers: tuple[Layer, ...]) -> nn.Sequential:
    """Return the layers, with a ReLU between two, as 1x1 convolutions: see train/families/flow/network.py."""
    parts: list[nn.Module] = []
    for weights, offsets in layers:
        layer = nn.Conv2d(weights.shape[1], weights.shape[0], 1)
        layer.weight.copy_(weights[:, :, None, None])
        layer.bias.copy_(offsets)  # type: ignore[union-attr]
        parts += [layer, nn.ReLU()]
    return nn.Sequential(*parts[:-1])
