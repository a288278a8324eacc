"""What every benchmark's JSON says besides its figures, and the table that it prints."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infer.cores import cores
from infer.sniff import digest

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
