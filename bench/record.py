"""What every benchmark's JSON says besides its figures, and the table that it prints."""

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

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"


def write_record(name: str, figures: dict[str, Any]) -> Path:
    """Write ``results/NAME.json``: commit, date, machine and the figures; return its path."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": cores()}
    versions = {"python": platform.python_version()}
    record = {
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def earlier(name: str, about: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of an earlier run about the same, which was stopped; none where there is no record."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    record = json.loads(path.read_text())
    if any(record.get(key) != value for key, value in about.items()):
        raise SystemExit(f"{path}: it is about other settings or images; move it away to begin anew.")
    print(f"{path}: going on from what commit {record['commit']} reached; remove it to begin anew", flush=True)
    scores: dict[str, Any] = record["scores"]
    return scores


def folder_digest(folder: Path) -> str:
    """Return the beginning of the SHA-256 of all PNGs of a folder and the folders in it, names and contents."""
    digests = hashlib.sha256()
    for path in sorted(folder.rglob("*.png")):
        digests.update(str(path.relative_to(folder)).encode())
        digests.update(path.read_bytes())
    return digests.hexdigest()[:12]


def named(model: Path) -> str:
    """Return the name of a network's file and the beginning of its SHA-256."""
    return f"{model.name} (sha256 {digest(model)[:12]})"


def _commit() -> str:
    """Return git's name of what is checked out, nothing where git or its folder is not there."""
    try:
        asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return asked.stdout.strip()


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table with its columns aligned."""
    cells = [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    for row in (cells[0], rule, *cells[1:]):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
