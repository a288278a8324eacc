"""Loops in machine code: compiled ahead of time by `python -m infer.kernels.build`, otherwise by Numba at first use.

Importing Numba and the code that it has kept takes longer than a small image does; a module compiled ahead takes a
millisecond. What is kept is named after the sources it was made of, so that none is found that was made of others.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from zlib import crc32

Function = TypeVar("Function", bound=Callable[..., Any])
PREFIX = "_ahead_"
"""What the names of modules begin with that were compiled ahead."""
HOMES = ("families.flow.targets", "families.flow.follow", "families.flow.masks", "labels.challenge", "labels.measure")
"""Modules of the package with kernels."""
SOURCES = (
    *HOMES, "families.flow.constants", "kernels.compiled", "labels.labels", "system.cpu", "system.parallel",
)  # fmt: skip
"""Modules that decide what the kernels do."""
PACKAGE = __name__.split(".")[0]
"""The name under which this package was imported: flowmask, or infer in a checkout."""
ARRAY = re.compile(r"(?P<dtype>[bif]\d)\[(?P<axes>[:,]*)::1\]|[^\s,()]+\([^)]*\)|[^\s,()]+")
"""One argument of a signature: an array, contiguous in the order of C, or something else."""
KERNELS: list[tuple[str, Callable[..., Any]]] = []
"""Signature and source of every kernel that has been imported."""
log = logging.getLogger(__name__)


def sources_digest() -> str:
    """Return a digest of `SOURCES` as they are."""
    package = Path(__file__).parents[1]
    sources = [package.joinpath(*name.split(".")).with_suffix(".py").read_bytes() for name in SOURCES]
    return f"{crc32(b''.join(sources)):08x}"


DIGEST = sources_digest()


def _compiled_ahead() -> ModuleType | None:
    name = f"{PACKAGE}.kernels.{PREFIX}{DIGEST}"
    try:
        return import_module(name) if find_spec(name) else None
    except ImportError as error:
        log.warning("%s cannot be loaded (%s) and is not used; remove it.", name, error)
        return None


AHEAD = _compiled_ahead()


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile a function that Python calls with positional arguments of exactly these types; it holds no lock."""

    def compiled(function: Function) -> Function:
        KERNELS.append((signature, function))
        return _checked(signature, function) if AHEAD else _jitted(function, signature, nogil=True)

    return compiled


def part(function: Function) -> Function:
    """Compile a function that kernels call."""
    return function if AHEAD else _jitted(function)


def inlined(function: Function) -> Function:
    """Compile a function whose body is put into those of the kernels that call it."""
    return function if AHEAD else _jitted(function, inline="always")


def _checked(signature: str, function: Function) -> Function:
    """Return what is compiled ahead of a function, which itself takes any array for one of its signature's."""
    native = getattr(AHEAD, function.__name__)
    given = signature[signature.index("(") + 1 : -1]
    arrays = [(at, m["dtype"], m["axes"].count(",") + 1) for at, m in enumerate(ARRAY.finditer(given)) if m["dtype"]]

    @wraps(function)
    def checked(*arguments: Any) -> Any:
        for at, dtype, axes in arrays:
            array = arguments[at]
            if array.dtype != dtype or array.ndim != axes or not array.flags.carray:
                raise TypeError(
                    f"{function.__name__}: argument {at + 1} is no contiguous array of {axes} axes, {dtype}"
                )
        return native(*arguments)

    return checked  # type: ignore[return-value]


def _jitted(function: Function, *signature: str, **options: object) -> Function:
    """Compile a function with Numba, which keeps the code beside the sources, or for the user, where it can."""
    numba: Any = import_module("numba")
    before = numba.config.CACHE_DIR
    # Numba takes code for up to date while the file of its function is; what that calls may lie in another file.
    numba.config.CACHE_DIR = before or str(Path(__file__).parent / "__pycache__" / DIGEST)
    try:
        jitted: Function = numba.njit(*signature, cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep it in
        jitted = numba.njit(*signature, **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return jitted
