"""Flowmask: instance labels from microscopy images with flow networks on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infer.api import load_network as load_network
    from infer.api import segment as segment
    from infer.pipeline import Result as Result
    from infer.settings import Settings as Settings

__version__ = "0.1.0"
__all__ = ["Result", "Settings", "load_network", "segment"]
_HOMES = {"Result": "pipeline", "Settings": "settings", "load_network": "api", "segment": "api"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `python -m infer --help` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'infer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"infer.{_HOMES[name]}"), name)
