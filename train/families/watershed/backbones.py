"""Encoders of the package timm for the watershed family: those of the study of Mesmer on LIVECell.

The package (Apache-2.0) is the extra ``backbones``. It is imported only for the networks that need it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from flowmask.errors import SettingsError
from train.families.base import FamilyNetwork

BACKBONES = {"resnet50": "resnet50", "densenet201": "densenet201", "efficientnet-b7": "tf_efficientnet_b7"}
"""Our name of each backbone -> timm's. ResNet50 is the published one of Mesmer."""
LEVELS = (2, 3, 4)
"""The levels C3, C4 and C5 as timm counts them: an 8th, a 16th and a 32nd of the resolution."""


class TimmEncoder(nn.Module):
    """A backbone of timm without its classifier: (B, 3, Y, X) -> features at strides 8, 16 and 32."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = features_of(name)
        self.widths: tuple[int, ...] = tuple(self.backbone.feature_info.channels())

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone(x)
        return features


def features_of(name: str, pretrained: bool = False) -> Any:
    """Return timm's network for a key of `BACKBONES`. Raises SettingsError without timm."""
    return _timm().create_model(BACKBONES[name], features_only=True, out_indices=LEVELS, pretrained=pretrained)


def load_published(network: FamilyNetwork, name: str) -> None:
    """Load timm's weights of a key of `BACKBONES` into the encoder, in place; timm downloads them."""
    network.encoder.backbone.load_state_dict(features_of(name, pretrained=True).state_dict())  # type: ignore[union-attr]


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise SettingsError("this architecture needs the package timm; install it: pip install timm.") from error
    return timm  # type: ignore[no-any-return]
