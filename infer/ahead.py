"""Compile the kernels ahead of time: `python -m infer.ahead`. Needs gcc, g++ and setuptools.

The module, which needs no Numba, lies beside this file and is found there until a file of this package changes; see
`infer.compiled`. It runs on any processor of this kind: `generic` code gives the labels that code for one processor
gives.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from infer.compiled import AHEAD, KERNELS, module_name

HOMES = ("flows", "follow", "masks", "ids")


def main() -> int:
    """Write the module unless it is there already."""
    if AHEAD:
        print(f"{AHEAD.__file__}: it is there already and up to date.")
        return 0
    for home in HOMES:
        import_module(f"infer.{home}")
    numba: Any = import_module("numba.core.compiler")
    pycc: Any = import_module("numba.pycc")

    def unlocked() -> object:
        flags = numba.Flags()
        flags.release_gil = True
        return flags

    pycc.compiler.Flags = unlocked  # the kernels let other threads run, as `nogil` does
    module = pycc.CC(module_name(), __name__)
    module.output_dir = str(Path(__file__).parent)
    module.target_cpu = "generic"
    for signature, function in KERNELS:
        module.export(function.__name__, signature)(function)
    module.compile()
    print(f"{Path(module.output_dir) / module.output_file}: {len(KERNELS)} kernels compiled.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
