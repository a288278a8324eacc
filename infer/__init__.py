"""Flowmask: instance labels from microscopy images with flow networks on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infer.errors import FlowmaskError as FlowmaskError
from infer.errors import ImageError as ImageError
from infer.errors import InputError as InputError
from infer.errors import NetworkError as NetworkError
from infer.errors import OutputError as OutputError
from infer.errors import RunError as RunError
from infer.errors import SettingsError as SettingsError

if TYPE_CHECKING:
    from infer.api import load_network as load_network
    from infer.api import segment as segment
    from infer.pipeline import Result as Result
    from infer.settings import Settings as Settings

__version__ = "0.1.0"
_HOMES = {"Result": "pipeline", "Settings": "settings", "load_network": "api", "segment": "api"}
__all__ = [
    "FlowmaskError",
    "ImageError",
    "InputError",
    "NetworkError",
    "OutputError",
    "Result",
    "RunError",
    "Settings",
    "SettingsError",
    "load_network",
    "segment",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `python -m infer --help` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'infer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"infer.{_HOMES[name]}"), name)
