"""The JSON record of a benchmark (commit, date, machine, figures) and the tables made from it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowmask.images.file_type import digest
from flowmask.system.cpu import cores

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
"""Folder of the records that benchmarks write; not part of the repository."""
Record = dict[str, Any]


def write_record(name: str, figures: Record) -> Path:
    """Write ``results/NAME.json``: commit, date, machine and the figures; return its path."""
    record = {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": cores()},
        "versions": {"python": platform.python_version()},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def earlier(name: str, about: Record) -> Record:
    """Return the scores of an earlier, interrupted run with the same settings; none if there is no record.

    ``about``: the settings and images that the record must name. Ends the program if it names others.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    record = json.loads(path.read_text())
    if any(record.get(key) != value for key, value in about.items()):
        raise SystemExit(f"{path}: the record is about other settings or images; move it away to start anew.")
    print(f"{path}: continuing the run of commit {record['commit']}; remove the file to start anew", flush=True)
    scores: Record = record["scores"]
    return scores


def folder_digest(folder: Path) -> str:
    """Return the first 12 digits of the SHA-256 of the names and contents of all PNG files below a folder.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     folder_digest(Path(folder))  # without any PNG file
    'e3b0c44298fc'
    """
    digests = hashlib.sha256()
    for path in sorted(folder.rglob("*.png")):
        digests.update(str(path.relative_to(folder)).encode())
        digests.update(path.read_bytes())
    return digests.hexdigest()[:12]


def named(model: Path) -> str:
    """Return the name of a network file with the first 12 digits of its SHA-256.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.onnx")
    ...     path.touch()
    ...     named(path)  # of an empty file
    'a.onnx (sha256 e3b0c44298fc)'
    """
    return f"{model.name} (sha256 {digest(model)[:12]})"


def _commit() -> str:
    """Return git's name of the commit that is checked out; empty without git or outside a repository."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return found.stdout.strip()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table with aligned columns: floats with three decimals, nothing for None.

    >>> print(table(["image", "F1"], [["a", 0.5]]))
    | image | F1    |
    | ----- | ----- |
    | a     | 0.500 |
    """
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    lines = [
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (cells[0], rule, *cells[1:])
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
