"""Values as text for the report, safe to stand in HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import datetime

from ...errors import printable


def text(value: object) -> str:
    """Return a value as text in which no character is markup.

    >>> text("<b>two\\nlines.tif")
    '&lt;b&gt;two\\\\nlines.tif'
    """
    return html.escape(printable(str(value)))


def sentence(words: str) -> str:
    """Return words that begin with a capital letter, as HTML.

    >>> sentence("no cells were found")
    'No cells were found'
    """
    return text(words[:1].upper() + words[1:])


def number(value: float) -> str:
    """Return a number with commas for thousands and, below 100, with three digits.

    >>> number(74874), number(1234.5), number(27.34), number(0.12345), number(3.0)
    ('74,874', '1,234', '27.3', '0.123', '3')
    """
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count(things: int, name: str) -> str:
    """Return a number of things.

    >>> count(1, "cell"), count(1200, "cell")
    ('1 cell', '1,200 cells')
    """
    return f"{things:,} {name}{'s' * (things != 1)}"


def duration(seconds: float) -> str:
    """Return a duration in its usual units.

    >>> duration(0.42), duration(75), duration(7320)
    ('0.42 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def memory(size: int) -> str:
    """Return a number of bytes in MB or GB.

    >>> memory(52_300_000), memory(2_340_000_000)
    ('52 MB', '2.3 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def moment(iso: str) -> str:
    """Return a time of the record for readers.

    >>> moment("2026-11-30T09:05:11+00:00")
    '30 November 2026, 09:05 UTC'
    """
    at = datetime.fromisoformat(iso)
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname()}"


def definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """Return a list of names with their values as HTML; without those whose value is None.

    >>> definitions([("Size", "5 x 4 px"), ("Pixel size", None)])
    '<dl><div><dt>Size</dt><dd>5 x 4 px</dd></div></dl>'
    """
    rows = [f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs if value is not None]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""
