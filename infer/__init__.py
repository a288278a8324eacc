"""Flowmask: instance segmentation of cells in microscopy images, with networks on ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import Cancelled as Cancelled
from .errors import FlowmaskError as FlowmaskError
from .errors import ImageError as ImageError
from .errors import InputError as InputError
from .errors import NetworkError as NetworkError
from .errors import OutputError as OutputError
from .errors import RunError as RunError
from .errors import SettingsError as SettingsError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .api import load_network as load_network
    from .api import open_frames as open_frames
    from .api import segment as segment
    from .api import segment_rows as segment_rows
    from .labels.cell_table import CellTable as CellTable
    from .labels.verdict import Verdict as Verdict
    from .many import segment_many as segment_many
    from .options import Output as Output
    from .options import Runtime as Runtime
    from .options import Segmentation as Segmentation
    from .pipeline import Result as Result
    from .runs.record import Outcome as Outcome

_MODULES = {
    "CellTable": "labels.cell_table",
    "Outcome": "runs.record",
    "Output": "options",
    "Result": "pipeline",
    "Runtime": "options",
    "Segmentation": "options",
    "Verdict": "labels.verdict",
    "load_network": "api",
    "open_frames": "api",
    "segment": "api",
    "segment_many": "many",
    "segment_rows": "api",
}
__all__ = [
    "Cancelled",
    "CellTable",
    "FlowmaskError",
    "ImageError",
    "InputError",
    "NetworkError",
    "Outcome",
    "Output",
    "OutputError",
    "Result",
    "RunError",
    "Runtime",
    "Segmentation",
    "SettingsError",
    "Verdict",
    "__version__",
    "load_network",
    "open_frames",
    "segment",
    "segment_many",
    "segment_rows",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `flowmask --help` starts quickly."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
