"""A run of one large image on a cluster of this machine, with a slow network, so that something can happen to it."""

import threading
import time
from contextlib import contextmanager

import flowmask
from flowmask.labels.paths import bands_path
from tests.reference.later import later

distributed = later("distributed", "the extra `cluster` is not installed")
SHAPE = (5200, 260)
"""Twenty-odd rows of tiles, of one tile each: enough that others still help when the first maps are done."""
OUTPUT = flowmask.Output(save=("labels", "table"))


@contextmanager
def local(workers, tile_time=0.1):
    """A cluster on this machine with a slow network, so that no run is over before a test has looked."""
    from tests.cluster.slow import SlowNetwork

    with distributed().LocalCluster(
        n_workers=workers, threads_per_worker=1, memory_limit="4GiB", dashboard_address=":0", silence_logs=50
    ) as cluster:
        with distributed().Client(cluster, set_as_default=False) as client:
            client.register_plugin(SlowNetwork(tile_time))
        yield cluster


class Run:
    """A run on a cluster, in a thread, so that something can happen to it."""

    def __init__(self, images, out, cluster, **more):
        self.bands = bands_path(out / "slide_label.tiff")
        self._cluster, self._ended = cluster, []
        self._thread = threading.Thread(target=self._run, args=([images], out), kwargs=more)
        self._thread.start()

    def _run(self, *args, **more):
        try:
            with distributed().Client(self._cluster, set_as_default=False) as client:
                self._ended += flowmask.segment_many(*args, client=client, outputs=OUTPUT, diameter=26.0, **more)
        except Exception as error:
            self._ended.append(error)

    def wait(self, condition, seconds=300):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert self._thread.is_alive(), f"the run ended before that: {self._ended}"
            assert time.monotonic() < end
            time.sleep(0.02)
        return found

    def done(self):
        return len([*self.bands.glob("*.maps")])

    def at(self, stage):
        """The process numbers of the workers that are at a stage."""
        tasks = {state.address: {*state.processing} for state in [*self._cluster.scheduler.workers.values()]}
        busy = {address for address, keys in tasks.items() if any(str(one.key).startswith(stage) for one in keys)}
        return [nanny.pid for nanny in self._cluster.workers.values() if nanny.worker_address in busy]

    def outcomes(self):
        self._thread.join()
        return self._ended

    def end(self):
        (ended,) = self.outcomes()
        return ended


def same(out, alone):
    found, expected = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (out, alone))
    assert found == expected
