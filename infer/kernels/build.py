"""Compile the kernels ahead of time: `python -m infer.kernels.build`. Needs gcc, g++ and setuptools.

The compiled module needs no Numba. It lies beside this file and is used until a file with kernels changes; see
`flowmask.kernels.compiled`. It is built for the generic processor of the architecture, and its labels are those of code
built for one processor.

`numba.pycc`, which compiles it, is deprecated. When Numba removes it, this module fails with an ImportError and the
engine works on: Numba then compiles the kernels at their first use, which takes some seconds once and half a second of
import time in each run. The replacement to try first is a C extension with the same signatures.
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
    """Write the module unless it is there already, and remove those of other sources."""
    if AHEAD:
        print(f"{AHEAD.__file__}: it is there already and up to date.")
        return 0
    for home in HOMES:
        import_module(f"{PACKAGE}.{home}")
    numba: Any = import_module("numba.core.compiler")
    pycc: Any = import_module("numba.pycc")

    def unlocked() -> object:
        flags = numba.Flags()
        flags.release_gil = True
        return flags

    pycc.compiler.Flags = unlocked  # the kernels let other threads run, as `nogil` does
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
        made = package / module.output_file
        os.replace(Path(folder) / module.output_file, made)
    print(f"{made}: {len(KERNELS)} kernels compiled.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
