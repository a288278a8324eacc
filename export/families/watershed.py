"""Watershed networks: the file holds the network, with one output for each of its heads."""

from __future__ import annotations

from torch import Tensor, nn

from export.families.flow import SizeRegression


class Heads(nn.Module):
    """(B, C, Y, X) -> inner distance (B, 1, Y, X) and pixelwise (B, 3, Y, X): interior, border, background.

    A network with heads for nuclei gives the same two for nuclei after them.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        (maps,) = self.network(image)
        compartments = (maps[:, first : first + 4] for first in range(0, maps.shape[1], 4))
        return tuple(head for four in compartments for head in (four[:, :1], four[:, 1:]))


def make_module(network: nn.Module, size: SizeRegression | None) -> nn.Module:
    """Return the function that the file holds."""
    return Heads(network).eval()
