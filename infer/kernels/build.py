"""Compile the kernels ahead of time: `python -m infer.kernels.build`. Needs gcc, g++ and setuptools.

The compiled module is written beside this file and does not need Numba. It is used until a source file of the kernels
changes; see `flowmask.kernels.compiled`. It is built for the generic processor of the architecture. Its labels are the
same as those of kernels that Numba compiles for the processor of the machine.

`numba.pycc`, which compiles the module, is deprecated. When Numba removes it, this program fails with an ImportError.
The engine still works then: Numba compiles the kernels at their first use, which takes some seconds once and half a
second of import time in each run. The replacement to try first is a C extension with the same signatures.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .compiled import AHEAD, DIGEST, HOMES, KERNELS, PACKAGE, PREFIX


def main() -> int:
    """Compile the module unless it is up to date, and remove modules of older sources; return the exit code 0."""
    if AHEAD:
        print(f"{AHEAD.__file__}: this file is up to date.")
        return 0
    for home in HOMES:
        import_module(f"{PACKAGE}.{home}")
    numba: Any = import_module("numba.core.compiler")
    pycc: Any = import_module("numba.pycc")

    def flags_without_gil() -> object:
        flags = numba.Flags()
        flags.release_gil = True
        return flags

    pycc.compiler.Flags = flags_without_gil  # kernels run without the GIL, as with `nogil=True` in Numba
    module = pycc.CC(PREFIX + DIGEST, __name__)
    module.target_cpu = "generic"
    for signature, function in KERNELS:
        module.export(function.__name__, signature)(function)
    package = Path(__file__).parent
    with TemporaryDirectory(dir=package) as folder:
        module.output_dir = folder
        module.compile()
        for old in package.glob(f"{PREFIX}*"):
            old.unlink()
        compiled = package / module.output_file
        os.replace(Path(folder) / module.output_file, compiled)
    print(f"{compiled}: {len(KERNELS)} kernels compiled.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
