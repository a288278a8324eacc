"""Benchmarks, and the demo. They measure the engine of this checkout, whether or not ``flowmask`` is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).resolve().parents[1] / "infer"


class _Checkout:
    """Finds the package ``flowmask`` in the folder ``infer`` beside this one."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "flowmask":
            return None
        return spec_from_file_location(name, SOURCE / "__init__.py", submodule_search_locations=[str(SOURCE)])


sys.meta_path.insert(0, _Checkout)
