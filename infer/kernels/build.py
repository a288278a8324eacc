"""Compile the kernels ahead of time: `python -m infer.kernels.build`. Needs gcc, g++ and setuptools.

The compiled modules are written beside this file and do not need Numba. They are used until a source file of the
kernels changes; see `flowmask.kernels.compiled`. One is for every processor of the architecture. On x86-64 there is
another one for the level x86-64-v3 (AVX2), which runs if the processor has that level. The labels of both are the same
as those of kernels that Numba compiles for the processor of the machine.

`numba.pycc`, which compiles the modules, is deprecated. When Numba removes it, this program fails with an ImportError.
The engine still works then: Numba compiles the kernels at their first use, which takes some seconds once and half a
second of import time in each run. The replacement to try first is a C extension with the same signatures.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .compiled import AHEAD, DIGEST, HOMES, KERNELS, PACKAGE, PREFIX, V3


def main() -> int:
    """Compile the modules unless they are up to date, and remove those of older sources; return the exit code 0."""
    if AHEAD:
        print(f"{AHEAD.__file__}: this file is up to date.")
        return 0
    for home in HOMES:
        import_module(f"{PACKAGE}.{home}")
    package = Path(__file__).parent
    with TemporaryDirectory(dir=package) as folder:
        compiled = [_compile(PREFIX + DIGEST, "generic", folder)]
        if platform.machine() in ("x86_64", "AMD64"):
            compiled.append(_compile(PREFIX + DIGEST + V3, "x86-64-v3", folder))
        for old in package.glob(f"{PREFIX}*"):
            old.unlink()
        for name in compiled:
            os.replace(Path(folder) / name, package / name)
            print(f"{package / name}: {len(KERNELS)} kernels compiled.")
    return 0


def _compile(name: str, processor: str, folder: str) -> str:
    """Compile all kernels for a processor, named as in LLVM, into a folder; return the name of the file."""
    numba: Any = import_module("numba.core.compiler")
    pycc: Any = import_module("numba.pycc")

    def flags_without_gil() -> object:
        flags = numba.Flags()
        flags.release_gil = True
        return flags

    import_module("numba").config.SLP_VECTORIZE = 1  # as for the kernels that Numba compiles at first use
    pycc.compiler.Flags = flags_without_gil  # kernels run without the GIL, as with `nogil=True` in Numba
    module = pycc.CC(name, __name__)
    module.target_cpu = processor
    for signature, function in KERNELS:
        module.export(function.__name__, signature)(function)
    module.output_dir = folder
    module.compile()
    return str(module.output_file)


if __name__ == "__main__":
    sys.exit(main())
