"""A histogram as an inline SVG drawing with its numbers as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .words import count, number, text

WIDTH, HEIGHT = 240, 56


def chart(title: str, unit: str, found: Mapping[str, Any] | None) -> str:
    """Return a figure as HTML: a bar for each bin, a line at the median, and the ends of the axis.

    If all values are the same, there is only the value.

    found: the fields of `flowmask.outputs.report.histogram.Histogram`; None gives nothing. unit: behind the numbers.

    >>> flat = {"low": 0.0, "high": 2.0, "counts": [1, 3], "median": 1.5, "smallest": 0.0, "largest": 2.0}
    >>> chart("Size", "px", flat).count("<rect")
    2
    """
    if found is None:
        return ""
    cells, median = sum(found["counts"]), f"{number(found['median'])} {unit}".strip()
    if found["smallest"] == found["largest"]:
        same = text(median) + (" in all cells" if cells > 1 else "")
        return f'<figure class="chart"><figcaption>{text(title)} <b>{same}</b></figcaption></figure>'
    summary = f"{title}: {count(cells, 'cell')}, median {median}"
    return (
        f'<figure class="chart"><figcaption>{text(title)} <b>median {text(median)}</b></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text(summary)}">'
        f"{_bars(found, unit)}{_median_line(found)}</svg>"
        f'<p class="axis"><span>{_end(found["low"], found["smallest"] < found["low"], "≤")}</span>'
        f"<span>{_end(found['high'], found['largest'] > found['high'], '≥')} {text(unit)}</span></p></figure>"
    )


def _bars(found: Mapping[str, Any], unit: str) -> str:
    counts = found["counts"]
    width, step = WIDTH / len(counts), (found["high"] - found["low"]) / len(counts)
    bars = []
    for at, cells in enumerate(counts):
        height = HEIGHT * cells / max(counts)
        low = found["low"] + at * step
        title = f"{count(cells, 'cell')}, {number(low)} to {number(low + step)} {unit}".strip()
        bars.append(
            f'<rect x="{at * width + 0.5:.1f}" y="{HEIGHT - height:.1f}" width="{width - 1:.1f}" '
            f'height="{height:.1f}"><title>{text(title)}</title></rect>'
        )
    return "".join(bars)


def _median_line(found: Mapping[str, Any]) -> str:
    at = WIDTH * (found["median"] - found["low"]) / (found["high"] - found["low"])
    return f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT}"/>'


def _end(value: float, beyond: bool, sign: str) -> str:
    """Return an end of the axis, with a sign if the bin there also counts values beyond it."""
    return f"{sign + ' ' if beyond else ''}{number(value)}"
