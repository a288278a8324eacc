"""A shard of a run: one of several parts of its images, for machines that share a folder and nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count`` parts, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, paths: Collection[Path]) -> frozenset[Path]:
        """Return the paths of this shard: every ``count``-th of the sorted paths, the first one at ``number``.

        Each path belongs to exactly one shard, whatever the order in which the paths are given.

        >>> [path.name for path in sorted(Shard(2, 3).of([Path(f"{name}.tif") for name in "edcba"]))]
        ['b.tif', 'e.tif']
        """
        return frozenset(sorted(paths, key=Path.as_posix)[self.number - 1 :: self.count])

    def named(self, path: Path) -> Path:
        """Return the name that a file about the whole run has in this shard.

        >>> Shard(3, 20).named(Path("out/cells.csv")).as_posix()
        'out/cells_03of20.csv'
        """
        return path.with_stem(f"{path.stem}_{self.number:0{len(str(self.count))}}of{self.count}")


def parse_shard(text: str) -> Shard:
    """Return the shard that a text such as "3/20" names. Raises SettingsError for any other text.

    >>> parse_shard("3/20")
    Shard(number=3, count=20)
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise SettingsError(
            f"{text} is not a shard; give NUMBER/COUNT with a number from 1 to the count, such as 3/20."
        )
    return Shard(number, count)


def in_shard(path: Path, shard: Shard | None) -> Path:
    """Return the name of a file about the whole run: with a shard, the name that it has there.

    >>> in_shard(Path("cells.csv"), None).name
    'cells.csv'
    """
    return shard.named(path) if shard else path
