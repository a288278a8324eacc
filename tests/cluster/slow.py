"""A network that takes its time, in the workers of a test's cluster. Needs Dask."""

import time

from distributed import WorkerPlugin

from flowmask.network.session import OnnxNetwork

TILE_TIME = 0.1
"""Seconds that a tile takes at least."""


class SlowNetwork(WorkerPlugin):
    def setup(self, worker):
        at_once = OnnxNetwork.maps

        def maps(network, tiles):
            time.sleep(TILE_TIME * len(tiles))
            return at_once(network, tiles)

        OnnxNetwork.maps = maps
