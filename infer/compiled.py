"""Loops in machine code: compiled ahead of time where `python -m infer.ahead` has been run, otherwise by Numba now.

Importing Numba and the code that it has kept takes longer than a small image does; a module compiled ahead takes a
millisecond. It is named after the sources it was made of, so that none is found that was made of others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from zlib import crc32

Function = TypeVar("Function", bound=Callable[..., Any])
KERNELS: list[tuple[str, Callable[..., Any]]] = []
"""Signature and source of every kernel that has been imported."""


def module_name() -> str:
    """Return the name, within this package, of the module that is compiled ahead from its sources as they are."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return f"_ahead_{crc32(b''.join(path.read_bytes() for path in sources)):08x}"


def _compiled_ahead() -> ModuleType | None:
    name = f"infer.{module_name()}"
    return import_module(name) if find_spec(name) else None


AHEAD = _compiled_ahead()


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile a function that Python calls with positional arguments of exactly these types; it holds no lock."""

    def compiled(function: Function) -> Function:
        KERNELS.append((signature, function))
        return getattr(AHEAD, function.__name__) if AHEAD else _jitted(function, signature, nogil=True)

    return compiled


def part(function: Function) -> Function:
    """Compile a function that kernels call."""
    return function if AHEAD else _jitted(function)


def inlined(function: Function) -> Function:
    """Compile a function whose body is put into those of the kernels that call it."""
    return function if AHEAD else _jitted(function, inline="always")


def _jitted(function: Function, *signature: str, **options: object) -> Function:
    # Numba looks for SciPy's linear algebra: unused here, slow to load, and where memory is short it never ends.
    hidden = "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        numba: Any = import_module("numba")
        jitted: Function = numba.njit(*signature, cache=True, **options)(function)
        return jitted
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]
