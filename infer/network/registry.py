"""Find a network file by its name in the table of networks, models/registry.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import NetworkError

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "models", PACKAGE.parent / "models")
"""The folder of the networks: inside the installed package, or beside ``infer/`` in a checkout."""
TABLE = "registry.toml"
"""The file with the table of networks."""


@dataclass(frozen=True)
class ShippedNetwork:
    """One row of the table of networks."""

    name: str
    """The name for --model and `load_network`, such as "small"."""
    file: str
    """The file name in the folder of networks."""
    sha256: str
    """The SHA-256 of the file, in hexadecimal digits."""
    default: bool
    """Whether this network is used if the user names none."""
    licence: str
    data: str
    """The training data."""
    about: str
    """The purpose of the network."""
    f1: float
    """Mean F1 at IoU 0.5 over held-out sources of several images, with estimated diameters and the challenge's scoring;
    see its card."""

    @property
    def path(self) -> Path:
        """The path of the file. The file exists only if the network is installed."""
        return _folder() / self.file


def shipped_networks() -> tuple[ShippedNetwork, ...]:
    """Return all networks of the table, including those whose file is not installed.

    >>> [network.name for network in shipped_networks()]
    ['small', 'large']
    """
    return _read(_folder())


def default_network() -> Path:
    """Return the path of the default network.

    >>> default_network().name
    'small.onnx'
    """
    return next(network.path for network in shipped_networks() if network.default)


def find_network(name: str | Path) -> Path:
    """Return the path of a network, given its name in the table or the path of an .onnx file.

    Raises NetworkError when the name is unknown, its file is not installed, or the path does not exist.

    >>> find_network("small").name
    'small.onnx'
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
            f"{name}: the file {network.file} of this network is not installed; copy it from models/ in the repository "
            "and give its path."
        )
    raise NetworkError(
        f"{path}: there is no such network file; give the path of an .onnx file or a name: {', '.join(known)}."
    )


def find_networks(names: str | Path | None = None) -> tuple[Path, ...]:
    """Return the paths of one network, or of several whose names are separated by commas; None: the default network.

    Raises NetworkError as `find_network` does.

    >>> [path.name for path in find_networks("small,large")]
    ['small.onnx', 'large.onnx']
    """
    if names is None:
        return (default_network(),)
    if not isinstance(names, str | Path):
        raise NetworkError(
            f"an object of the type {type(names).__name__} is not a network file; give its path or a name."
        )
    if "," not in str(names) or Path(names).is_file():
        return (find_network(names),)
    return tuple(find_network(name.strip()) for name in str(names).split(","))


def _folder() -> Path:
    return next(folder for folder in FOLDERS if (folder / TABLE).is_file())


@cache
def _read(folder: Path) -> tuple[ShippedNetwork, ...]:
    table = tomllib.loads((folder / TABLE).read_text(encoding="utf-8"))
    return tuple(ShippedNetwork(**row) for row in table["network"])
