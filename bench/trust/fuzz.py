"""Damaged files of every format through the readers: each must give pixels or one clear error.

    python -m bench.trust.fuzz [--files 20000] [--seed 0] [--first 0] [--keep FOLDER]

File number N of a seed is always the same: a sample in which bits are flipped, bytes are replaced by critical numbers,
parts are removed, doubled or taken from another sample, or which is cut short. Half of the PNG files get correct
checksums afterwards, because otherwise only the checksums would be tested. Each file is read to its end in a separate
process, with `SECONDS` and `MEMORY` as limits. Failures are crashes, timeouts, errors that do not name the file, and
exceptions other than ImageError; these files are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import logging
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.record import Record, table, write_record
from bench.trust.samples import samples
from flowmask.errors import ImageError
from flowmask.images.readers import open_image
from flowmask.runs.jobs import Job
from flowmask.runs.process import Segment
from flowmask.runs.record import DONE, FAILED, Outcome
from flowmask.runs.worker import in_worker
from flowmask.system.memory import peak_memory

SECONDS = 20
MEMORY = 2**31
"""Bytes that reading one file may take in addition to those of the process at its start."""
ROWS = 256
EXTREMES = (0, 1, 2, 3, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 10**6)
HEAD = 400
"""Length in bytes of the part that holds the headers; half of the mutations are made there."""
Mutation = Callable[[bytearray, bytes, Random], bytearray]


def flip(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Flip some bits.

    >>> sum(byte.bit_count() for byte in flip(bytearray(100), b"", Random(0))) <= 12
    True
    """
    for _ in range(random.randint(1, 12)):
        data[_place(data, random)] ^= 1 << random.randrange(8)
    return data


