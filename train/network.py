"""The residual flow network of Cellpose (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x) as plain PyTorch.

Pre-activation batch-norm, skips and style added, three output maps (dy * 5, dx * 5, cell logit).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from infer.errors import NetworkError
from train.light import LightNetwork

# What torch.load raises for a file that is no checkpoint: no zip or pickle, cut short, or of forbidden types.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, UnicodeDecodeError)
FULL = (32, 64, 128, 256)
HALF = (16, 32, 64, 128)
QUARTER = (8, 16, 32, 64)


def norm_conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Batch-norm, ReLU, convolution: the order in which the reference applies them."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs, momentum=0.05), nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    )


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Batch-norm and 1x1 convolution, without ReLU: the shortcut where the width changes."""
    return nn.Sequential(nn.BatchNorm2d(inputs, momentum=0.05), nn.Conv2d(inputs, outputs, 1))


class Down(nn.Module):
    """Two residual blocks of one scale of the contracting path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = projection(inputs, outputs)
        self.conv = nn.ModuleList([norm_conv(inputs if k == 0 else outputs, outputs, 3) for k in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x) + self.conv[1](self.conv[0](x))
        return x + self.conv[3](self.conv[2](x))  # type: ignore[no-any-return]


class Up(nn.Module):
    """Two residual blocks of one scale of the expanding path; skip and style are added.

    What comes from the scale below is enlarged (nearest neighbour) as late as the sums allow: normalising and
    projecting it first gives the same values for a quarter of the work.
    """

    def __init__(self, inputs: int, outputs: int, style: int, enlarges: bool) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest") if enlarges else nn.Identity()
        self.proj = projection(inputs, outputs)
        self.conv = nn.ModuleList([norm_conv(inputs if k == 0 else outputs, outputs, 3) for k in range(4)])
        # A linear map of the style, written as a 1x1 convolution: ONNX Runtime then computes every item of a
        # batch alike, whatever the batch size, which a matrix product does not promise.
        self.style = nn.ModuleList([nn.Conv2d(style, outputs, 1) for _ in range(3)])

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        norm, relu, conv = self.conv[0]
        y = self.conv[1](conv(self.grow(relu(norm(x)))) + skip + self.style[0](style))
        x = self.grow(self.proj(x)) + y
        y = self.conv[2](x + self.style[1](style))
        return x + self.conv[3](y + self.style[2](style))  # type: ignore[no-any-return]


class FlowNetwork(nn.Module):
    """(B, C, Y, X) float32, Y and X multiples of 8 -> maps (B, 3, Y, X) and style (B, widths[-1])."""

    ones: Tensor

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = FULL) -> None:
        super().__init__()
        self.channels, self.widths = channels, tuple(widths)
        self.multiple, self.styles = 2 ** (len(self.widths) - 1), self.widths[-1]
        ins = (channels, *widths[:-1])
        self.down = nn.ModuleList([Down(i, o) for i, o in zip(ins, widths, strict=True)])
        deepest = widths[-1]
        outs = (*widths[1:], deepest)
        self.up = nn.ModuleList(
            [Up(i, o, deepest, level < len(widths) - 1) for level, (i, o) in enumerate(zip(outs, widths, strict=True))]
        )
        self.pool = nn.MaxPool2d(2)
        self.output = norm_conv(widths[0], 3, 1)
        # The sum over channels in the style's norm, as a 1x1 convolution too: ONNX Runtime's ReduceSum adds in
        # another order for one item than for several. No weight: kept out of the checkpoint.
        self.register_buffer("ones", torch.ones(1, deepest, 1, 1), persistent=False)

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the features of every scale and the style (B, S, 1, 1) of unit length."""
        features: list[Tensor] = []
        for level, block in enumerate(self.down):
            features.append(block(self.pool(features[-1]) if level else image))
        style = features[-1].mean(dim=(2, 3), keepdim=True)
        return features, style / nn.functional.conv2d(style * style, self.ones).sqrt()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features, style = self.encode(image)
        x = features[-1]
        for block, skip in zip(reversed(self.up), reversed(features), strict=True):
            x = block(x, skip, style)
        return self.output(x), style.flatten(1)


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def save(path: str | Path, network: FlowNetwork | LightNetwork, **extra: object) -> None:
    """Write a checkpoint: the network's shape, its weights and whatever else belongs to it."""
    torch.save(
        {
            "network": type(network).__name__,
            "channels": network.channels,
            "widths": network.widths,
            "weights": network.state_dict(),
            **extra,
        },
        path,
    )


def load(path: str | Path) -> tuple[FlowNetwork | LightNetwork, dict[str, object]]:
    """Read a checkpoint written by `save`: the network in evaluation mode and the extras.

    Raises NetworkError when the file is missing or no such checkpoint.
    """
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
        shape = record.pop("channels"), tuple(record.pop("widths"))
        light = record.pop("network", "") == "LightNetwork"
        network: FlowNetwork | LightNetwork = LightNetwork() if light else FlowNetwork(*shape)
        network.load_state_dict(record.pop("weights"))
    except OSError as error:
        raise NetworkError(f"{path}: the checkpoint cannot be opened ({error.strerror}); check the path.") from error
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(
            f"{path}: this is no Flowmask checkpoint; give a file that train.network.save wrote, "
            "or name a cellpose checkpoint with --cellpose."
        ) from error
    return network.eval(), record
