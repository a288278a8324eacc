"""Write the tables of options in docs/usage.md from the records in infer/options.py: `python docs/write_options.py`."""

from __future__ import annotations

import re
from pathlib import Path

from flowmask.options import Option, Output, Runtime, Segmentation, option_name, options_of

PAGE = Path(__file__).parent / "usage.md"
RECORDS = {"segmentation": Segmentation, "runtime": Runtime, "output": Output}
MARKED = re.compile(r"(<!-- options: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(record: type) -> str:
    """Return the table of a record of options in Markdown."""
    rows = ["| option | default | range | changes | meaning |", "|---|---|---|---|---|"]
    for name, default, option in options_of(record):
        cells = (f"`{option_name(name)}`", _default(default), _range(option), option.changes, option.meaning)
        rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _default(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(default)
    return "off" if default is False else "" if default is None else f"{default}"


def _range(option: Option) -> str:
    if option.choices:
        return ", ".join(option.choices)
    if option.low is None or option.high is None:
        return ""
    unit = f" {option.unit}" if option.unit else ""
    return f"{_number(option.low)} to {_number(option.high)}{unit}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def page(text: str) -> str:
    """Return the text of a page with the tables between its marks written anew."""
    return MARKED.sub(lambda match: f"{match[1]}{table(RECORDS[match[2]])}{match[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
