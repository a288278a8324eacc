"""A network and labels that take their time, in the workers of a test's cluster. Needs Dask."""

import os
import time
from pathlib import Path

from distributed import WorkerPlugin

from flowmask.network.session import OnnxNetwork
from flowmask.sharing import counts, labels

PATIENCE = 120
"""Seconds that a process waits for another one."""
BLOCK_TIME = 0.2
"""Seconds that some rows of labels take at least, when they are written for others."""


def processes(marks):
    """Return the processes that left files in a folder of marks."""
    return {path.name.split("-")[0] for path in Path(marks).iterdir()}


class SlowNetwork(WorkerPlugin):
    """A tile takes ``tile_time`` seconds at least."""

    def __init__(self, tile_time):
        self.tile_time = tile_time

    def setup(self, worker):
        at_once = OnnxNetwork.maps

        def maps(network, tiles):
            time.sleep(self.tile_time * len(tiles))
            return at_once(network, tiles)

        OnnxNetwork.maps = maps


class SlowCounts(WorkerPlugin):
    """Histograms in pieces of 256 rows. Each piece leaves a file in ``marks``, named by its process.

    The first piece that others can count waits until a second process counts too: its network may not be open yet.
    """

    def __init__(self, marks):
        self.marks = str(marks)

    def setup(self, worker):
        at_once = counts.CountPieces.count

        def count(pieces, piece):
            time.sleep(BLOCK_TIME)
            Path(self.marks, f"{os.getpid()}-{piece}").touch()
            end = time.monotonic() + PATIENCE
            while pieces.begun() and time.monotonic() < end and len(processes(self.marks)) < 2:
                time.sleep(0.05)
            return at_once(pieces, piece)

        counts.PIXELS, counts.CountPieces.count = 1, count


class SlowLabels(WorkerPlugin):
    """Labels in pieces of ``height`` rows. Each record of a piece leaves a file in ``marks``, named by its process."""

    def __init__(self, height, marks):
        self.height, self.marks = height, str(marks)

    def setup(self, worker):
        at_once = getattr(labels._payload_of, "at_once", labels._payload_of)  # not slower each time

        def payload_of(block):
            time.sleep(BLOCK_TIME)
            Path(self.marks, f"{os.getpid()}-{block.table.core[0]}").touch()
            return at_once(block)

        payload_of.at_once = at_once
        labels.HEIGHT, labels._payload_of = self.height, payload_of
