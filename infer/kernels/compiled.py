"""Decorators for loops in machine code, compiled ahead of time by `python -m infer.kernels.build` or by Numba.

Importing Numba and its cached code takes longer than segmenting a small image; importing a module that was compiled
ahead of time takes a millisecond. The name of that module and the folder of Numba's cache contain a digest of the
sources, so that code of older sources is never used.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, TypeVar
from zlib import crc32

from ..system.cpu import is_x86_64_v3

Function = TypeVar("Function", bound=Callable[..., Any])
PREFIX = "_ahead_"
"""First part of the file name of a module that was compiled ahead of time."""
V3 = "_v3"
"""Last part of the name of the module for processors of the level x86-64-v3. The other one runs on every processor."""
HOMES = (
    "families.flow.targets", "families.flow.follow", "families.flow.masks", "families.watershed.smooth",
    "families.watershed.maxima", "families.watershed.flood", "families.watershed.cells", "families.boxes.suppress",
    "families.boxes.paste", "labels.reused_ids", "labels.measure", "labels.numbering", "labels.intensity",
    "labels.outlines", "labels.shape", "outputs.ring_text", "tiles.clahe", "tiles.weighted",
)  # fmt: skip
"""The modules of this package that contain kernels."""
SOURCES = (
    *HOMES, "families.flow.constants", "families.watershed.constants", "kernels.compiled", "labels.labels",
    "system.cpu", "system.parallel", "system.rolling", "tiles.constants",
)  # fmt: skip
"""The modules whose source decides what the kernels compute."""
PACKAGE = __name__.split(".")[0]
"""The name under which this package was imported: flowmask, or infer in a checkout."""
ARRAY = re.compile(r"(?P<dtype>[bifu]\d)\[(?P<axes>[:,]*)::1\]|[^\s,()]+\([^)]*\)|[^\s,()]+")
"""One argument of a signature: a C-contiguous array, or anything else."""
KERNELS: list[tuple[str, Callable[..., Any]]] = []
"""Signature and Python function of every kernel that has been imported."""
CACHE_LOCK = RLock()
"""Held while Numba's settings are those of the kernels, because modules with kernels are imported in several threads.
Without it, Numba could take the folder of another thread away, and write its cache into the working folder."""
FIRST_RUN = "Flowmask compiles its code for this computer. The first run does this once; it can take minutes."
EVERY_RUN = (
    "Flowmask compiles its code in every run, which can take minutes, because no folder that could keep it can be "
    "written; set NUMBA_CACHE_DIR to a folder that can."
)
log = logging.getLogger(__name__)


def sources_digest() -> str:
    """Return the CRC-32 of the source files in `SOURCES`, 8 hexadecimal digits.

    >>> sources_digest() == DIGEST, len(DIGEST)
    (True, 8)
    """
    package = Path(__file__).parents[1]
    sources = [package.joinpath(*name.split(".")).with_suffix(".py").read_bytes() for name in SOURCES]
    return f"{crc32(b''.join(sources)):08x}"


DIGEST = sources_digest()


def _compiled_ahead() -> ModuleType | None:
    """Return the module for this processor that was compiled from the current sources; None without one.

    A module that cannot be loaded is left out, with a warning.
    """
    for level in (V3, "") if is_x86_64_v3() else ("",):
        name = f"{PACKAGE}.kernels.{PREFIX}{DIGEST}{level}"
        spec = find_spec(name)
        try:
            if spec:
                return import_module(name)
        except ImportError as error:
            file = spec.origin if spec else name
            log.warning(
                "%s: the compiled kernels cannot be loaded (%s) and are not used; remove this file.", file, error
            )
    return None


AHEAD = _compiled_ahead()
"""The module that was compiled ahead of time; None if Numba compiles the kernels."""


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile a function that Python code calls. It runs without the global interpreter lock (GIL).

    signature: the types in Numba's notation, such as "i4[:,::1](i4[:,::1], i8)". Arguments are positional and have
    exactly these types.
    """

    def decorate(function: Function) -> Function:
        KERNELS.append((signature, function))
        return _checked(signature, function) if AHEAD else _jitted(function, signature, nogil=True)

    return decorate


def part(function: Function) -> Function:
    """Compile a function that only kernels call."""
    return function if AHEAD else _jitted(function)


def inlined(function: Function) -> Function:
    """Compile a function that is inlined into the kernels that call it."""
    return function if AHEAD else _jitted(function, inline="always")


def _checked(signature: str, function: Function) -> Function:
    """Return the function compiled ahead of time, with a check of its array arguments.

    The compiled function does not check the type and layout of an array, and would read the wrong memory. The check
    raises TypeError.
    """
    native = getattr(AHEAD, function.__name__)
    types = ARRAY.finditer(signature[signature.index("(") + 1 : -1])
    arrays = [(at, m["dtype"], m["axes"].count(",") + 1) for at, m in enumerate(types) if m["dtype"]]

    @wraps(function)
    def checked(*arguments: Any) -> Any:
        for at, dtype, axes in arrays:
            array = arguments[at]
            if array.dtype != dtype or array.ndim != axes or not array.flags.carray:
                raise TypeError(
                    f"{function.__name__}: argument {at + 1} must be a C-contiguous array with {axes} axes of {dtype}"
                )
        return native(*arguments)

    return checked  # type: ignore[return-value]


def _jitted(function: Function, *signature: str, **options: object) -> Function:
    """Compile a function with Numba, which caches the code if it can write to a cache folder."""
    numba: Any = import_module("numba")
    with CACHE_LOCK:
        before = numba.config.CACHE_DIR, numba.config.SLP_VECTORIZE
        # Numba checks the file of the function alone, but the function may call others in other files: the digest.
        numba.config.CACHE_DIR = before[0] or str(Path(__file__).parent / "__pycache__" / f"{PACKAGE}-{DIGEST}")
        numba.config.SLP_VECTORIZE = 1  # expressions written out side by side become vector instructions
        try:
            jitted: Function = numba.njit(*signature, cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache can be written
            _say_once(EVERY_RUN)
            jitted = numba.njit(*signature, **options)(function)
        else:
            if sum(jitted.stats.cache_misses.values()):  # type: ignore[attr-defined]
                _say_once(FIRST_RUN)
        finally:
            numba.config.CACHE_DIR, numba.config.SLP_VECTORIZE = before
    return jitted


@cache
def _say_once(text: str) -> None:
    log.warning(text)
