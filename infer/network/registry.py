"""The networks that ship, by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import NetworkError

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "models", PACKAGE.parent / "models")
"""Where the networks lie: in the installed package, or beside ``infer/`` in a checkout."""
TABLE = "registry.toml"


@dataclass(frozen=True)
class ShippedNetwork:
    """One row of the table of networks."""

    name: str
    file: str
    sha256: str
    default: bool
    licence: str
    data: str
    """What it was trained on."""
    about: str
    """What it is for."""
    f1: float
    """Mean F1 (IoU 0.5, the challenge's rules) over held-out sources with estimated diameters; see its card."""

    @property
    def path(self) -> Path:
        """Where the file is, or would be if it were installed."""
        return _folder() / self.file


def shipped_networks() -> tuple[ShippedNetwork, ...]:
    """Return the networks of the table, the installed ones and the others.

    >>> [network.name for network in shipped_networks()]
    ['small', 'large']
    """
    return _read(_folder())


def default_network() -> Path:
    """Return the file of the default network."""
    return next(network.path for network in shipped_networks() if network.default)


def find_network(name: str | Path) -> Path:
    """Return the file of a network: by its name in the table, or the path itself.

    Raises NetworkError for a name whose file is not installed, and for a path without a file.
    """
    known = {network.name: network for network in shipped_networks()}
    path = Path(name)
    if path.is_file():
        return path
    if str(name) in known:
        network = known[str(name)]
        if network.path.is_file():
            return network.path
        raise NetworkError(
            f"{name}: the file {network.file} of this network is not part of the installed package; take it from "
            "models/ in the repository and give its path."
        )
    raise NetworkError(
        f"{path}: there is no such network file; give the path of an .onnx file or a name: {', '.join(known)}."
    )


def _folder() -> Path:
    return next(folder for folder in FOLDERS if (folder / TABLE).is_file())


@cache
def _read(folder: Path) -> tuple[ShippedNetwork, ...]:
    table = tomllib.loads((folder / TABLE).read_text(encoding="utf-8"))
    return tuple(ShippedNetwork(**row) for row in table["network"])