def number(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Replace some numbers of two, four or eight bytes, in either byte order."""
    for _ in range(random.randint(1, 3)):
        code = random.choice("HIQ")
        value = random.choice(EXTREMES) & (256 ** struct.calcsize(code) - 1)
        at = _place(data, random) & ~1
        data[at : at + struct.calcsize(code)] = struct.pack(random.choice("<>") + code, value)
    return data


def cut(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Cut the file short.

    >>> len(cut(bytearray(100), b"", Random(0))) < 100
    True
    """
    return data[: random.randrange(len(data))]


def remove(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Remove some bytes."""
    at = _place(data, random)
    del data[at : at + random.randint(1, 64)]
    return data


def double(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Insert a copy of some bytes.

    >>> 100 < len(double(bytearray(100), b"", Random(0))) <= 164
    True
    """
    at = _place(data, random)
    data[at:at] = data[at : at + random.randint(1, 64)]
    return data


def splice(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Put the beginning of another sample before the rest of this one."""
    at = random.randrange(min(len(data), len(other)))
    return bytearray(other[:at]) + data[at:]


def graft(data: bytearray, other: bytes, random: Random) -> bytearray:
    """Put a part of another sample somewhere into this one."""
    start, at = random.randrange(len(other)), _place(data, random)
    part = other[start : start + random.randint(4, 200)]
    data[at : at + len(part)] = part
    return data


MUTATIONS: Sequence[Mutation] = (flip, number, cut, remove, double, splice, graft)


def _place(data: bytearray, random: Random) -> int:
    return random.randrange(min(len(data), HEAD) if random.random() < 0.5 else len(data)) if data else 0


def mutated(originals: dict[str, bytes], seed: int, index: int) -> tuple[str, bytes]:
    """Return the name of the sample that file ``index`` of a seed is made from, and the file."""
    random = Random(f"{seed} {index}")
    name = random.choice(list(originals))
    alike = [other for other in originals if other.split()[0] == name.split()[0]]
    data = bytearray(originals[name])
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(MUTATIONS)(data, originals[random.choice(alike)], random) or bytearray(b"\0")
    return name, _checked(data) if name.startswith("PNG") and random.random() < 0.5 else bytes(data)


def _checked(data: bytearray) -> bytes:
    """Return a PNG file in which the chunks, as far as they can be followed, have correct checksums."""
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        data[end - 4 : end] = zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big")
        at = end
    return bytes(data)


@dataclass(frozen=True)
class Verdict:
    """The result for one damaged file."""

    index: int
    sample: str
    kind: str
    """One of pixels, refused, no memory, and the failures: crash, clock, no sentence, exception."""
    detail: str | None
    seconds: float | None
    peak: int | None


FAILURES = ("crash", "clock", "no sentence", "exception")


def fuzz(first: int, count: int, seed: int, folder: Path) -> Iterator[Verdict]:
    """Yield the verdicts on the files ``first`` to ``first + count - 1`` of a seed; ``folder`` holds one at a time."""
    originals = samples()
    jobs = [Job(folder / str(index), folder / "none") for index in range(first, first + count)]

    def prepare() -> Segment:
        limit = _size() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return lambda job, _: iter([_read(job.path, mutated(originals, seed, int(job.path.name))[1])])

    for job, outcome in zip(jobs, in_worker(prepare, jobs), strict=True):
        index = int(job.path.name)
        yield Verdict(
            index, mutated(originals, seed, index)[0], *_judged(outcome), outcome.seconds, outcome.peak_memory
        )


def _size() -> int:
    """Return the bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _read(name: Path, data: bytes) -> Outcome:
    """Read a file to its end in no more than `SECONDS`, and return the outcome."""
    path = name.with_name("file")
    path.write_bytes(data)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    begun = time.perf_counter()
    status, reason, trace = DONE, None, None
    try:
        image = open_image(path)
        _, height, width = image.shape
        for top in range(0, height, ROWS):
            image.read(top, 0, min(top + ROWS, height), width)
    except ImageError as error:
        status, reason = FAILED, str(error)
    except MemoryError:
        status, reason = FAILED, "no memory"
    except Exception:
        status, trace = FAILED, traceback.format_exc()
    signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.perf_counter() - begun
    return Outcome(str(path), status, reason, seconds=seconds, peak_memory=peak_memory(), trace=trace)


def _judged(outcome: Outcome) -> tuple[str, str | None]:
    """Return the kind of an outcome and its details."""
    if outcome.status == DONE:
        return "pixels", None
    if outcome.trace:
        return "exception", outcome.trace
    if outcome.seconds is None:
        return ("clock" if signal.SIGALRM.name in str(outcome.reason) else "crash"), outcome.reason
    if outcome.reason == "no memory":
        return "no memory", None
    clear = str(outcome.reason).startswith(f"{outcome.file}: ") and len(str(outcome.reason).splitlines()) == 1
    return ("refused" if clear else "no sentence"), outcome.reason


def measured(args: argparse.Namespace) -> Record:
    """Read all files and return the counts; files that fail are kept in ``args.keep``."""
    counts: Counter[str] = Counter()
    failures: list[int] = []
    slowest, largest, begun = 0.0, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        for verdict in fuzz(args.first, args.files, args.seed, Path(name)):
            counts[f"{verdict.sample.split()[0]} {verdict.kind}"] += 1
            slowest, largest = max(slowest, verdict.seconds or 0), max(largest, verdict.peak or 0)
            if verdict.kind in FAILURES:
                failures.append(verdict.index)
                args.keep.mkdir(parents=True, exist_ok=True)
                path = args.keep / f"{args.seed}_{verdict.index}"
                path.write_bytes(mutated(samples(), args.seed, verdict.index)[1])
                print(f"{verdict.index} ({verdict.sample}): {verdict.kind}: {verdict.detail}", file=sys.stderr)
    return {
        "files": args.files,
        "first": args.first,
        "seed": args.seed,
        "seconds": time.perf_counter() - begun,
        "slowest_s": slowest,
        "peak_bytes": largest,
        "counts": dict(sorted(counts.items())),
        "failures": failures,
    }


def text(record: Record) -> str:
    """Return the table of a record as Markdown."""
    kinds = ("pixels", "refused", "no memory", *FAILURES)
    formats = sorted({name.split()[0] for name in record["counts"]})
    rows = [[name, *(record["counts"].get(f"{name} {kind}", 0) for kind in kinds)] for name in formats]
    return (
        f"{table(['format', *kinds], rows)}\n\n{record['files']} files in {record['seconds']:.0f} s; the slowest took "
        f"{record['slowest_s']:.2f} s, the largest {record['peak_bytes'] / 1e6:.0f} MB of memory."
    )


def main() -> int:
    """Read the files, print the table, write the record; return 1 if a file failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--keep", type=Path, default=Path("results/fuzz"), help="folder for files that fail")
    args = parser.parse_args()
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    record = measured(args)
    print(text(record))
    print(write_record("fuzz", record))
    return 1 if record["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
